"""What a warm search costs beside the encoder, in times of the bare NumPy product.

100,000 sentences of wikipedia_en as the bundled encoder sees them; questions of nq_open, another
one for every measurement, by turns with `vectors @ query`. The vectors of questions are there
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
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from common import CACHE, Bar, data_folder, parser, report, tell

from embedsearch.collection.collection import Collection
from embedsearch.encoder import DEFAULT_MODEL, SentenceEncoder
from embedsearch.types import Document, Mode

if TYPE_CHECKING:
    from embedsearch.types import Vectors

K = 10
WARM_UP = 20
MOST_RATIO = 2.0


def main() -> int:
    options = _options()
    questions = _questions(len(get_args(Mode)) * (options.queries + WARM_UP))
    encoder = Ready(questions)
    home = options.cache / f"{options.chunks}-{options.words}"
    with Collection.open(home, model=encoder) as collection:
        if len(collection) < options.chunks:
            tell(f"indexing {options.chunks:,} passages")
            collection.upsert(islice(_passages(options.words), options.chunks))
        status = collection.status()
        medians = _measure(collection, encoder, _drawn(status.chunks, encoder.dim), questions)
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
    options.add_argument("--queries", type=int, default=200, help="measurements of each mode")
    options.add_argument("--cache", type=Path, default=CACHE / "warm_search", metavar="DIR")
    return options.parse_args()


class Ready:
    """The bundled encoder, with the vectors of the questions made beforehand."""

    def __init__(self, questions: Sequence[str]) -> None:
        self._encoder = SentenceEncoder.load(DEFAULT_MODEL)
        self._ready = dict(zip(questions, self._encoder.encode_query(questions), strict=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._ready[text] for text in texts])


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


def _drawn(count: int, dim: int) -> Vectors:
    """Any vectors: what the product costs does not depend on them."""
    return np.random.default_rng(0).standard_normal((count, dim), dtype=np.float32)


def _measure(
    collection: Collection, encoder: Ready, vectors: Vectors, questions: Sequence[str]
) -> dict[str, float]:
    """Median milliseconds of each thing, by turns.

    The questions are new ones, so only the machinery is warm; `again` is one that was just asked.
    """
    modes = get_args(Mode)
    names = ["product", *modes, *(f"{mode}, again" for mode in modes)]
    taken: dict[str, list[float]] = {name: [] for name in names}
    rounds = [questions[at : at + len(modes)] for at in range(0, len(questions), len(modes))]
    for number, asked in enumerate(rounds):
        pairs = list(zip(modes, asked, strict=True))
        turn = number % len(pairs)
        for mode, question in pairs[turn:] + pairs[:turn]:
            query = encoder.encode_query([question])[0]
            taken["product"].append(_milliseconds(partial(np.matmul, vectors, query)))
            for name in (mode, f"{mode}, again"):
                job = partial(collection.search_batch, [question], K, mode=mode)
                taken[name].append(_milliseconds(job))
    return {
        name: median(every[len(every) * WARM_UP // len(rounds) :]) for name, every in taken.items()
    }


def _milliseconds(job: Callable[[], Any]) -> float:
    began = time.perf_counter()
    job()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
