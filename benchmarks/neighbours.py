"""Recall against queries per second: ours, plain FAISS, hnswlib and usearch, on real sentences.

The sentences of wikipedia_en and imdb_reviews, shuffled, as vectors of all-MiniLM-L6-v2 (384
dimensions, made once and kept); sentences that are not in the index are the queries. Every library
builds, saves and loads its index in a process of its own, on the same vectors, and then answers the
same queries: one at a time and all at once with one thread, all at once with all threads.

hnswlib and usearch are needed for this alone: pip install hnswlib usearch matplotlib
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from common import CACHE, RESULTS, Bar, parser, report, tell
from sentence_vectors import DIM, rows_of, vectors_file

from embedsearch import index
from embedsearch.device import describe, faiss_gpu_count
from embedsearch.index import FaissIndex, IndexConfig, NumpyIndex
from embedsearch.index.planner import choose
from embedsearch.index.section import read_section

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import Vectors

K, QUERIES = 10, 1000
ALONE = 200
"""Queries of which each is asked by itself."""

RECALLS = (0.95, 0.99)
PROMISES = (0.95, 0.98, 0.99)
GRAPH = (20, 40, 60, 80, 100, 120, 160, 240, 400, 600, 800)
"""Settings of a graph: how many rows are kept in view."""

CONSTRUCTION = 200
"""How many were in view when a graph was built, hnswlib's and FAISS's alike."""

PROBES = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)


class System(Protocol):
    """One library's index. `settings` are tried from the fastest to the surest."""

    @property
    def settings(self) -> Sequence[Any]: ...

    def build(self, vectors: Vectors) -> None: ...
    def save(self, path: Path) -> None: ...
    def load(self, path: Path) -> None: ...
    def search(self, queries: Vectors, setting: Any, threads: int) -> NDArray[np.int64]: ...


class Ours:
    """The planner's choice for the default recall; a setting is FAISS's probes and our depth."""

    def __init__(self, config: IndexConfig | None = None) -> None:
        self.config = config or IndexConfig()
        self.settings: Sequence[Any] = [(p, d) for d in (60, 120, 240, 320) for p in PROBES]
        if config is not None:
            self.settings = [None]  # as it was tuned

    def build(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def save(self, path: Path) -> None:
        ids = np.arange(len(self._vectors), dtype=np.int64)
        steps = range(0, len(ids), 4096)
        parts = ((ids[at : at + 4096], self._vectors[at : at + 4096]) for at in steps)
        index.build(path, parts, len(ids), DIM, self.config)
        del self._vectors

    def load(self, path: Path) -> None:
        self._index = index.load(path)
        self._section = None
        if isinstance(self._index, FaissIndex):
            self._section = read_section(path)[2]
            self.measured = self._index.measured

    def search(self, queries: Vectors, setting: Any, threads: int) -> NDArray[np.int64]:
        _faiss_threads(threads)
        if setting is not None and isinstance(self._index, FaissIndex):
            probes, depth = setting
            if (self._index.measured.probes, self._index.measured.depth) != (probes, depth):
                assert self._section is not None
                measured = replace(self._section.measured, probes=probes, depth=depth)
                self._index = FaissIndex(
                    self._index.ids,
                    self._index.vectors,
                    replace(self._section, measured=measured),
                    checked=True,
                )
        return self._index.search(queries, K)[1]


class Faiss:
    """An index as FAISS's factory makes it, re-ranking by its RFlat included."""

    def __init__(self, factory: str, settings: Sequence[Any]) -> None:
        self.factory, self.settings = factory, settings

    def build(self, vectors: Vectors) -> None:
        import faiss

        self._index = faiss.index_factory(DIM, self.factory, faiss.METRIC_INNER_PRODUCT)
        if "HNSW" in self.factory:
            self._index.hnsw.efConstruction = CONSTRUCTION
        some = np.random.default_rng(0).permutation(len(vectors))[: max(40_000, len(vectors) // 8)]
        self._index.train(vectors[np.sort(some)])
        self._index.add(vectors)

    def save(self, path: Path) -> None:
        import faiss

        faiss.write_index(self._index, str(path))
        del self._index

    def load(self, path: Path) -> None:
        import faiss

        self._index = faiss.read_index(str(path))

    def search(self, queries: Vectors, setting: Any, threads: int) -> NDArray[np.int64]:
        import faiss

        _faiss_threads(threads)
        if "HNSW" in self.factory:
            parameters = faiss.SearchParametersHNSW(efSearch=setting)
        else:
            probes, factor = setting
            inner = faiss.SearchParametersIVF(nprobe=probes)
            parameters = faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=inner)
        return np.asarray(self._index.search(queries, K, params=parameters)[1])


class Hnswlib:
    """hnswlib, M 16."""

    settings = GRAPH

    def build(self, vectors: Vectors) -> None:
        import hnswlib

        self._index = hnswlib.Index(space="ip", dim=DIM)
        self._index.init_index(max_elements=len(vectors), ef_construction=CONSTRUCTION, M=16)
        self._index.add_items(vectors)

    def save(self, path: Path) -> None:
        self._index.save_index(str(path))
        del self._index

    def load(self, path: Path) -> None:
        import hnswlib

        self._index = hnswlib.Index(space="ip", dim=DIM)
        self._index.load_index(str(path))

    def search(self, queries: Vectors, setting: Any, threads: int) -> NDArray[np.int64]:
        self._index.set_ef(setting)
        found = self._index.knn_query(queries, k=K, num_threads=threads)[0]
        return np.asarray(found).astype(np.int64)


class Usearch:
    """usearch with its defaults, storing `dtype`."""

    settings = GRAPH

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def _empty(self) -> Any:
        from usearch.index import Index

        return Index(ndim=DIM, metric="ip", dtype=self.dtype)

    def build(self, vectors: Vectors) -> None:
        self._index = self._empty()
        self._index.add(np.arange(len(vectors), dtype=np.uint64), vectors, threads=_cores())

    def save(self, path: Path) -> None:
        self._index.save(str(path))
        del self._index

    def load(self, path: Path) -> None:
        self._index = self._empty()
        self._index.load(str(path))

    def search(self, queries: Vectors, setting: Any, threads: int) -> NDArray[np.int64]:
        self._index.expansion_search = setting
        found = self._index.search(queries, K, threads=threads)
        return np.asarray(found.keys).astype(np.int64).reshape(len(queries), -1)


def _systems(count: int) -> dict[str, Callable[[], System]]:
    planned = choose(count, DIM, IndexConfig())[0].factory
    inverted = [(p, f) for f in (6, 12, 24, 32) for p in PROBES]
    found: dict[str, Callable[[], System]] = {"ours": Ours}
    for promise in PROMISES:
        config = IndexConfig(recall=promise)
        found[f"ours, planned for {promise:g}"] = partial(Ours, config)
    for name in (f"{planned},RFlat", "HNSW16,Flat"):
        settings: Sequence[Any] = GRAPH if "HNSW" in name else inverted
        found[f"faiss {name}"] = partial(Faiss, name, settings)
    if find_spec("hnswlib"):
        found["hnswlib"] = Hnswlib
    if find_spec("usearch"):
        found |= {f"usearch {dtype}": partial(Usearch, dtype) for dtype in ("f32", "bf16")}
    return found


def main() -> int:
    options = _options()
    systems = _systems(options.limit)
    if options.system:
        print(json.dumps(_measure(systems[options.system](), options)))
        return 0
    file = vectors_file(options.limit + QUERIES, options.cache)
    _truth(file, options.limit)
    results: dict[str, Any] = {}
    for name in systems:
        if options.only and not any(name.startswith(some) for some in options.only):
            continue
        tell(name)
        command = [sys.executable, __file__, "--system", name, "--limit", str(options.limit)]
        command += ["--cache", str(options.cache)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        results[name] = json.loads(done.stdout.splitlines()[-1])
    if gpus := faiss_gpu_count():
        tell("the GPU")
        results["gpu"] = _gpu(file, options, gpus)
    if options.save:
        _plot(results, RESULTS / "neighbours.svg", options.limit)
    return report("neighbours", options, results, _bars(results))


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--limit", type=int, default=300_000, help="sentences in the index")
    options.add_argument("--cache", type=Path, default=CACHE / "neighbours", metavar="DIR")
    options.add_argument("--only", nargs="+", metavar="NAME", help="systems that begin with this")
    options.add_argument("--system", help=argparse.SUPPRESS)
    return options.parse_args()


# Measuring


def _truth(file: Path, limit: int) -> NDArray[np.int64]:
    """The true neighbours of the queries, which stand behind the rows; found once and kept."""
    kept = file.with_name(f"truth-{limit}.npy")
    if kept.exists():
        return np.asarray(np.load(kept))
    exact = NumpyIndex(np.arange(limit, dtype=np.int64), rows_of(file, 0, limit))
    truth = exact.search(rows_of(file, limit, QUERIES), K)[1]
    np.save(kept, truth)
    return truth


def _measure(system: System, options: argparse.Namespace) -> dict[str, Any]:
    file = options.cache / "minilm.f32"
    truth = _truth(file, options.limit)
    queries = rows_of(file, options.limit, QUERIES)
    with tempfile.TemporaryDirectory(dir=options.cache) as folder:
        path = Path(folder) / "index"
        vectors = rows_of(file, 0, options.limit)
        began = time.perf_counter()
        system.build(vectors)
        del vectors
        system.save(path)
        seconds = time.perf_counter() - began
        gc.collect()
        before = _memory()
        system.load(path)
        system.search(queries, system.settings[0], 1)
        after = _memory()
        found: dict[str, Any] = {
            "build_s": round(seconds, 2),
            "memory_mb": round(after["RssAnon"] - before["RssAnon"], 1),
            "mapped_mb": round(after["RssFile"] - before["RssFile"], 1),
            "file_mb": round(path.stat().st_size / 2**20, 1),
            "curve": [_point(system, setting, queries, truth) for setting in system.settings],
        }
        if isinstance(system, Ours):
            found |= _promises(system, queries, path)
    return found


def _point(
    system: System, setting: Any, queries: Vectors, truth: NDArray[np.int64]
) -> dict[str, Any]:
    found = system.search(queries, setting, 1)

    def alone() -> None:
        for at in range(ALONE):
            system.search(queries[at : at + 1], setting, 1)

    return {
        "setting": setting,
        "recall": round(recall_of(found, truth), 4),
        "qps_alone": round(ALONE / seconds_of(alone)),
        "qps_one_thread": round(QUERIES / seconds_of(lambda: system.search(queries, setting, 1))),
        "qps_all_threads": round(
            QUERIES / seconds_of(lambda: system.search(queries, setting, _cores()))
        ),
    }


def _promises(ours: Ours, queries: Vectors, path: Path) -> dict[str, Any]:
    """Recall as it was promised, under filters and with rows deleted."""
    tuned = ours._index if ours.settings == [None] else index.load(path)
    if not isinstance(tuned, FaissIndex):
        return {"kind": tuned.kind}
    exact = NumpyIndex(tuned.ids, tuned.vectors, checked=True)
    draw = np.random.default_rng(0).random(len(tuned))
    passing = {}
    for name, share in (("deleted 10%", 0.9), ("50%", 0.5), ("5%", 0.05), ("0.1%", 0.001)):
        allowed = tuned.ids[draw < share]
        some = queries[:ALONE]
        truth = exact.search(some, K, allowed)[1]
        passing[name] = round(recall_of(tuned.search(some, K, allowed)[1], truth), 4)
    return {
        "factory": tuned.measured.factory,
        "probes": tuned.measured.probes,
        "depth": tuned.measured.depth,
        "promised": tuned.measured.asked.recall,
        "measured_by_planner": tuned.measured.recall,
        "recall_of_filtered": passing,
    }


def _gpu(file: Path, options: argparse.Namespace, gpus: int) -> dict[str, Any]:
    """Exact search and an inverted file on all GPUs, against the same index on all cores."""
    import faiss

    queries, truth = rows_of(file, options.limit, QUERIES), _truth(file, options.limit)
    vectors = rows_of(file, 0, options.limit)
    ids = np.arange(options.limit, dtype=np.int64)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(vectors)
    found: dict[str, Any] = {"gpus": gpus, "device": describe(probe=True).device_names}
    exact = index.mirror(NumpyIndex(ids, vectors), range(gpus))
    rows = exact.search(queries, K)[1]
    alone = seconds_of(lambda: exact.search(queries[:1], K))
    found["exact"] = {
        "recall": recall_of(rows, truth),
        "qps": round(QUERIES / seconds_of(lambda: exact.search(queries, K))),
        "qps_on_all_cores": round(QUERIES / seconds_of(lambda: flat.search(queries, K))),
        "gb_per_second_alone": round(vectors.nbytes / 2 / alone / 1e9, 1),
    }
    with tempfile.TemporaryDirectory(dir=options.cache) as folder:
        lists = choose(options.limit, DIM, IndexConfig())[0].factory.split(",")[0]
        ours = Ours(IndexConfig(factory=f"{lists},SQ8"))
        ours.build(vectors)
        ours.save(Path(folder) / "index")
        base = index.load(Path(folder) / "index")
        mirrored = index.mirror(base, range(gpus))
        found["ivf"] = {
            "kind": mirrored.kind,
            "recall": recall_of(mirrored.search(queries, K)[1], truth),
            "qps": round(QUERIES / seconds_of(lambda: mirrored.search(queries, K))),
            "qps_on_all_cores": round(QUERIES / seconds_of(lambda: base.search(queries, K))),
        }
    return found


def recall_of(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    pairs = zip(found.tolist(), truth.tolist(), strict=True)
    return sum(len(set(some) & set(true)) for some, true in pairs) / truth.size


def seconds_of(job: Callable[[], object]) -> float:
    """The median of three."""
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        job()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[1]


def _memory() -> dict[str, float]:
    """MiB of this process, after what is free was given back."""
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    pairs = (line.split(":") for line in lines if line.startswith("Rss"))
    return {name: int(value.split()[0]) / 1024 for name, value in pairs}


def _faiss_threads(threads: int) -> None:
    import faiss

    faiss.omp_set_num_threads(threads)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


# What it comes to


def _at(result: dict[str, Any], recall: float, key: str) -> float:
    """The most queries per second at this recall or more; 0 where it is not reached."""
    return max((p[key] for p in result["curve"] if p["recall"] >= recall), default=0)


def _bars(results: dict[str, Any]) -> list[Bar]:
    bars = []
    others = {n: r for n, r in results.items() if n.split()[0] in ("hnswlib", "usearch")}
    ours = results.get("ours")
    if ours and others:
        for recall in RECALLS:
            for key in ("qps_alone", "qps_one_thread"):
                best = max(_at(result, recall, key) for result in others.values())
                if not best:
                    tell(f"neither hnswlib nor usearch reaches {recall:g}")
                    continue
                claim = f"{key} at recall@10 {recall:g}, in times of hnswlib's and usearch's best"
                value = _at(ours, recall, key) / best
                bars.append(Bar(claim=claim, value=value, limit=1.2, at_most=False))
    graph = results.get("faiss HNSW16,Flat")
    if ours and graph:
        share = (ours["memory_mb"]) / graph["memory_mb"]
        claim = "memory, in times of a float32 HNSW (vectors are mapped, not counted)"
        bars.append(Bar(claim=claim, value=share, limit=0.5, at_most=True))
    if ours and "hnswlib" in results:
        share = ours["build_s"] / results["hnswlib"]["build_s"]
        claim = "build time, in times of hnswlib's"
        bars.append(Bar(claim=claim, value=share, limit=0.5, at_most=True))
    if "gpu" in results:
        bars += _gpu_bars(results["gpu"])
    return [*bars, *_promise_bars(results)]


def _gpu_bars(found: dict[str, Any]) -> Iterator[Bar]:
    for kind in ("exact", "ivf"):
        times = found[kind]["qps"] / found[kind]["qps_on_all_cores"]
        claim = f"{kind} search on the GPU, in times of the same index on all cores"
        yield Bar(claim=claim, value=times, limit=20, at_most=False)


def _promise_bars(results: dict[str, Any]) -> Iterator[Bar]:
    for promise in PROMISES:
        result = results.get(f"ours, planned for {promise:g}")
        if result and "promised" in result:
            missed = abs(result["curve"][0]["recall"] - promise)
            claim = f"how far the recall of fresh queries is from the promised {promise:g}"
            yield Bar(claim=claim, value=missed, limit=0.01, at_most=True)
    result = results.get("ours, planned for 0.98", {})
    for name, recall in result.get("recall_of_filtered", {}).items():
        yield Bar(claim=f"recall under a filter: {name}", value=recall, limit=0.97, at_most=False)


def _plot(results: dict[str, Any], path: Path, limit: int) -> None:
    if not find_spec("matplotlib"):
        tell("no plot: matplotlib is not installed")
        return
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(15, 5), sharey=True, layout="constrained")
    titles = {
        "qps_alone": "one query at a time, one thread",
        "qps_one_thread": "all queries at once, one thread",
        "qps_all_threads": f"all queries at once, {_cores()} threads",
    }
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        for name, result in results.items():
            if "curve" not in result:
                continue
            front = _front(result["curve"], key)
            mark = "*" if len(result["curve"]) == 1 else "."
            axis.plot([p["recall"] for p in front], [p[key] for p in front], mark + "-", label=name)
        axis.set(title=title, xlabel="recall@10", yscale="log", xlim=(0.8, 1.001))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("queries per second")
    axes[-1].legend(fontsize="small")
    figure.suptitle(f"{limit:,} sentences, 384 dimensions")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


def _front(curve: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """The points that no other one beats in both."""
    return sorted(
        (
            p
            for p in curve
            if not any(o[key] > p[key] and o["recall"] >= p["recall"] for o in curve)
        ),
        key=lambda point: point["recall"],
    )


if __name__ == "__main__":
    sys.exit(main())
