"""The text and binary formats of word2vec.c, which gensim, fastText and many others read and write.

Text: a line `count size`, then a line for each vector: the key and its numbers, between blanks.
Binary: the same first line, then for each vector the key, a blank, and little-endian float32; a
newline may follow. gensim 4.4's `_word2vec_read_binary` is the same reading.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from embedsearch.errors import IndexFileError, InputError, NotFoundError, StorageError
from embedsearch.word2vec.config import MAX_VECTOR_SIZE
from embedsearch.word2vec.folder import replace_file
from embedsearch.word2vec.keyed_vectors import KeyedVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Row = tuple[bytes, NDArray[np.float32]]

_MAX_KEY = 4096
_MAX_NUMBER = 64
_MAX_HEADER = 256
_READ_ROWS = 1 << 12
_PICKLE, _GZIP, _FASTTEXT = b"\x80", b"\x1f\x8b", b"\xba\x16\x4f\x2f"
_AS_OBJECT = (
    "load it where it was made and hand over the object: KeyedVectors.from_gensim("
    "gensim.models.KeyedVectors.load(path)), or save it there with save_word2vec_format"
)


def write_vectors(found: KeyedVectors, path: Path, *, binary: bool) -> None:
    """See `KeyedVectors.save_word2vec_format`. Numbers of the text format read back exactly."""
    for key in found.keys:
        if not key or key.split() != [key]:
            raise InputError(
                f"the key {key!r} is empty or has white space, which the word2vec formats cannot "
                "hold; save() can"
            )

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            file.write(f"{len(found)} {found.vector_size}\n".encode())
            for key, vector in zip(found.keys, found.vectors, strict=True):
                if binary:
                    file.write(key.encode() + b" " + vector.astype("<f4").tobytes() + b"\n")
                else:
                    file.write(f"{key} {' '.join(map(str, vector))}\n".encode())

    try:
        replace_file(path, write)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None


def read_vectors(path: Path, *, binary: bool | None, limit: int | None) -> KeyedVectors:
    """See `KeyedVectors.load_word2vec_format`."""
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise InputError(f"limit must be a whole number from 1, not {limit!r}")
    if not path.is_file():
        raise NotFoundError(f"no such file: {path}")
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(_GZIP)) == _GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            size = None if packed else path.stat().st_size
            return _read(file, path, binary, limit, size)  # type: ignore[arg-type]
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise IndexFileError(f"{path} is a damaged gzip file") from None
    except OSError as error:
        raise IndexFileError(f"cannot read {path}: {error.strerror}") from None


def _read(
    file: BinaryIO, path: Path, binary: bool | None, limit: int | None, size: int | None
) -> KeyedVectors:
    count, dim = _header(file, path)
    if binary is None:
        binary = _looks_binary(file, dim)
    least = 4 * dim + 2 if binary else 2 * dim + 2
    if size is not None and count * least > size:
        raise IndexFileError(
            f"{path} says it has {count} vectors of {dim} numbers, which do not fit into its "
            f"{size} bytes: it is cut short or its first line is wrong"
        )
    wanted = min(count, limit or count)
    # With a packed file nothing bounds what its first line says: memory grows with what is read.
    matrix = np.zeros((wanted if size is not None else min(wanted, _READ_ROWS), dim), np.float32)
    rows = _binary_rows(file, dim) if binary else _text_rows(file, dim)
    keys: dict[str, int] = {}
    number = 0
    for number in range(1, wanted + 1):
        place = f"{path}, {'vector' if binary else 'line'} {number if binary else number + 1}"
        raw, vector = _next(rows, place, count)
        key = _key(raw, place)
        if not np.isfinite(vector).all():
            raise IndexFileError(
                f"{place}: the vector of {key!r} has {vector[~np.isfinite(vector)][0]}"
            )
        if key in keys:  # gensim too keeps the first
            continue
        if len(keys) == len(matrix):
            matrix.resize((min(2 * len(matrix), wanted), dim), refcheck=False)
        matrix[len(keys)] = vector
        keys[key] = len(keys)
    if wanted == count and file.read(_MAX_NUMBER).strip():
        raise IndexFileError(f"{path} goes on after the {count} vectors that its first line tells")
    return KeyedVectors(list(keys), np.ascontiguousarray(matrix[: len(keys)]))


def _header(file: BinaryIO, path: Path) -> tuple[int, int]:
    line = file.readline(_MAX_HEADER)
    if line.startswith(_PICKLE):
        raise IndexFileError(
            f"{path} is a pickle, probably saved by gensim: pickles run code and are never read; "
            + _AS_OBJECT
        )
    if line.startswith(_FASTTEXT):
        raise IndexFileError(f"{path} is a model of fastText: give its .vec file")
    words = line.split()
    try:
        count, dim = (int(word) for word in words)
    except ValueError:
        raise IndexFileError(
            f"{path} does not begin with a line `count size`, so it is not in a format of word2vec"
        ) from None
    if count < 1 or not 1 <= dim <= MAX_VECTOR_SIZE:
        raise IndexFileError(f"{path} says it has {count} vectors of {dim} numbers")
    return count, dim


def _looks_binary(file: BinaryIO, dim: int) -> bool:
    """Whether the first vector is not numbers in letters; the place in the file stays."""
    start = file.tell()
    head = file.read(_MAX_KEY + dim * _MAX_NUMBER)
    file.seek(start)
    _, _, numbers = head.partition(b" ")
    try:
        float(numbers.split(None, 1)[0])
    except (ValueError, IndexError):
        return True
    return False


def _text_rows(file: BinaryIO, dim: int) -> Iterator[Row]:
    longest = _MAX_KEY + dim * _MAX_NUMBER
    while line := file.readline(longest):
        parts = line.rstrip().rsplit(b" ", dim)
        if len(parts) != dim + 1:
            parts = line.split()
        if len(parts) != dim + 1:
            raise ValueError(f"{len(parts) - 1} numbers where there should be {dim}")
        yield parts[0], np.array([float(part) for part in parts[1:]], np.float32)


def _binary_rows(file: BinaryIO, dim: int) -> Iterator[Row]:
    while True:
        key = bytearray()
        while (byte := file.read(1)) != b" ":
            if not byte:
                return
            if len(key) == _MAX_KEY:
                raise ValueError(f"a key of more than {_MAX_KEY} bytes")
            key += byte
        numbers = file.read(4 * dim)
        if len(numbers) < 4 * dim:
            return
        yield bytes(key).lstrip(b"\n"), np.frombuffer(numbers, "<f4")


def _next(rows: Iterator[Row], place: str, count: int) -> Row:
    try:
        return next(rows)
    except StopIteration:
        raise IndexFileError(
            f"{place}: the file ends here, though its first line tells of {count} vectors: it is "
            "cut short"
        ) from None
    except ValueError as error:
        raise IndexFileError(f"{place}: {error}") from None


def _key(raw: bytes, place: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise IndexFileError(
            f"{place}: the key {raw[:40]!r} is not UTF-8 at byte {error.start}"
        ) from None
