"""FAISS for the neighbours of many keys: words, songs, products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedsearch import index
from embedsearch.device import free_memory
from embedsearch.errors import IndexFileError
from embedsearch.index import IndexConfig, Measured, NumpyIndex
from embedsearch.index.section import read_measured
from embedsearch.types import SILENT, Progress
from embedsearch.word2vec.keyed_vectors import KeyedVectors, Term

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import Embeddings, Vectors

_ROWS_AT_A_TIME = 1 << 13
_LOOKED_AT = 256


class KeyIndex:
    """The vectors of keys, in the index that a collection has: planned, tuned and measured.

    `KeyedVectors` compares a query with every key, which takes 10 ms for 200,000 keys of 100
    numbers. With more keys and many queries this finds the same neighbours in a fraction of that,
    but for the share that `measured` tells (None where the planner keeps to exact search).
    """

    def __init__(self, vectors: KeyedVectors, found: NumpyIndex, measured: Measured | None) -> None:
        self._vectors = vectors
        self._index = found
        self.measured = measured

    @classmethod
    def build(
        cls,
        vectors: KeyedVectors,
        path: str | Path,
        config: IndexConfig | None = None,
        *,
        progress: Progress = SILENT,
    ) -> KeyIndex:
        """Writes an index of all vectors to the file `path`, and opens it.

        Raises InputError where FAISS refuses what `config` asks for, StorageError.
        """
        config = config or IndexConfig()
        index.check(config, vectors.vector_size)
        index.build(
            Path(path),
            _units(vectors),
            len(vectors),
            vectors.vector_size,
            config,
            memory=free_memory(),
            progress=progress,
        )
        return cls.open(vectors, path)

    @classmethod
    def open(cls, vectors: KeyedVectors, path: str | Path) -> KeyIndex:
        """Opens what `build` wrote for these vectors; the file is mapped.

        Raises NotFoundError, IndexFileError for a damaged file or one of other vectors.
        """
        path = Path(path)
        found = index.load(path)
        rows = np.linspace(0, len(vectors) - 1, _LOOKED_AT, dtype=np.int64)
        same = found.vectors.shape == vectors.vectors.shape
        if not same or not np.array_equal(found.vectors[rows], _unit(vectors, rows)):
            raise IndexFileError(f"{path} is the index of other vectors: build it again")
        return cls(vectors, found, read_measured(path))

    def most_similar(
        self,
        positive: Term | Sequence[Term] = (),
        negative: Term | Sequence[Term] = (),
        topn: int = 10,
    ) -> list[tuple[str, float]]:
        """As `KeyedVectors.most_similar`."""
        query, rows = self._vectors.sum_of(positive, negative)
        return self.nearest(query, topn, exclude=rows)

    def nearest(
        self, vector: NDArray[np.float32], topn: int = 10, *, exclude: Sequence[int] = ()
    ) -> list[tuple[str, float]]:
        """As `KeyedVectors.nearest`; equal ones in row order. Raises InputError."""
        query = self._vectors.checked_query(vector, topn)
        left_out = set(exclude)
        unit = query / np.linalg.norm(query)
        most = min(topn + len(left_out), len(self._index))
        scores, rows = self._index.search(unit[None], most)
        found = [
            (self._vectors.keys[row], float(score))
            for score, row in zip(scores[0], rows[0].tolist(), strict=True)
            if row >= 0 and row not in left_out
        ]
        return found[:topn]


def _units(vectors: KeyedVectors) -> Embeddings:
    def parts() -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        for at in range(0, len(vectors), _ROWS_AT_A_TIME):
            rows = np.arange(at, min(at + _ROWS_AT_A_TIME, len(vectors)), dtype=np.int64)
            yield rows, _unit(vectors, rows)

    return parts()


def _unit(vectors: KeyedVectors, rows: NDArray[np.int64]) -> Vectors:
    found: Vectors = vectors.vectors[rows] / vectors.norms[rows, None]
    return found
