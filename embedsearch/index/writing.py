"""Writing an index file batch by batch: what is in it need not fit into memory."""

from __future__ import annotations

import os
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from embedsearch.errors import EmbedSearchError, StorageError
from embedsearch.index.file import PAGE, Header, as_bytes, pack_header, sync_folder
from embedsearch.index.scan import sum_of

if TYPE_CHECKING:
    from embedsearch.types import RowIds, Vectors


class IndexFileWriter:
    """Writes `path` anew: under another name, flushed to the disk, then put in its place.

    A context: left by an error, or before `finish`, it leaves the old file as it was. A crash
    leaves the old file or the new one, and at most a `.tmp` beside it. Raises StorageError where
    the disk is full, read-only or failing.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self._path = path
        self._temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        self._dim = dim
        self._ids: list[RowIds] = []
        self._vectors_crc = 0
        self._count = 0
        self.total = np.zeros(dim)
        """The sum of the vectors so far, float64 of shape (dim,)."""
        try:
            self._file = self._temporary.open("xb")
            self._file.write(bytes(PAGE))
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)  # gone where it was finished
        if isinstance(error, OSError) and not isinstance(error, EmbedSearchError):
            raise self._failed(error) from error

    def append(self, ids: RowIds, vectors: Vectors) -> None:
        """More rows: ids above all before them, and their vectors. They are not checked."""
        self._file.write(as_bytes(vectors))
        self._vectors_crc = zlib.crc32(as_bytes(vectors), self._vectors_crc)
        self._ids.append(ids.copy())
        self._count += len(ids)
        self.total += sum_of(vectors)

    def vectors(self) -> Vectors:
        """All vectors so far, mapped from the file; they must not be used after `finish`."""
        self._file.flush()
        shape = (self._count, self._dim)
        if not self._count:
            return np.empty(shape, dtype=np.float32)
        mapped = np.memmap(self._temporary, dtype=np.float32, mode="r", offset=PAGE, shape=shape)
        return mapped.view(np.ndarray)

    def ids(self) -> RowIds:
        """All ids so far."""
        return np.concatenate([np.empty(0, dtype=np.int64), *self._ids])

    def finish(self, section: Callable[[Callable[[bytes], object]], None] | None = None) -> None:
        """Writes ids and header and puts the file in its place.

        `section`, where given, is called with a function that writes bytes behind the ids.
        """
        ids = self.ids()
        self._file.write(as_bytes(ids))
        size = crc = 0

        def write(data: bytes) -> None:
            nonlocal size, crc
            self._file.write(data)
            size += len(data)
            crc = zlib.crc32(data, crc)

        if section is not None:
            section(write)
        header = Header(
            dim=self._dim,
            count=self._count,
            vectors_crc=self._vectors_crc,
            ids_crc=zlib.crc32(as_bytes(ids)),
            section_size=size,
            section_crc=crc,
        )
        self._file.seek(0)
        self._file.write(pack_header(header))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()  # Windows moves no file that is open
        self._temporary.replace(self._path)
        sync_folder(self._path.parent)

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"the index file {self._path} could not be written: {error.strerror or error}"
        )
