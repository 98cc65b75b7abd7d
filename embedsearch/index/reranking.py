"""Candidates that something quick has found, ranked by exact scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedsearch.index.codes import one_thread
from embedsearch.index.select import empty_result, margin_of, rank, score_each

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors

SPARE = 6
"""Rows scored in float64 beyond k, so that ties at the k-th place are seen."""

CANDIDATES_FOR_THREADS = 2000


def ranked(
    vectors: Vectors, ids: RowIds, queries: Vectors, rows: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float32], RowIds]:
    """The k best of each query's candidates, by float32 first and by float64 at the end.

    `rows` are positions, shape (n_queries, n_candidates), -1 for none. Scores and ids are as
    `types.VectorIndex.search` gives them.
    """
    line = np.arange(len(queries))[:, None]
    left_out = max(0, rows.shape[1] - k - SPARE)
    best_rows, cut = rows, np.full(len(queries), -np.inf, dtype=np.float32)
    if left_out:
        near = _near_scores(vectors, queries, rows)
        order = np.argpartition(near, left_out - 1, axis=1)
        best_rows = rows[line, order[:, left_out:]]
        cut = near[line[:, 0], order[:, left_out - 1]]  # the best that was left out
    best_rows = np.sort(best_rows, axis=1)
    exact = score_each(vectors, best_rows, queries)
    order = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    scores, found = empty_result(len(queries), k)
    places = best_rows[line, order]
    width = places.shape[1]
    scores[:, :width] = exact[line, order]
    found[:, :width] = np.where(places >= 0, ids[places], -1)
    if not left_out:
        return scores, found
    for at in np.flatnonzero(cut >= scores[:, -1] - margin_of(vectors.shape[1])):
        there = np.sort(rows[at][rows[at] >= 0])
        if len(there) >= k:  # one left out may tie with the k-th
            scores[at], found[at] = rank(vectors, ids, there, queries[at], k)
    return scores, found


def _near_scores(
    vectors: Vectors, queries: Vectors, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Inner products in float32 of each query with its candidates, -inf where there is none."""
    import faiss

    out = np.empty(rows.shape, dtype=np.float32)
    rows = np.ascontiguousarray(rows)
    with one_thread(when=rows.size < CANDIDATES_FOR_THREADS):
        faiss.fvec_inner_products_by_idx(
            faiss.swig_ptr(out),
            faiss.swig_ptr(queries),
            faiss.swig_ptr(vectors),
            faiss.swig_ptr(rows),
            vectors.shape[1],
            *rows.shape,
        )
    out[rows < 0] = -np.inf
    return out
