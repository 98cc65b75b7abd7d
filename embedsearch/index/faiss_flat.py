"""The exact index with FAISS for large batches of queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedsearch.index.codes import one_thread
from embedsearch.index.exact import NumpyIndex
from embedsearch.index.scan import scan
from embedsearch.index.select import empty_result, margin_of, rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors

FAISS_WORK = 128_000
"""Number of queries times dimension from which FAISS is called.

From there on FAISS 1.15 multiplies matrices in cache-sized blocks and never holds all scores
(`faiss.cvar.distance_compute_blas_threshold`). Below, it scores one row at a time, and NumPy's
matrix product over the same memory is faster. 100,000 x 384, k=100, one core, milliseconds:

    queries     1    4    8   32   160   1024
    NumPy     7.8   20   24   43   168   1167     selection of the k best included
    FAISS     6.7   27   53  194   983    893

A single query on two cores takes NumPy 3.5 (both cores), FAISS 8 (IndexFlatIP uses one core a
query; two threads over halves, or IndexShards, do no better).
"""

SPARE = 32
"""Rows asked of FAISS beyond k, so that ties at the k-th place are seen."""


class FaissFlat(NumpyIndex):
    """`NumpyIndex` over the same memory and files, with FAISS's exact kernels for large batches."""

    @property
    def kind(self) -> str:
        return "faiss-flat"

    def _search_all(self, queries: Vectors, k: int) -> tuple[NDArray[np.float32], RowIds]:
        if len(queries) * self.dim < FAISS_WORK or not len(self):
            return super()._search_all(queries, k)
        import faiss

        fetch = min(k + SPARE, len(self))
        with one_thread(when=False):
            approximate, rows = faiss.knn(
                queries, self._vectors, fetch, metric=faiss.METRIC_INNER_PRODUCT
            )
        scores, found = empty_result(len(queries), k)
        margin = margin_of(self.dim)
        kept = min(k, fetch)
        for at, query in enumerate(queries):
            if fetch < len(self) and approximate[at, -1] >= approximate[at, k - 1] - margin:
                # more rows may tie for the k-th place than FAISS was asked for
                scores[at : at + 1], found[at : at + 1] = scan(
                    self._vectors, self._ids, queries[at : at + 1], k
                )
            else:
                scores[at, :kept], found[at, :kept] = rank(
                    self._vectors, self._ids, np.sort(rows[at]), query, k
                )
        return scores, found
