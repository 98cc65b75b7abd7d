"""Rows that came after the index was built, in arrays that grow at the end."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from embedsearch.types import RowIds, Vectors

SMALLEST = 64


class _Buffer:
    """Arrays of which the first `used` rows are written and never change."""

    def __init__(self, capacity: int, dim: int) -> None:
        self.ids = np.empty(capacity, dtype=np.int64)
        self.vectors = np.empty((capacity, dim), dtype=np.float32)
        self.used = 0
        self.lock = Lock()

    def write(self, ids: RowIds, vectors: Vectors) -> int:
        start, self.used = self.used, self.used + len(ids)
        self.ids[start : self.used] = ids
        self.vectors[start : self.used] = vectors
        return self.used


class Tail:
    """An immutable list of rows: ids ascending, vectors of shape (count, dim).

    A tail and those made from it by `extended` share one buffer while there is room, so that
    appending costs what is appended, amortised.
    """

    def __init__(self, buffer: _Buffer, count: int) -> None:
        self._buffer = buffer
        self._count = count

    @classmethod
    def empty(cls, dim: int) -> Tail:
        return cls(_Buffer(0, dim), 0)

    @property
    def ids(self) -> RowIds:
        return self._buffer.ids[: self._count]

    @property
    def vectors(self) -> Vectors:
        return self._buffer.vectors[: self._count]

    def __len__(self) -> int:
        return self._count

    def extended(self, ids: RowIds, vectors: Vectors) -> Tail:
        """This tail with more rows; this one stays as it is."""
        buffer = self._buffer
        total = self._count + len(ids)
        with buffer.lock:
            # another tail may have written behind this one's rows already
            if buffer.used == self._count and total <= len(buffer.ids):
                return Tail(buffer, buffer.write(ids, vectors))
        grown = _Buffer(max(SMALLEST, 2 * total), vectors.shape[1])
        grown.write(self.ids, self.vectors)
        return Tail(grown, grown.write(ids, vectors))
