"""An index that looks at some rows only: FAISS finds candidates, exact scores rank them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from embedsearch.index.codes import Codes, one_thread
from embedsearch.index.config import Measured
from embedsearch.index.faiss_flat import FaissFlat
from embedsearch.index.section import Section, read_section
from embedsearch.index.select import empty_result, margin_of, rank, score_each

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors

QUERIES_AT_A_TIME = 256
SPARE = 6
"""Rows scored in float64 beyond k, so that ties at the k-th place are seen."""

EXACT_ROWS = 10_000
"""Rows that a filter passes, up to which all are scored: 384 dimensions take 2 to 3 ms."""

EXACT_SHARE = 8
"""Scoring an eighth of the rows or more one by one costs what scoring all in one product does."""

CANDIDATES_FOR_THREADS = 2000
MOST_CANDIDATES = 2048
"""Beyond, FAISS's heaps cost more than they save."""


class FaissIndex(FaissFlat):
    """Unit vectors under ascending row ids, searched by the codes of a FAISS index.

    Vectors, ids and what they promise are those of `NumpyIndex`; scores are as exact. A row may be
    missed: `measured` says how often. What the codes are no help for is searched exactly: few rows,
    a filter that passes few, a `k` that wants a large part of all rows, a filter that leaves the
    neighbourhood of the query empty.
    """

    def __init__(
        self,
        ids: RowIds,
        vectors: Vectors,
        section: Section,
        *,
        checked: bool = False,
    ) -> None:
        super().__init__(ids, vectors, checked=checked)
        self._section = section
        self._codes = Codes.read(section.stored)
        self._allowed: tuple[NDArray[np.intp], NDArray[np.uint8]] | None = None

    @property
    def kind(self) -> str:
        return self._section.kind

    @property
    def measured(self) -> Measured:
        return self._section.measured

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """The sum of all vectors, shape (dim,), as it was found when the index was built."""
        return self._section.total

    @property
    def codes(self) -> Codes:
        """The FAISS index."""
        return self._codes

    @classmethod
    def load(cls, path: Path) -> Self:
        """As `NumpyIndex.load`, with the checksum of the codes."""
        ids, vectors, section = read_section(Path(path))
        return cls(ids, vectors, section, checked=True)

    def depth(self, k: int) -> int:
        """Candidates that are scored exactly when `k` are asked for."""
        return self.measured.depth + 2 * max(0, k - 10)

    def _search_all(self, queries: Vectors, k: int) -> tuple[NDArray[np.float32], RowIds]:
        if not self._pays(k, len(self)):
            return super()._search_all(queries, k)
        return self._approximate(queries, k, None)

    def search_at(
        self, queries: Vectors, k: int, positions: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], RowIds]:
        """See `NumpyIndex.search_at`; exact for up to `EXACT_ROWS` rows."""
        few = len(positions) <= EXACT_ROWS or not self._pays(k, len(positions))
        if few or not self.codes.selects:
            return super().search_at(queries, k, positions)
        return self._approximate(queries, k, positions)

    def _pays(self, k: int, rows: int) -> bool:
        return self.depth(k) <= min(MOST_CANDIDATES, rows // EXACT_SHARE)

    def _approximate(
        self, queries: Vectors, k: int, positions: NDArray[np.intp] | None
    ) -> tuple[NDArray[np.float32], RowIds]:
        scores, found = empty_result(len(queries), k)
        available = len(self) if positions is None else len(positions)
        bits = None if positions is None else self._bits(positions)
        probes = self.codes.probes_for(self.measured.probes, self.depth(k), available)
        for start in range(0, len(queries), QUERIES_AT_A_TIME):
            part = queries[start : start + QUERIES_AT_A_TIME]
            rows = self.codes.candidates(part, self.depth(k), probes, bits)
            short = (rows >= 0).sum(axis=1) < min(k, available)
            end = start + len(part)
            scores[start:end], found[start:end] = self._ranked(part, rows, k)
            for at in np.flatnonzero(short) + start:
                one = queries[at : at + 1]
                exactly = (
                    super()._search_all(one, k)
                    if positions is None
                    else super().search_at(one, k, positions)
                )
                scores[at : at + 1], found[at : at + 1] = exactly
        return scores, found

    def _bits(self, positions: NDArray[np.intp]) -> NDArray[np.uint8]:
        """One bit a row; kept for the next search, which often has the same rows deleted."""
        last = self._allowed
        if last is not None and last[0] is positions:
            return last[1]
        allowed = np.zeros(len(self), dtype=np.bool_)
        allowed[positions] = True
        bits = np.packbits(allowed, bitorder="little")
        self._allowed = positions, bits
        return bits

    def _ranked(
        self, queries: Vectors, rows: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.float32], RowIds]:
        """The k best of each query's candidates, by float32 first and by float64 at the end."""
        near = self._near_scores(queries, rows)
        kept = min(k + SPARE, rows.shape[1])
        best = np.argpartition(-near, kept - 1, axis=1)[:, :kept]
        best_rows = np.sort(np.take_along_axis(rows, best, axis=1), axis=1)
        exact = score_each(self._vectors, best_rows, queries)
        order = np.argsort(-exact, axis=1, kind="stable")[:, :k]
        scores, found = empty_result(len(queries), k)
        places = np.take_along_axis(best_rows, order, axis=1)
        width = places.shape[1]
        scores[:, :width] = np.take_along_axis(exact, order, axis=1)
        found[:, :width] = np.where(places >= 0, self._ids[places], -1)
        if kept < rows.shape[1]:
            self._untie(queries, rows, near, kept, scores, found)
        return scores, found

    def _untie(
        self,
        queries: Vectors,
        rows: NDArray[np.int64],
        near: NDArray[np.float32],
        kept: int,
        scores: NDArray[np.float32],
        found: RowIds,
    ) -> None:
        """Ranks all candidates of queries where one left out may tie with the k-th."""
        k = scores.shape[1]
        cut = -np.partition(-near, kept, axis=1)[:, kept]  # the best that was left out
        for at in np.flatnonzero(cut >= scores[:, -1] - margin_of(self.dim)):
            there = np.sort(rows[at][rows[at] >= 0])
            if len(there) < k:
                continue  # short of rows, and not of room
            scores[at], found[at] = rank(self._vectors, self._ids, there, queries[at], k)

    def _near_scores(self, queries: Vectors, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Inner products in float32 of each query with its candidates, -inf where there is none."""
        import faiss

        out = np.empty(rows.shape, dtype=np.float32)
        rows = np.ascontiguousarray(rows)
        with one_thread(when=rows.size < CANDIDATES_FOR_THREADS):
            faiss.fvec_inner_products_by_idx(
                faiss.swig_ptr(out),
                faiss.swig_ptr(queries),
                faiss.swig_ptr(self._vectors),
                faiss.swig_ptr(rows),
                self.dim,
                *rows.shape,
            )
        out[rows < 0] = -np.inf
        return out
