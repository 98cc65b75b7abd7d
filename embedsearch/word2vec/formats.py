"""The text and binary formats of word2vec.c, which gensim, fastText and many others read and write.

Text: a line `count size`, then a line for each vector: the key and its numbers, between blanks.
GloVe's files are the same without the first line.
Binary: the first line, then for each vector the key, a blank, and little-endian float32; a newline
may follow. gensim 4.4's `_word2vec_read_binary` is the same reading.
"""

from __future__ import annotations

import gzip
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import count as count_from
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from embedsearch.errors import IndexFileError, InputError, NotFoundError, StorageError
from embedsearch.word2vec.config import MAX_VECTOR_SIZE
from embedsearch.word2vec.folder import is_file, replace_file
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
        with partial.open("wb") as raw, _packer(raw, path) as file:
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


def _packer(raw: BinaryIO, path: Path) -> AbstractContextManager[BinaryIO]:
    """What packs as the name says, since others go by the name; the same vectors, the same file."""
    if path.suffix != ".gz":
        return nullcontext(raw)
    return gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0)  # type: ignore[return-value]


def read_vectors(path: Path, *, binary: bool | None, limit: int | None) -> KeyedVectors:
    """See `KeyedVectors.load_word2vec_format`."""
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise InputError(f"limit must be a whole number from 1, not {limit!r}")
    if not is_file(path):
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
    if binary is None or count is None:
        binary = count is not None and _looks_binary(file, dim)
    least = 4 * dim + 2 if binary else 2 * dim + 2
    if size is not None and count is not None and count * least > size:
        raise IndexFileError(
            f"{path} says it has {count} vectors of {dim} numbers, which do not fit into its "
            f"{size} bytes: it is cut short or its first line is wrong"
        )
    wanted = min((most for most in (count, limit) if most), default=None)
    # Where nothing bounds what the first line says, memory grows with what is read.
    bounded = wanted if count is not None and size is not None else None
    matrix = np.zeros((bounded or min(wanted or _READ_ROWS, _READ_ROWS), dim), np.float32)
    rows = _binary_rows(file, dim) if binary else _text_rows(file, dim)
    keys: dict[str, int] = {}
    for number in count_from(1) if wanted is None else range(1, wanted + 1):
        line = number + (count is not None)
        place = f"{path}, {'vector' if binary else 'line'} {number if binary else line}"
        row = _next(rows, place, count)
        if row is None:
            break
        raw, vector = row
        key = _key(raw, place)
        if not np.isfinite(vector).all():
            raise IndexFileError(
                f"{place}: the vector of {key!r} has {vector[~np.isfinite(vector)][0]}"
            )
        if key in keys:  # gensim too keeps the first
            continue
        if len(keys) == len(matrix):
            matrix.resize((2 * len(matrix), dim), refcheck=False)
        matrix[len(keys)] = vector
        keys[key] = len(keys)
    if wanted == count and file.read(_MAX_NUMBER).strip():
        raise IndexFileError(f"{path} goes on after the {count} vectors that its first line tells")
    return KeyedVectors(list(keys), np.ascontiguousarray(matrix[: len(keys)]))


def _header(file: BinaryIO, path: Path) -> tuple[int | None, int]:
    """How many vectors of how many numbers; None and the place at the start for a GloVe file."""
    line = file.readline(_MAX_HEADER)
    if line.startswith(_PICKLE):
        raise IndexFileError(
            f"{path} is a pickle, probably saved by gensim: pickles run code and are never read; "
            + _AS_OBJECT
        )
    if line.startswith(_FASTTEXT):
        raise IndexFileError(f"{path} is a model of fastText: give its .vec file")
    try:
        count, dim = (int(word) for word in line.removeprefix(BOM_UTF8).split())
    except ValueError:
        file.seek(0)
        words = file.readline(_longest(MAX_VECTOR_SIZE)).split()
        file.seek(0)
        if not 2 <= len(words) - 1 <= MAX_VECTOR_SIZE or not all(map(_is_number, words[1:])):
            raise IndexFileError(
                f"{path} begins neither with a line `count size` nor with a word and its numbers, "
                "so it is not in a format of word2vec or GloVe"
            ) from None
        return None, len(words) - 1
    if count < 1 or not 1 <= dim <= MAX_VECTOR_SIZE:
        raise IndexFileError(f"{path} says it has {count} vectors of {dim} numbers")
    return count, dim


def _looks_binary(file: BinaryIO, dim: int) -> bool:
    """Whether the first vector is not numbers in letters; the place in the file stays."""
    start = file.tell()
    head = file.read(_longest(dim))
    file.seek(start)
    words = head.partition(b"\n")[0].split()[1:]
    # A key may have blanks, a damaged line too few numbers; of 1,000 floats one begins like `7 `.
    if len(words) >= dim and all(map(_is_number, words[-dim:])):
        return False
    numbers = b"".join(head.partition(b" ")[2][: 4 * dim].split())
    printable = numbers.isascii() and numbers.decode().isprintable()
    return not (printable and any(map(_is_number, words[:1])))


def _longest(dim: int) -> int:
    """Bytes of a line."""
    return _MAX_KEY + dim * _MAX_NUMBER


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _text_rows(file: BinaryIO, dim: int) -> Iterator[Row]:
    while line := file.readline(_longest(dim)):
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


def _next(rows: Iterator[Row], place: str, count: int | None) -> Row | None:
    """None at the end of a file that does not tell how many vectors it has."""
    try:
        row = next(rows, None)
    except ValueError as error:
        raise IndexFileError(f"{place}: {error}") from None
    if row is None and count is not None:
        raise IndexFileError(
            f"{place}: the file ends here, though its first line tells of {count} vectors: it is "
            "cut short"
        )
    return row


def _key(raw: bytes, place: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise IndexFileError(
            f"{place}: the key {raw[:40]!r} is not UTF-8 at byte {error.start}; load the file with "
            "gensim's load_word2vec_format(path, unicode_errors='replace') and hand over the "
            "object: KeyedVectors.from_gensim(it)"
        ) from None
