"""What a search sees: an index, the rows that came after it, less the rows deleted since."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from embedsearch.errors import InputError
from embedsearch.index.checks import check_ids, check_k, check_vectors
from embedsearch.index.scan import positions_of, scan, sum_of
from embedsearch.index.select import merge
from embedsearch.index.tail import Tail
from embedsearch.types import VectorIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors


class BaseIndex(VectorIndex, Protocol):
    """A vector index that tells its rows, and can be restricted to some by their place."""

    @property
    def dim(self) -> int: ...

    @property
    def ids(self) -> RowIds:
        """All row ids, ascending."""

    @property
    def vectors(self) -> Vectors:
        """All vectors, in the order of `ids`."""

    @property
    def total(self) -> NDArray[np.float64]:
        """The sum of all vectors, shape (dim,)."""

    def search_at(
        self, queries: Vectors, k: int, positions: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], RowIds]:
        """`search` among the rows at `positions` of `ids`, ascending. Arguments are not checked."""


class LiveIndex:
    """An immutable `types.VectorIndex` over base + tail - deleted, exact where its base is.

    `tail_ids` are ascending and above all ids of the base: a row id is never used twice.
    `deleted` may name rows of either part; what is in neither is passed over. Raises InputError.
    """

    def __init__(
        self, base: BaseIndex, tail_ids: RowIds, tail_vectors: Vectors, deleted: RowIds
    ) -> None:
        tail = _extended(base, Tail.empty(base.dim), tail_ids, tail_vectors)
        check_ids(deleted, "deleted")
        self._set(base, tail, _present(base.ids, deleted), _present(tail.ids, deleted))

    def _set(self, base: BaseIndex, tail: Tail, base_deleted: RowIds, tail_deleted: RowIds) -> None:
        self._base = base
        self._tail = tail
        self._base_deleted = base_deleted
        self._tail_deleted = tail_deleted

    @property
    def kind(self) -> str:
        return self._base.kind

    @property
    def dim(self) -> int:
        return self._base.dim

    @property
    def base(self) -> BaseIndex:
        return self._base

    @property
    def base_count(self) -> int:
        """Rows of the base, deleted ones included."""
        return len(self._base)

    @property
    def tail_count(self) -> int:
        """Rows that came after the base, deleted ones included."""
        return len(self._tail)

    @property
    def deleted_count(self) -> int:
        """Rows of base and tail that are deleted."""
        return len(self._base_deleted) + len(self._tail_deleted)

    def __len__(self) -> int:
        return self.base_count + self.tail_count - self.deleted_count

    @cached_property
    def centroid(self) -> NDArray[np.float32]:
        """The mean of all vectors, shape (dim,); zero where there are none."""
        total = self._base.total + sum_of(self._tail.vectors)
        for ids, vectors, gone in (
            (self._base.ids, self._base.vectors, self._base_deleted),
            (self._tail.ids, self._tail.vectors, self._tail_deleted),
        ):
            total = total - sum_of(vectors[positions_of(ids, gone)])
        return (total / max(1, len(self))).astype(np.float32)

    def with_changes(
        self, new_ids: RowIds, new_vectors: Vectors, newly_deleted: RowIds
    ) -> LiveIndex:
        """The index after rows came, then rows went; costs what changed, and this one stays.

        `new_ids` are ascending and above all ids so far; `newly_deleted`, sorted and unique, may
        name rows that are deleted already or were never seen. Raises InputError.
        """
        check_ids(newly_deleted, "newly_deleted")
        tail = _extended(self._base, self._tail, new_ids, new_vectors)
        changed = LiveIndex.__new__(LiveIndex)
        changed._set(
            self._base,
            tail,
            np.union1d(self._base_deleted, _present(self._base.ids, newly_deleted)),
            np.union1d(self._tail_deleted, _present(tail.ids, newly_deleted)),
        )
        return changed

    def search(
        self, queries: Vectors, k: int, allowed: RowIds | None = None
    ) -> tuple[NDArray[np.float32], RowIds]:
        """The k best rows of each query; see `types.VectorIndex.search`. Raises InputError."""
        check_vectors(queries, self.dim, "queries")
        k = check_k(k)
        if allowed is not None:
            check_ids(allowed, "allowed")
        base = self._search_base(queries, k, allowed)
        tail = self._tail
        if not len(tail):
            return base
        positions = self._tail_positions(allowed)
        return merge([base, scan(tail.vectors, tail.ids, queries, k, positions)], k)

    def _search_base(
        self, queries: Vectors, k: int, allowed: RowIds | None
    ) -> tuple[NDArray[np.float32], RowIds]:
        gone = self._base_deleted
        if allowed is not None:
            return self._base.search(queries, k, _without(allowed, gone))
        if not len(gone):
            return self._base.search(queries, k)
        return self._base.search_at(queries, k, self._base_left)

    @cached_property
    def _base_left(self) -> NDArray[np.intp]:
        """Positions of the base that are not deleted.

        Found once and kept. With 100 to 5,000 of 100,000 rows deleted a search takes 1.1 times as
        long as a bare product; to ask for so many more rows and drop them took 1.2 to 1.4 times.
        """
        left = np.ones(len(self._base), dtype=np.bool_)
        left[positions_of(self._base.ids, self._base_deleted)] = False
        return np.flatnonzero(left)

    def _tail_positions(self, allowed: RowIds | None) -> NDArray[np.intp] | None:
        """Rows of the tail to be searched, None for all."""
        if allowed is None and not len(self._tail_deleted):
            return None
        wanted = self._tail.ids if allowed is None else allowed
        return positions_of(self._tail.ids, _without(wanted, self._tail_deleted))


def _present(ids: RowIds, wanted: RowIds) -> RowIds:
    """Those of `wanted` that are among `ids`, both sorted and unique."""
    return ids[positions_of(ids, wanted)]


def _without(ids: RowIds, gone: RowIds) -> RowIds:
    """`ids` less `gone`, both sorted and unique."""
    if not len(gone):
        return ids
    return np.asarray(ids[np.isin(ids, gone, assume_unique=True, invert=True)])


def _extended(base: BaseIndex, tail: Tail, ids: RowIds, vectors: Vectors) -> Tail:
    check_ids(ids, "new ids")
    check_vectors(vectors, base.dim)
    if len(ids) != len(vectors):
        raise InputError(f"{len(ids)} new ids do not go with {len(vectors)} vectors")
    if not len(ids):
        return tail
    before = tail.ids if len(tail) else base.ids
    if len(before) and ids[0] <= before[-1]:
        raise InputError(f"the new id {ids[0]} is not above {before[-1]}, the last one there is")
    return tail.extended(ids, vectors)
