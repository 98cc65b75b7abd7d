"""Ten million vectors of 384 dimensions, indexed on a machine of 24 GiB: memory, time and recall.

The vectors are sentences of wikipedia_en and imdb_reviews (those of neighbours.py), each many times
over with noise: 15 GB that stream in and stand nowhere but in the index file. More such copies are
the queries, as those of a search are texts like the ones that are there; and sentences of which
there is no copy, which are harder: `recall_of_strangers` is no promise.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from common import CACHE, Bar, Told, parser, report
from neighbours import ALONE, K, recall_of, seconds_of
from sentence_vectors import DIM, rows_of, vectors_file

from embedsearch import index
from embedsearch.device import free_memory
from embedsearch.index import FaissIndex, NumpyIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import Embeddings, RowIds, Vectors

SENTENCES, QUERIES = 300_000, 200
NOISE = 0.4
"""Its length, beside a vector of length 1: a copy's cosine with its sentence is about 0.93."""

BLOCK = 20_000
GIB = 1 << 30


class PeakMemory:
    """The most memory that is not a mapped file, in bytes, looked at twenty times a second."""

    def __enter__(self) -> PeakMemory:
        self.peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        status = Path("/proc/self/status")
        while not self._ended.wait(0.05):
            lines = status.read_text(encoding="ascii").splitlines()
            line = next(line for line in lines if line.startswith("RssAnon"))
            self.peak = max(self.peak, 1024 * int(line.split()[1]))


def main() -> int:
    options = _options()
    file = vectors_file(SENTENCES + QUERIES, options.cache)
    sentences = rows_of(file, 0, SENTENCES)
    needed = options.limit * DIM * 5
    if (free := shutil.disk_usage(options.cache).free) < needed:
        sys.exit(f"{options.cache} has {free / GIB:.0f} GiB free and {needed / GIB:.0f} are needed")
    with tempfile.TemporaryDirectory(dir=options.cache) as home:
        path = Path(home) / "index"
        began = time.perf_counter()
        with PeakMemory() as memory:
            index.build(
                path,
                _stream(sentences, options.limit),
                options.limit,
                DIM,
                memory=free_memory(),
                progress=Told(),
            )
        seconds = time.perf_counter() - began
        copies = _copies(sentences, np.random.default_rng(1), np.arange(QUERIES) * 997)
        results = _found(path, copies, rows_of(file, SENTENCES, QUERIES)) | {
            "vectors": options.limit,
            "build_s": round(seconds),
            "peak_gib": round(memory.peak / GIB, 2),
            "file_gib": round(path.stat().st_size / GIB, 2),
        }
    return report("large_index", options, results, _bars(results))


def _stream(sentences: Vectors, count: int) -> Embeddings:
    def blocks() -> Iterator[tuple[RowIds, Vectors]]:
        random = np.random.default_rng(0)
        for start in range(0, count, BLOCK):
            ids = np.arange(start, min(start + BLOCK, count), dtype=np.int64)
            yield ids, _copies(sentences, random, ids)

    return blocks()


def _copies(sentences: Vectors, random: np.random.Generator, rows: NDArray[np.int64]) -> Vectors:
    """One copy, with noise, of the sentence that each row is of."""
    noise = random.standard_normal((len(rows), DIM), dtype=np.float32)
    found: Vectors = sentences[rows % len(sentences)] + noise * np.float32(NOISE / DIM**0.5)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def _found(path: Path, queries: Vectors, strangers: Vectors) -> dict[str, Any]:
    """How the index fares, against exact search over the same file."""
    found = index.load(path)
    began = time.perf_counter()
    truth = _exact(found, queries)
    exact_s = time.perf_counter() - began
    if not isinstance(found, FaissIndex):
        return {"kind": found.kind, "exact_qps": round(len(queries) / exact_s, 2)}
    rows = found.search(queries, K)[1]
    others = recall_of(found.search(strangers, K)[1], _exact(found, strangers))

    def alone() -> None:
        for at in range(ALONE):
            found.search(queries[at : at + 1], K)

    return {
        "factory": found.measured.factory,
        "probes": found.measured.probes,
        "depth": found.measured.depth,
        "promised": found.measured.asked.recall,
        "measured_by_planner": found.measured.recall,
        "recall": round(recall_of(rows, truth), 4),
        "recall_of_strangers": round(others, 4),
        "memory_mb": round(found.measured.bytes / 2**20, 1),
        "qps_alone": round(ALONE / seconds_of(alone), 1),
        "qps_all_at_once": round(len(queries) / seconds_of(lambda: found.search(queries, K)), 1),
        "exact_qps_all_at_once": round(len(queries) / exact_s, 2),
    }


def _exact(found: NumpyIndex, queries: Vectors) -> NDArray[np.int64]:
    return NumpyIndex(found.ids, found.vectors, checked=True).search(queries, K)[1]


def _bars(results: dict[str, Any]) -> list[Bar]:
    bars = [
        Bar(
            claim=f"GiB of memory to build an index of {results['vectors']:,} vectors",
            value=results["peak_gib"],
            limit=24,
            at_most=True,
        )
    ]
    if "recall" in results:
        missed = abs(results["recall"] - results["promised"])
        claim = f"how far the recall of fresh queries is from the promised {results['promised']:g}"
        bars.append(Bar(claim=claim, value=missed, limit=0.01, at_most=True))
    return bars


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--limit", type=int, default=10_000_000, help="vectors in the index")
    options.add_argument("--cache", type=Path, default=CACHE / "neighbours", metavar="DIR")
    return options.parse_args()


if __name__ == "__main__":
    sys.exit(main())
