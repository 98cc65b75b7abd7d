"""Which lists of an inverted file a query looks at: all that are nearly as near as its nearest.

A fixed number of lists is too many for a query in the middle of a cluster and too few for one
between several. Those within a gap of the nearest find as much with fewer rows (Chen et al.,
"SPANN", 2021).
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import Vectors

NEAREST = 10
"""Lists whose mean similarity is what the others are compared with."""

ALWAYS = -2.0
"""The gap of the nearest list, which is always looked at: cosines differ by less."""


@cache
def ladder(most: int) -> tuple[int, ...]:
    """1, 2, 3, 4, 6, 8, 12 … and the most; 0 alone where that is 0."""
    steps = {first << power for first in (1, 3) for power in range(most.bit_length())}
    return (*sorted(step for step in steps if step < most), most)


def gaps_of(centroids: Vectors, queries: Vectors) -> tuple[float, ...]:
    """For each number of lists on the ladder, the gap that so many lie within: the mean over
    `queries`, shape (n, dim). Of a few lists it is negative: they are nearer than the others."""
    similar = queries @ centroids.T
    gaps = np.sort(_nearest(similar)[0][:, None] - similar, axis=1)
    gaps[:, 0] = ALWAYS
    gaps = np.sort(gaps, axis=None)
    places = [number * len(queries) - 1 for number in ladder(len(centroids))]
    return tuple(round(float(gap), 5) for gap in gaps[places])


@lru_cache(maxsize=1024)
def gap_for(probes: int, lists: int, gaps: tuple[float, ...]) -> float:
    """The gap that `probes` of the lists lie within on average, infinite for all of them."""
    if probes >= lists:
        return float("inf")
    return float(np.interp(probes, ladder(lists), gaps))


def within(
    centroids: Vectors, queries: Vectors, gap: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The lists of each query, the nearest at least, and their similarity, shape (n_queries, most
    of any); -1 for none."""
    similar = queries @ centroids.T
    mean, best = _nearest(similar)
    near = similar >= np.minimum(mean - np.float32(gap), best)[:, None]
    if len(queries) == 1:  # nothing to be filled up
        return np.flatnonzero(near)[None], similar[near][None]
    counts = near.sum(axis=1)
    shape = len(queries), int(counts.max())
    lists = np.full(shape, -1, dtype=np.int64)
    scores = np.zeros(shape, dtype=np.float32)
    taken = np.arange(shape[1]) < counts[:, None]
    lists[taken] = near.nonzero()[1]
    scores[taken] = similar[near]
    return lists, scores


def _nearest(similar: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean of each query's best similarities and the best one, both of shape (n_queries,)."""
    count = min(NEAREST, similar.shape[1])
    best = np.partition(similar, similar.shape[1] - count, axis=1)[:, -count:]
    return best.sum(axis=1) / np.float32(count), best.max(axis=1)
