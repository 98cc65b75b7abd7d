"""An index that looks at some rows only: FAISS finds candidates, exact scores rank them."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from embedsearch.index.codes import Codes
from embedsearch.index.config import Measured
from embedsearch.index.faiss_flat import FaissFlat
from embedsearch.index.reranking import ranked
from embedsearch.index.section import Section, read_section
from embedsearch.index.select import empty_result
from embedsearch.index.tune import K

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors

QUERIES_AT_A_TIME = 256
EXACT_ROWS = 10_000
"""Rows that a filter passes, up to which all are scored: 384 dimensions take 2 to 3 ms."""

EXACT_SHARE = 8
"""Scoring an eighth of the rows or more one by one costs what scoring all in one product does."""

MOST_CANDIDATES = 4096
"""Beyond, FAISS's heaps cost more than they save."""

DEPTH_EXPONENT = 0.92
"""How candidates grow with k, so that of the k nearest the same share is found: on 300,000
sentences, with 240 for 10 (0.985), recall@100 is 0.983 with 2,000 and 0.93 with 420."""


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
        self._codes = Codes.read(section.stored, section.measured.gaps)
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
        return math.ceil(self.measured.depth * math.pow(max(1.0, k / K), DEPTH_EXPONENT))

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
        if not len(queries):
            return empty_result(0, k)
        available = len(self) if positions is None else len(positions)
        bits = None if positions is None else self._bits(positions)
        depth = self.depth(k)
        probes = self.codes.probes_for(self.measured.probes, depth, available)
        parts = []
        for start in range(0, len(queries), QUERIES_AT_A_TIME):
            part = queries[start : start + QUERIES_AT_A_TIME]
            rows = self.codes.candidates(part, depth, probes, bits)
            scores, found = ranked(self._vectors, self._ids, part, rows, k)
            # those found stand first: the last of as many as there could be tells whether there are
            for at in np.flatnonzero(found[:, min(k, available) - 1] < 0):
                one = part[at : at + 1]
                scores[at : at + 1], found[at : at + 1] = (
                    super()._search_all(one, k)
                    if positions is None
                    else super().search_at(one, k, positions)
                )
            parts.append((scores, found))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([s for s, _ in parts]), np.concatenate([f for _, f in parts])

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
