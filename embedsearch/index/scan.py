"""Exact search by scoring every row with NumPy's matrix product."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.index.select import candidates, empty_result, margin_of, rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors

SCORES_AT_A_TIME = 1 << 24
"""64 MiB of float32: queries are taken in parts so that no more scores are held at once."""

GATHER_SHARE = 8
"""Up to 1/8 of the rows, copying the wanted ones together beats scoring all: of 100,000 x 384, on
one core, 12,500 rows take 2.6 to 4.6 ms, all rows 8; with two cores scoring all gains more."""

GATHER_ROWS = 1024
"""Rows copied at a time: few enough to stay in the processor's cache."""


ROWS_SUMMED = 4096
"""Rows whose sum float32 holds well."""


def positions_of(ids: RowIds, wanted: RowIds) -> NDArray[np.intp]:
    """Ascending positions in `ids` of those `wanted` that are there; both sorted and unique."""
    if not len(ids) or not len(wanted):
        return np.empty(0, dtype=np.intp)
    if len(wanted) * 16 > len(ids):
        return np.flatnonzero(np.isin(ids, wanted, assume_unique=True))
    places = np.searchsorted(ids, wanted)
    places = places[places < len(ids)]
    return np.asarray(places[ids[places] == wanted[: len(places)]])


def scan(
    vectors: Vectors,
    ids: RowIds,
    queries: Vectors,
    k: int,
    positions: NDArray[np.intp] | None = None,
) -> tuple[NDArray[np.float32], RowIds]:
    """The k best rows of each query, as `types.VectorIndex.search` returns them.

    `positions` (ascending) restricts the search to these rows. Arguments are not checked.
    """
    scores, found = empty_result(len(queries), k)
    if not len(ids) or (positions is not None and not len(positions)):
        return scores, found
    margin = margin_of(queries.shape[1])
    for at, approximate in _approximate_scores(vectors, queries, positions):
        rows = candidates(approximate, k, margin)
        if positions is not None:
            rows = positions[rows]
        best, best_ids = rank(vectors, ids, rows, queries[at], k)
        scores[at, : len(best)] = best
        found[at, : len(best)] = best_ids
    return scores, found


def _approximate_scores(
    vectors: Vectors, queries: Vectors, positions: NDArray[np.intp] | None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Each query's place and its scores of all rows, or of those at `positions`."""
    gather = positions is not None and len(positions) * GATHER_SHARE <= len(vectors)
    width = len(positions) if positions is not None and gather else len(vectors)
    step = max(1, SCORES_AT_A_TIME // width)
    for start in range(0, len(queries), step):
        part = queries[start : start + step]
        if positions is not None and gather:
            yield from enumerate(_gathered_scores(vectors, part, positions), start)
            continue
        for at, scores in enumerate(part @ vectors.T, start):
            yield at, scores if positions is None else scores[positions]


def _gathered_scores(
    vectors: Vectors, queries: Vectors, positions: NDArray[np.intp]
) -> NDArray[np.float32]:
    out = np.empty((len(queries), len(positions)), dtype=np.float32)
    for start in range(0, len(positions), GATHER_ROWS):
        part = positions[start : start + GATHER_ROWS]
        out[:, start : start + len(part)] = queries @ vectors[part].T
    return out


def sum_of(vectors: Vectors) -> NDArray[np.float64]:
    """The sum of the vectors, shape (dim,): by BLAS, a part at a time, parts added in float64."""
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(vectors), ROWS_SUMMED):
        part = vectors[start : start + ROWS_SUMMED]
        total += np.ones(len(part), dtype=np.float32) @ part
    return total
