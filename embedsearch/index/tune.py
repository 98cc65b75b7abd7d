"""How far an approximate index has to look, found by trying, and what that costs and misses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from embedsearch.index.codes import Codes
from embedsearch.index.lists import ladder
from embedsearch.index.reranking import ranked
from embedsearch.index.scan import scan
from embedsearch.index.select import merge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors

K = 10
"""Recall is that of the 10 nearest."""

DEPTHS = (20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640)
QUERIES = 1000
WORK = 2e12
"""Multiplications that the exact answers may cost: of 10 million vectors fewer are tried."""

MARGIN = 0.2
MOST_MARGIN = 0.005
"""Of what may be missed, how much is kept in hand: 0.98 is tuned to 0.984, 0.9 to 0.905. New
queries come from elsewhere than the vectors do, and a measured recall has an error of its own."""

ROWS_AT_A_TIME = 65_536
LEAST_MISS = 1e-4
"""What a recall of 1 is taken to miss, for its logarithm."""

TIMED_SECONDS = 0.5
APART = 5


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Queries drawn from the rows, and the true neighbours of each, itself left out."""

    queries: Vectors
    itself: NDArray[np.int64]
    truth: NDArray[np.int64]
    half: NDArray[np.uint8]
    """A filter that passes every other row or so, as bits."""
    half_truth: NDArray[np.int64]

    def part(self, rows: slice) -> Trial:
        return Trial(
            queries=self.queries[rows],
            itself=self.itself[rows],
            truth=self.truth[rows],
            half=self.half,
            half_truth=self.half_truth[rows],
        )


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The setting found, and its recall on queries that did not help to find it."""

    probes: int
    depth: int
    recall: float
    filtered_recall: float
    queries: int
    search_ms: float
    exact_ms: float


class Search(Protocol):
    def __call__(self, query: Vectors, *, depth: int, probes: int) -> object: ...


def draw_trial(vectors: Vectors, seed: int = 0) -> Trial:
    """A random sample of rows as queries, with their exact neighbours among all rows."""
    count, dim = vectors.shape
    random = np.random.default_rng(seed)
    wanted = min(QUERIES, count // 4, max(64, int(WORK / (count * dim))))
    rows = np.sort(random.choice(count, wanted, replace=False))
    passes: NDArray[np.bool_] = np.less(random.random(count), 0.5)
    itself = random.permutation(rows)
    queries = np.ascontiguousarray(vectors[itself])
    return Trial(
        queries=queries,
        itself=itself,
        truth=_neighbours(vectors, queries, itself, None),
        half=np.packbits(passes, bitorder="little"),
        half_truth=_neighbours(vectors, queries, itself, passes),
    )


def tune(codes: Codes, vectors: Vectors, trial: Trial, recall: float) -> Tuned:
    """The cheapest setting of `codes` that finds the share `recall` of the neighbours.

    Half of the queries choose it, the other half measure it; where it then falls short of what was
    promised it looks further, so that a promise is broken only by an index that cannot keep it.
    """
    half = max(1, len(trial.queries) // 2)
    choosing, measuring = trial.part(slice(half)), trial.part(slice(half, None))
    goal = recall + min(MOST_MARGIN, MARGIN * (1 - recall))
    ids = np.arange(len(vectors), dtype=np.int64)

    def search(query: Vectors, *, depth: int, probes: int) -> None:
        ranked(vectors, ids, query, codes.candidates(query, depth, probes), K)

    probes, depth = _cheapest(codes, choosing, goal, search)
    while True:
        found = _recalls(codes, measuring, probes)[depth]
        more = min(codes.most_probes, probes + max(1, probes // 4))
        if found >= (recall + goal) / 2 or more == probes:
            break
        probes = more
    scale = codes.probes_for(probes, depth, len(codes) // 2)
    filtered = _recalls(codes, measuring, scale, filtered=True)[depth] if codes.selects else 1.0
    queries = measuring.queries
    found_by = partial(search, depth=depth, probes=probes)
    (search_ms,) = _milliseconds([found_by], queries)
    (exact_ms,) = _milliseconds([lambda query: scan(vectors, ids, query, K)], queries)
    return Tuned(
        probes=probes,
        depth=depth,
        recall=found,
        filtered_recall=filtered,
        queries=len(queries),
        search_ms=search_ms,
        exact_ms=exact_ms,
    )


def _cheapest(codes: Codes, trial: Trial, goal: float, search: Search) -> tuple[int, int]:
    """The fastest pair of probes and depth among those that reach the goal; the last resort where
    none does is to look at everything."""
    reached: dict[int, int] = {}  # probes by depth
    fewer = dict.fromkeys(DEPTHS, (0, 0.0))
    for probes in ladder(codes.most_probes):
        recalls = _recalls(codes, trial, probes)
        new = [depth for depth in DEPTHS if recalls[depth] >= goal and depth not in reached]
        for depth in new:
            reached[depth] = _crossing(fewer[depth], (probes, recalls[depth]), goal)
        # once more probes make no shallower depth do, they only cost
        if reached and (not new or recalls[DEPTHS[-1]] <= fewer[DEPTHS[-1]][1]):
            break
        fewer = {depth: (probes, recalls[depth]) for depth in DEPTHS}
    if not reached:
        return codes.most_probes, DEPTHS[-1]
    pairs = [(probes, depth) for depth, probes in reached.items()]
    searches = [partial(search, depth=depth, probes=probes) for probes, depth in pairs]
    times = _milliseconds(searches, trial.queries)
    return pairs[int(np.argmin(times))]


def _crossing(below: tuple[int, float], above: tuple[int, float], goal: float) -> int:
    """The probes at which recall is about the goal, between two numbers of them with theirs: what
    is missed falls about as a power of the probes."""
    if not below[0]:
        return above[0]
    misses = [-math.log(max(LEAST_MISS, 1 - recall)) for recall in (below[1], goal, above[1])]
    steps = np.interp(misses[1], [misses[0], misses[2]], [math.log(below[0]), math.log(above[0])])
    return math.ceil(math.exp(float(steps)) - 1e-6)


def _recalls(
    codes: Codes, trial: Trial, probes: int, *, filtered: bool = False
) -> dict[int, float]:
    """Recall by depth. Exact scores rank the candidates: it is enough to be among them."""
    truth, bits = (trial.half_truth, trial.half) if filtered else (trial.truth, None)
    found = codes.candidates(trial.queries, DEPTHS[-1] + 1, probes, bits)
    # a candidate's place among the others, itself not counted
    there = found != trial.itself[:, None]
    place = np.cumsum(there, axis=1) - 1
    hit = (found[:, :, None] == truth[:, None, :]).any(axis=2) & there & (found >= 0)
    wanted = max(1, int((truth >= 0).sum()))
    return {depth: float((hit & (place < depth)).sum() / wanted) for depth in DEPTHS}


def _neighbours(
    vectors: Vectors,
    queries: Vectors,
    itself: NDArray[np.int64],
    passes: NDArray[np.bool_] | None,
) -> NDArray[np.int64]:
    """Positions of the K best rows of each query, itself left out: shape (n_queries, K)."""
    parts: list[tuple[NDArray[np.float32], RowIds]] = []
    ids = np.arange(len(vectors), dtype=np.int64)
    best: tuple[NDArray[np.float32], RowIds] | None = None
    for start in range(0, len(vectors), ROWS_AT_A_TIME):
        end = min(len(vectors), start + ROWS_AT_A_TIME)
        some = None if passes is None else np.flatnonzero(passes[start:end])
        found = scan(vectors[start:end], ids[start:end], queries, K + 1, some)
        parts = [found] if best is None else [best, found]
        best = merge(parts, K + 1)
    assert best is not None
    others = best[1] != itself[:, None]
    order = np.argsort(~others, axis=1, kind="stable")[:, :K]
    return np.asarray(np.take_along_axis(best[1], order, axis=1))


def _milliseconds(searches: Sequence[Callable[[Vectors], object]], queries: Vectors) -> list[float]:
    """The median time of one query alone by each of several searches, which take turns, so that
    what else the machine does meanwhile is the same for all."""
    taken: list[list[float]] = [[] for _ in searches]
    began = time.perf_counter()
    for turn in range(len(queries)):
        for place, search in enumerate(searches):
            at = (turn + place * APART) % len(queries)  # nothing of the last search helps this one
            start = time.perf_counter()
            search(queries[at : at + 1])
            taken[place].append(1000 * (time.perf_counter() - start))
        if time.perf_counter() - began > TIMED_SECONDS:
            break
    return [float(np.median(times)) for times in taken]
