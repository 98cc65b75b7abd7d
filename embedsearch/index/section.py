"""What an index file holds beside vectors and ids: how it was planned, and FAISS's own index.

dim float64          the sum of the vectors, so that no search has to read them all for it
int64                the length of the JSON
JSON                 `Measured`, padded with blanks to 64 bytes
to the end           the index in FAISS's file format; nothing where search is exact
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import IndexFileError, InputError, NotFoundError, StorageError
from embedsearch.index.codes import Codes
from embedsearch.index.config import IndexConfig, Measured
from embedsearch.index.file import Header, damaged, read_header, read_index_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors

LENGTH = struct.Struct("=q")
ALIGNMENT = 64
LONGEST_JSON = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Section:
    """`stored` is FAISS's index as bytes, empty where search is exact."""

    total: NDArray[np.float64]
    measured: Measured
    stored: NDArray[np.uint8]

    @property
    def kind(self) -> str:
        return kind_of(self.measured.factory)


def kind_of(factory: str) -> str:
    """For instance `faiss-ivf`, of a factory string."""
    if factory == "Flat":
        return "faiss-flat"
    names = [name for name in ("HNSW", "IVF") if name in factory]
    return f"faiss-{names[-1].lower()}" if names else "faiss-codes"


def write_section(
    write: Callable[[bytes], object],
    total: NDArray[np.float64],
    measured: Measured,
    codes: Codes | None,
) -> None:
    """Hands the section to `write`, part by part."""
    text = json.dumps(asdict(measured)).encode()
    padded = text.ljust(-(-len(text) // ALIGNMENT) * ALIGNMENT)
    write(total.astype(np.float64).tobytes() + LENGTH.pack(len(padded)) + padded)
    if codes is not None:
        codes.write(write)


def read_section(path: Path) -> tuple[RowIds, Vectors, Section]:
    """Ids, vectors and section of an index file that has one; all but the ids are mapped.

    Raises as `file.read_index_file`, and IndexFileError where the section fails its checksum.
    """
    ids, vectors = read_index_file(path)
    header = _header(path)
    if not header.section_size:
        raise damaged(path, "it has no codes")
    mapped = np.memmap(path, dtype=np.uint8, mode="r", offset=header.ids_end)
    section = mapped.view(np.ndarray)
    if len(section) != header.section_size or zlib.crc32(section.data) != header.section_crc:
        raise damaged(path, "its codes fail their checksum")
    measured, end = _read_measured(section[: 8 * header.dim + 8 + LONGEST_JSON], header, path)
    total = np.frombuffer(section[: 8 * header.dim].tobytes(), dtype=np.float64)
    return ids, vectors, Section(total=total, measured=measured, stored=section[end:])


def read_measured(path: Path) -> Measured | None:
    """How the index in a file was planned and what was measured; None where nothing was planned.

    Reads the head of the section alone, which is not checked against its checksum. Raises
    NotFoundError, IndexFileError, StorageError.
    """
    header = _header(path)
    if not header.section_size:
        return None
    with path.open("rb") as file:
        file.seek(header.ids_end)
        head = file.read(8 * header.dim + LENGTH.size + LONGEST_JSON)
    return _read_measured(np.frombuffer(head, dtype=np.uint8), header, path)[0]


def _header(path: Path) -> Header:
    try:
        with path.open("rb") as file:
            return read_header(file, path)
    except FileNotFoundError:
        raise NotFoundError(f"there is no index file {path}") from None
    except OSError as error:
        raise StorageError(
            f"the index file {path} could not be read: {error.strerror or error}"
        ) from error


def _read_measured(head: NDArray[np.uint8], header: Header, path: Path) -> tuple[Measured, int]:
    """What was measured, and where FAISS's index begins."""
    start = 8 * header.dim + LENGTH.size
    try:
        (length,) = LENGTH.unpack_from(head.data, start - LENGTH.size)
        if not 0 < length <= LONGEST_JSON:
            raise IndexFileError("length")
        fields = json.loads(head[start : start + length].tobytes())
        asked = IndexConfig(**fields.pop("asked"))
        return Measured(asked=asked, **fields), start + length
    except (ValueError, TypeError, KeyError, AttributeError, struct.error, InputError) as error:
        raise damaged(path, "what was measured cannot be read") from error
