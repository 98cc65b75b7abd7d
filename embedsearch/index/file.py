"""The file of an exact index: one page of header, the vectors, the row ids.

    bytes 0 … 4095       magic, version, metric, dim, count, CRC-32 of vectors and of ids, zeros,
                         CRC-32 of this page (its last four bytes)
    from 4096            count x dim float32
    to the end           count int64

Numbers are in the byte order of the machine. The vectors start on a page, so they can be mapped:
a FAISS file cannot, its vectors start at an odd byte, and to read 150 MB takes 100 ms where
mapping takes 1. A search reads all of them anyway, so nothing is gained by more checks on opening
than that of the size and of everything but the vectors; `verify_index_file` checks these as well.
"""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from embedsearch.errors import IndexFileError, NotFoundError, StorageError

if TYPE_CHECKING:
    from embedsearch.types import RowIds, Vectors

PAGE = 4096
MAGIC = b"ESVECTOR"
VERSION = 1
INNER_PRODUCT = 0
HEADER = struct.Struct("=8sIIQQII")
CHECKSUM = struct.Struct("=I")
BYTES_AT_A_TIME = 1 << 24


@dataclass(frozen=True, kw_only=True)
class _Header:
    dim: int
    count: int
    vectors_crc: int
    ids_crc: int

    @property
    def vectors_end(self) -> int:
        return PAGE + self.count * self.dim * 4

    @property
    def size(self) -> int:
        return self.vectors_end + self.count * 8


def write_index_file(path: Path, ids: RowIds, vectors: Vectors) -> None:
    """Writes `path` anew: under another name, flushed to the disk, then put in its place.

    A crash leaves the old file or the new one, and at most a `.tmp` beside it. Raises
    StorageError.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(_pack_header(ids, vectors))
                file.write(_bytes(vectors))
                file.write(_bytes(ids))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"the index file {path} could not be written: {error.strerror or error}"
        ) from error


def read_index_file(path: Path) -> tuple[RowIds, Vectors]:
    """Ids and vectors of an index file; the vectors are mapped, read-only.

    Raises NotFoundError, IndexFileError, StorageError.
    """
    try:
        with path.open("rb") as file:
            header = _read_header(file, path)
            file.seek(header.vectors_end)
            ids = np.fromfile(file, dtype=np.int64, count=header.count)
            if len(ids) != header.count or zlib.crc32(_bytes(ids)) != header.ids_crc:
                raise _damaged(path, "its row ids fail their checksum")
            shape = (header.count, header.dim)
            if not header.count:
                return ids, np.empty(shape, dtype=np.float32)
            # np.memmap holds its own handle, and a plain view keeps it alive
            mapped = np.memmap(file, dtype=np.float32, mode="r", offset=PAGE, shape=shape)
            return ids, mapped.view(np.ndarray)
    except FileNotFoundError:
        raise NotFoundError(f"there is no index file {path}") from None
    except (ValueError, OverflowError) as error:
        if isinstance(error, IndexFileError):
            raise
        raise _damaged(path, "its header makes no sense") from error
    except OSError as error:
        raise StorageError(
            f"the index file {path} could not be read: {error.strerror or error}"
        ) from error


def index_checksum(path: Path) -> int:
    """CRC-32 of the header, which holds those of all the rest: tells one file from another.

    Raises as `read_index_file`.
    """
    try:
        with path.open("rb") as file:
            _read_header(file, path)
            file.seek(PAGE - CHECKSUM.size)
            return int(CHECKSUM.unpack(file.read(CHECKSUM.size))[0])
    except FileNotFoundError:
        raise NotFoundError(f"there is no index file {path}") from None
    except OSError as error:
        raise StorageError(
            f"the index file {path} could not be read: {error.strerror or error}"
        ) from error


def verify_index_file(path: Path) -> None:
    """Reads all of an index file; raises as `read_index_file`, IndexFileError for any damage."""
    read_index_file(path)
    try:
        with path.open("rb") as file:
            header = _read_header(file, path)
            left = header.vectors_end - PAGE
            crc = 0
            while left and (data := file.read(min(left, BYTES_AT_A_TIME))):
                crc = zlib.crc32(data, crc)
                left -= len(data)
    except OSError as error:
        raise StorageError(
            f"the index file {path} could not be read: {error.strerror or error}"
        ) from error
    if left or crc != header.vectors_crc:
        raise _damaged(path, "its vectors fail their checksum")


def _pack_header(ids: RowIds, vectors: Vectors) -> bytes:
    count, dim = vectors.shape
    crcs = zlib.crc32(_bytes(vectors)), zlib.crc32(_bytes(ids))
    page = HEADER.pack(MAGIC, VERSION, INNER_PRODUCT, dim, count, *crcs)
    page = page.ljust(PAGE - CHECKSUM.size, b"\0")
    return page + CHECKSUM.pack(zlib.crc32(page))


def _read_header(file: BinaryIO, path: Path) -> _Header:
    """The header, after checks of it and of the file's size; the file is left at the vectors."""
    page = file.read(PAGE)
    if not page.startswith(MAGIC):
        raise IndexFileError(f"{path} is not an index file of embedsearch; build the index again")
    if len(page) < PAGE:
        raise _damaged(path, "it is cut short")
    if CHECKSUM.pack(zlib.crc32(page[: -CHECKSUM.size])) != page[-CHECKSUM.size :]:
        raise _damaged(path, "its header fails its checksum")
    _, version, metric, dim, count, vectors_crc, ids_crc = HEADER.unpack_from(page)
    if version != VERSION or metric != INNER_PRODUCT or not dim:
        raise IndexFileError(
            f"the index file {path} has version {version} and metric {metric}, where this program "
            f"reads version {VERSION} and metric {INNER_PRODUCT}; build the index again"
        )
    header = _Header(dim=dim, count=count, vectors_crc=vectors_crc, ids_crc=ids_crc)
    size = os.fstat(file.fileno()).st_size
    if size != header.size:
        raise _damaged(path, f"it has {size} bytes and should have {header.size}")
    return header


def _bytes(array: RowIds | Vectors) -> memoryview:
    # an array without elements has no shape that can be cast
    return array.data.cast("B") if array.size else memoryview(b"")


def _sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` last; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(path: Path, reason: str) -> IndexFileError:
    return IndexFileError(f"the index file {path} is damaged: {reason}; build the index again")
