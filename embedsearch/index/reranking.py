"""Candidates that something quick has found, ranked by exact scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedsearch.index.codes import one_thread
from embedsearch.index.select import candidates, empty_result, margin_of, rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors

CANDIDATES_FOR_THREADS = 2000


def ranked(
    vectors: Vectors, ids: RowIds, queries: Vectors, rows: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float32], RowIds]:
    """The k best of each query's candidates, by float32 first and by float64 at the end.

    `rows` are positions, shape (n_queries, n_candidates), -1 for none. Scores and ids are as
    `types.VectorIndex.search` gives them.
    """
    near = _near_scores(vectors, queries, rows)
    margin = margin_of(vectors.shape[1])
    scores, found = empty_result(len(queries), k)
    for at, query in enumerate(queries):
        there = np.sort(rows[at][candidates(near[at], k, margin)])
        if there[0] < 0:  # fewer were found
            there = there[there >= 0]
        best, best_ids = rank(vectors, ids, there, query, k)
        scores[at, : len(best)] = best
        found[at, : len(best)] = best_ids
    return scores, found


def _near_scores(
    vectors: Vectors, queries: Vectors, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Inner products in float32 of each query with its candidates, -inf where there is none."""
    import faiss

    out = np.full(rows.shape, -np.inf, dtype=np.float32)  # FAISS passes rows of -1 over
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
    return out
