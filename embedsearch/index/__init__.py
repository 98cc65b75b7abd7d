"""Vector indexes: exact search by inner product over unit vectors, under int64 row ids."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import InputError
from embedsearch.index.checks import check_ids, check_vectors
from embedsearch.index.exact import NumpyIndex
from embedsearch.index.faiss_flat import FaissFlat
from embedsearch.index.file import index_checksum as checksum
from embedsearch.index.file import verify_index_file as verify
from embedsearch.index.live import LiveIndex

if TYPE_CHECKING:
    from embedsearch.types import Embeddings

__all__ = [
    "FaissFlat",
    "LiveIndex",
    "NumpyIndex",
    "build",
    "checksum",
    "faiss_available",
    "load",
    "verify",
]


def faiss_available() -> bool:
    """Whether `faiss` is installed (it is not imported)."""
    return find_spec("faiss") is not None


def build(embeddings: Embeddings, count: int, dim: int) -> NumpyIndex:
    """An index of `count` vectors that come in batches; no second copy of them is made.

    It is a `FaissFlat` where FAISS is installed, else a `NumpyIndex`. Raises InputError where ids
    are not ascending over all batches, vectors are not of unit length, or the count is not right.
    """
    ids = np.empty(count, dtype=np.int64)
    vectors = np.empty((count, dim), dtype=np.float32)
    filled = 0
    for batch_ids, batch in embeddings:
        check_ids(batch_ids)
        check_vectors(batch, dim)
        end = filled + len(batch_ids)
        if len(batch_ids) != len(batch) or end > count:
            raise InputError(
                f"{len(batch_ids)} ids with {len(batch)} vectors came after {filled} of {count}"
            )
        ids[filled:end] = batch_ids
        vectors[filled:end] = batch
        filled = end
    if filled != count:
        raise InputError(f"{count} vectors were announced and {filled} came")
    return _best_kind()(ids, vectors, checked=True)


def load(path: Path) -> NumpyIndex:
    """Opens an index file, whichever of the two kinds wrote it, as `build` would make it.

    Raises NotFoundError, IndexFileError, StorageError; see `NumpyIndex.load`.
    """
    return _best_kind().load(path)


def _best_kind() -> type[NumpyIndex]:
    return FaissFlat if faiss_available() else NumpyIndex
