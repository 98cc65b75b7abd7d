"""What a warm search costs beside the encoder, in times of the bare NumPy product.

100,000 passages of wikipedia_en with random unit vectors of 384 dimensions; questions of nq_open,
each asked once in each mode, by turns with `vectors @ query`. The vectors of questions are there
already.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from common import CACHE, Bar, data_folder, parser, report, tell

from embedsearch.collection import Collection
from embedsearch.types import Document, Mode

if TYPE_CHECKING:
    from embedsearch.types import Vectors

DIM = 384
K = 10
WARM_UP = 20
MOST_RATIO = 2.0


def main() -> int:
    options = _options()
    questions = _questions(options.queries + WARM_UP)
    encoder = Drawn(questions)
    home = options.cache / f"{options.chunks}-{options.words}"
    with Collection.open(home, model=encoder) as collection:
        if len(collection) < options.chunks:
            tell(f"indexing {options.chunks:,} passages")
            collection.upsert(islice(_passages(options.words), options.chunks))
        status = collection.status()
        vectors = encoder.encode_document([""] * status.chunks)
        medians = _measure(collection, encoder, vectors, questions)
    product = medians.pop("product")
    results = {
        "collection": {"chunks": status.chunks, "index": status.index.kind},
        "product": {"median_ms": product},
    }
    bars = []
    for mode, milliseconds in medians.items():
        ratio = milliseconds / product
        results[mode] = {"median_ms": milliseconds, "ratio": ratio}
        claim = f"{mode} search over {status.chunks:,} chunks, in times of the product"
        bars.append(Bar(claim=claim, value=ratio, limit=MOST_RATIO, at_most=True))
    return report("warm_search", options, results, bars)


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--chunks", type=int, default=100_000)
    options.add_argument(
        "--words", type=int, default=1, help="a passage is as many sentences as have these words"
    )
    options.add_argument("--queries", type=int, default=200, help="measurements of each kind")
    options.add_argument("--cache", type=Path, default=CACHE / "warm_search", metavar="DIR")
    return options.parse_args()


class Drawn:
    """An encoder that costs nothing: random vectors for passages, ready ones for questions."""

    name, engine, dim, fingerprint, max_tokens = "drawn", "none", DIM, "0" * 64, 10_000

    def __init__(self, questions: Sequence[str]) -> None:
        self._random = np.random.default_rng(0)
        self._ready = dict(zip(questions, self._draw(len(questions)), strict=True))
        self.tokens = Words()

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._ready[text] for text in texts])

    def encode_document(self, texts: Sequence[str]) -> Vectors:
        return self._draw(len(texts))

    def _draw(self, count: int) -> Vectors:
        vectors = self._random.standard_normal((count, DIM), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


class Words:
    """Words as tokens."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return [found.span() for found in re.finditer(r"\S+", text)]


def _questions(count: int) -> list[str]:
    path = data_folder() / "nq_open" / "NQ-open.dev.jsonl"
    with path.open(encoding="utf-8") as lines:
        questions = [json.loads(line)["question"] for line in lines]
    if count > len(questions):
        sys.exit(f"there are {len(questions)} questions, not {count}")
    return [questions[i] for i in np.random.default_rng(0).permutation(len(questions))[:count]]


def _passages(words: int) -> Iterator[Document]:
    path = data_folder() / "wikipedia_en" / "articles.jsonl.xz"
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            article, passage, number = json.loads(line), "", 0
            for sentence in re.split(r"(?<=[.!?])\s+", article["text"]):
                passage = f"{passage} {sentence}".strip()
                if len(passage.split()) >= max(words, 1):
                    yield Document(id=f"{article['id']}-{number}", text=passage)
                    passage, number = "", number + 1


def _measure(
    collection: Collection, encoder: Drawn, vectors: Vectors, questions: Sequence[str]
) -> dict[str, float]:
    """Median milliseconds of each thing. Each question is a new one: only the machinery is warm."""

    def searching(mode: Mode) -> Callable[[str], Any]:
        return lambda question: collection.search_batch([question], K, mode=mode)

    jobs: dict[str, Callable[[str], Any]] = {mode: searching(mode) for mode in get_args(Mode)}
    jobs["product"] = lambda question: vectors @ encoder.encode_query([question])[0]
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number, question in enumerate(questions):
        # each begins in turn, as the first to ask of a question finds its words unread
        names = list(jobs)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            began = time.perf_counter()
            jobs[name](question)
            seconds[name].append(time.perf_counter() - began)
    return {name: 1000 * median(taken[WARM_UP:]) for name, taken in seconds.items()}


if __name__ == "__main__":
    sys.exit(main())
