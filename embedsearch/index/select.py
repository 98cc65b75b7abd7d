"""The k best of many scores that are only approximately known, exactly.

A matrix product in float32 rounds differently with the number of queries, the library and even the
place of a row, so equal vectors can get scores that differ in the last bits. It serves to find
candidates: every row that can be among the k best, whatever the rounding. These few are scored
again in float64, one way everywhere, so an order never depends on how a search was carried out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors

BLOCK = 128
ROWS_AT_A_TIME = 4096


def margin_of(dim: int) -> float:
    """How far below the k-th approximate score a row of the true k best can lie.

    A float32 inner product of length d is off by at most d·u/(1 - d·u)·|x|·|q| in any order of
    summation, u = 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), and two
    scores are compared. |x| and |q| are 1; the rest leaves room for the final rounding.
    """
    return 2.1 * (dim + 4) * 2.0**-24


def candidates(approximate: NDArray[np.float32], k: int, margin: float) -> NDArray[np.intp]:
    """Ascending positions of all scores that lie at most `margin` below the k-th best."""
    count = len(approximate)
    if count <= k:
        return np.arange(count)
    block = min(BLOCK, count // (4 * k))
    if block < 16:
        kth = np.partition(approximate, count - k)[count - k]
        return np.flatnonzero(approximate >= kth - margin)
    # k blocks have a maximum of at least `floor`, so k scores do: one pass over the scores leaves
    # few to be partitioned (0.1 ms for 100,000, where partitioning all takes 0.6)
    peaks = approximate[: count // block * block].reshape(-1, block).max(axis=1)
    floor = np.partition(peaks, len(peaks) - k)[len(peaks) - k]
    pool = np.flatnonzero(approximate >= floor - margin)
    kept = approximate[pool]
    kth = np.partition(kept, len(kept) - k)[len(kept) - k]
    return np.asarray(pool[kept >= kth - margin])


def score(vectors: Vectors, rows: NDArray[np.intp], query: NDArray[np.float32]) -> Vectors:
    """Inner products of `rows` with `query`, shape (len(rows),), rounded once to float32.

    Products of float32 are exact in float64, and a row's sum does not depend on other rows: BLAS is
    called for each by itself.
    """
    exact = query.astype(np.float64)
    out = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        part = rows[start : start + ROWS_AT_A_TIME]
        out[start : start + len(part)] = np.vecdot(vectors[part], exact)
    return out


def rank(
    vectors: Vectors, ids: RowIds, rows: NDArray[np.intp], query: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], RowIds]:
    """The best k of `rows` (ascending), at most: scores and ids, ties by ascending id."""
    scores = score(vectors, rows, query)
    order = np.argsort(-scores, kind="stable")[:k]
    return scores[order], ids[rows[order]]


def empty_result(queries: int, k: int) -> tuple[NDArray[np.float32], RowIds]:
    """Scores -inf and ids -1, both of shape (queries, k)."""
    scores = np.full((queries, k), -np.inf, dtype=np.float32)
    return scores, np.full((queries, k), -1, dtype=np.int64)


def merge(
    parts: list[tuple[NDArray[np.float32], RowIds]], k: int
) -> tuple[NDArray[np.float32], RowIds]:
    """The k best of several results of shape (n_queries, ≥ k) over different rows."""
    scores = np.concatenate([part[0] for part in parts], axis=1)
    ids = np.concatenate([part[1] for part in parts], axis=1)
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)
