"""The exact index in plain NumPy: the oracle of the others, and what serves without FAISS."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from embedsearch.errors import InputError
from embedsearch.index.checks import check_ids, check_k, check_shape, check_vectors
from embedsearch.index.file import read_index_file
from embedsearch.index.scan import positions_of, scan, sum_of
from embedsearch.index.writing import IndexFileWriter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors


class NumpyIndex:
    """Unit vectors under ascending row ids, searched exactly by inner product.

    `ids`, int64 of shape (n,), and `vectors`, float32 of shape (n, dim), are kept, not copied: they
    must not be written to afterwards. They are checked for finite values and unit length (a vector
    may be zero) unless `checked` says that this was done. Raises InputError.
    """

    def __init__(self, ids: RowIds, vectors: Vectors, *, checked: bool = False) -> None:
        check_ids(ids)
        if checked:
            check_shape(vectors, None)
        else:
            check_vectors(vectors, None)
        if len(ids) != len(vectors):
            raise InputError(f"{len(ids)} ids do not go with {len(vectors)} vectors")
        self._ids = ids
        self._vectors = vectors

    @property
    def kind(self) -> str:
        return "numpy-exact"

    @property
    def dim(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def ids(self) -> RowIds:
        """All row ids, ascending."""
        return self._ids

    @property
    def vectors(self) -> Vectors:
        """All vectors, in the order of `ids`; after `load` read-only, mapped from the file."""
        return self._vectors

    def __len__(self) -> int:
        return len(self._ids)

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """The sum of all vectors, shape (dim,)."""
        return sum_of(self._vectors)

    def search(
        self, queries: Vectors, k: int, allowed: RowIds | None = None
    ) -> tuple[NDArray[np.float32], RowIds]:
        """The k best rows of each query; see `types.VectorIndex.search`. Raises InputError."""
        check_vectors(queries, self.dim, "queries")
        k = check_k(k)
        if allowed is None:
            return self._search_all(queries, k)
        check_ids(allowed, "allowed")
        return self.search_at(queries, k, positions_of(self._ids, allowed))

    def search_at(
        self, queries: Vectors, k: int, positions: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], RowIds]:
        """`search` among the rows at `positions` of `ids`, ascending. Arguments are not checked."""
        return scan(self._vectors, self._ids, queries, k, positions)

    def _search_all(self, queries: Vectors, k: int) -> tuple[NDArray[np.float32], RowIds]:
        return scan(self._vectors, self._ids, queries, k)

    def save(self, folder: Path, name: str) -> Path:
        """Writes the index to `folder / name`, whole or not at all; returns that path.

        Raises StorageError where the disk is full, read-only or failing.
        """
        path = Path(folder) / name
        with IndexFileWriter(path, self.dim) as writer:
            writer.append(self._ids, self._vectors)
            writer.finish()
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Opens an index file without reading its vectors: they are mapped, and read as needed.

        Raises NotFoundError, IndexFileError where the file is cut short, of another kind or damaged
        outside the vectors (`verify` finds the rest), StorageError where it cannot be read.
        """
        return cls(*read_index_file(Path(path)), checked=True)
