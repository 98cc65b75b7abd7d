"""The file of an index: one page of header, the vectors, the row ids, and what FAISS made of them.

    bytes 0 … 4095       magic, version, metric, dim, count, CRC-32 of vectors and of ids, size and
                         CRC-32 of the section, zeros, CRC-32 of this page (its last four bytes)
    from 4096            count x dim float32
    then                 count int64
    to the end           the section (see `section`); none, and version 1, where nothing was planned

Numbers are in the byte order of the machine. The vectors start on a page, so they can be mapped:
a FAISS file cannot, its vectors start at an odd byte, and to read 150 MB takes 100 ms where
mapping takes 1. A search reads all of them anyway, so nothing is gained by more checks on opening
than that of the size and of everything but the vectors; `verify_index_file` checks these as well.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from embedsearch.errors import IndexFileError, NotFoundError, StorageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors

PAGE = 4096
MAGIC = b"ESVECTOR"
VERSION = 1
VERSION_WITH_SECTION = 2
INNER_PRODUCT = 0
HEADER = struct.Struct("=8sIIQQII")
SECTION = struct.Struct("=QI")
"""Size and CRC-32 of the section, after the header's other fields."""

CHECKSUM = struct.Struct("=I")
BYTES_AT_A_TIME = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the first page says; `section_size` is 0 where there is no section."""

    dim: int
    count: int
    vectors_crc: int
    ids_crc: int
    section_size: int = 0
    section_crc: int = 0

    @property
    def vectors_end(self) -> int:
        return PAGE + self.count * self.dim * 4

    @property
    def ids_end(self) -> int:
        return self.vectors_end + self.count * 8

    @property
    def size(self) -> int:
        return self.ids_end + self.section_size


def read_index_file(path: Path) -> tuple[RowIds, Vectors]:
    """Ids and vectors of an index file; the vectors are mapped, read-only.

    Raises NotFoundError, IndexFileError, StorageError.
    """
    try:
        with path.open("rb") as file:
            header = read_header(file, path)
            file.seek(header.vectors_end)
            ids = np.fromfile(file, dtype=np.int64, count=header.count)
            if len(ids) != header.count or zlib.crc32(as_bytes(ids)) != header.ids_crc:
                raise damaged(path, "its row ids fail their checksum")
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
        raise damaged(path, "its header makes no sense") from error
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
            read_header(file, path)
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
            header = read_header(file, path)
            parts = (
                ("vectors", PAGE, header.vectors_end, header.vectors_crc),
                ("codes", header.ids_end, header.size, header.section_crc),
            )
            for name, start, end, expected in parts:
                if _crc(file, start, end) != expected:
                    raise damaged(path, f"its {name} fail their checksum")
    except OSError as error:
        raise StorageError(
            f"the index file {path} could not be read: {error.strerror or error}"
        ) from error


def _crc(file: BinaryIO, start: int, end: int) -> int | None:
    """CRC-32 of a part of the file; None where it ends before."""
    file.seek(start)
    left, crc = end - start, 0
    while left and (data := file.read(min(left, BYTES_AT_A_TIME))):
        crc = zlib.crc32(data, crc)
        left -= len(data)
    return None if left else crc


def pack_header(header: Header) -> bytes:
    """The first page."""
    version = VERSION_WITH_SECTION if header.section_size else VERSION
    page = HEADER.pack(
        MAGIC,
        version,
        INNER_PRODUCT,
        header.dim,
        header.count,
        header.vectors_crc,
        header.ids_crc,
    ) + SECTION.pack(header.section_size, header.section_crc)
    page = page.ljust(PAGE - CHECKSUM.size, b"\0")
    return page + CHECKSUM.pack(zlib.crc32(page))


def read_header(file: BinaryIO, path: Path) -> Header:
    """The header, after checks of it and of the file's size; the file is left at the vectors."""
    page = file.read(PAGE)
    if not page.startswith(MAGIC):
        raise IndexFileError(f"{path} is not an index file of embedsearch; build the index again")
    if len(page) < PAGE:
        raise damaged(path, "it is cut short")
    if CHECKSUM.pack(zlib.crc32(page[: -CHECKSUM.size])) != page[-CHECKSUM.size :]:
        raise damaged(path, "its header fails its checksum")
    _, version, metric, dim, count, vectors_crc, ids_crc = HEADER.unpack_from(page)
    section_size, section_crc = SECTION.unpack_from(page, HEADER.size)
    expected = VERSION_WITH_SECTION if section_size else VERSION
    if version != expected or metric != INNER_PRODUCT or not dim:
        raise IndexFileError(
            f"the index file {path} has version {version} and metric {metric}, where this program "
            f"reads version {expected} and metric {INNER_PRODUCT}; build the index again"
        )
    header = Header(
        dim=dim,
        count=count,
        vectors_crc=vectors_crc,
        ids_crc=ids_crc,
        section_size=section_size,
        section_crc=section_crc,
    )
    size = os.fstat(file.fileno()).st_size
    if size != header.size:
        raise damaged(path, f"it has {size} bytes and should have {header.size}")
    return header


def as_bytes(array: NDArray[Any]) -> memoryview:
    """The bytes of an array, without a copy."""
    # an array without elements has no shape that can be cast
    return array.data.cast("B") if array.size else memoryview(b"")


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` last; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def damaged(path: Path, reason: str) -> IndexFileError:
    """The error that says what is wrong with a file."""
    return IndexFileError(f"the index file {path} is damaged: {reason}; build the index again")
