"""Real sentences as vectors, made once and kept: what the benchmarks of indexes are run on."""

from __future__ import annotations

import json
import lzma
import random
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from common import data_folder, tell

from embedsearch.encoder import SentenceEncoder

if TYPE_CHECKING:
    from embedsearch.types import Vectors

DIM = 384
BATCH = 2000


def vectors_file(count: int, cache: Path) -> Path:
    """A file of at least `count` vectors, one after another; what is there already is kept."""
    cache.mkdir(parents=True, exist_ok=True)
    file = cache / "minilm.f32"
    there = file.stat().st_size // (4 * DIM) if file.exists() else 0
    if there >= count:
        return file
    sentences = _sentences()
    if len(sentences) < count:
        sys.exit(f"there are {len(sentences):,} sentences, not {count:,}")
    encoder = SentenceEncoder.load("all-MiniLM-L6-v2")
    with file.open("ab") as out:
        out.truncate(4 * DIM * there)
        for at in range(there, count, BATCH):
            tell(f"{at:,} of {count:,} sentences are vectors")
            out.write(encoder.encode_document(sentences[at : min(count, at + BATCH)]).tobytes())
    return file


def rows_of(file: Path, start: int, count: int) -> Vectors:
    """So many of the vectors, from one on: shape (count, DIM)."""
    return np.fromfile(file, dtype=np.float32, count=count * DIM, offset=4 * DIM * start).reshape(
        count, DIM
    )


def _sentences() -> list[str]:
    found: list[str] = []
    for name in ("wikipedia_en/articles.jsonl.xz", "imdb_reviews/train.jsonl.xz"):
        with lzma.open(data_folder() / name, "rt", encoding="utf-8") as lines:
            for line in lines:
                text = json.loads(line)["text"].replace("<br />", " ")
                parts = (part.strip() for part in re.split(r"(?<=[.!?])\s+", text))
                found += [part for part in parts if len(part.split()) >= 5]
    random.Random(0).shuffle(found)
    return found
