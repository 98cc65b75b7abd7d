"""Vectors in a folder: matrices as safetensors that are mapped, all else as JSON.

    vectors.json           keys, counts, losses
    vectors.safetensors    the matrix `vectors`
    output.safetensors     the matrix `output`, there when training may go on

Each matrix carries the checksum of the keys that it belongs to, and a stamp, the checksum of all
that was saved with it, so that files of two savings are never taken together.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.errors import EmbedSearchError, IndexFileError, NotFoundError, StorageError
from embedsearch.lock import writer_lock
from embedsearch.word2vec.keyed_vectors import KeyedVectors

if TYPE_CHECKING:
    from embedsearch.types import Vectors

    Write = Callable[[Path], object]
    """Makes a file at the path that it is given."""
    Block = bytes | memoryview

SETTINGS, VECTORS, OUTPUT = "vectors.json", "vectors.safetensors", "output.safetensors"
FORMAT = 1
_MAX_JSON_BYTES = 4 << 30
_MAX_HEADER_BYTES = 1 << 20
_PARTIAL = ".partial"
_PATIENCE_S = 10.0
"""How long a saving waits for another one of the same folder; most take a second at most."""
_INTERRUPTED = "a saving was interrupted, or goes on just now; load again, else save again"


def save_folder(found: KeyedVectors, folder: Path) -> None:
    """See `KeyedVectors.save`. Until all is written, what was there before stays as it is."""
    files, _ = folder_files(found, folder)
    unused = [] if found.output is not None else [folder / OUTPUT]
    with saving(folder):
        replace_files(files, unused)


@contextmanager
def saving(folder: Path) -> Iterator[None]:
    """Makes the folder where it is not there, and holds its lock: files of two savings would not
    belong together. Waits for another saving, for what made this one may have taken minutes.

    Raises LockedError where that lasts too long, StorageError where the disk refuses something.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with writer_lock(folder, patience_s=_PATIENCE_S):
            yield
    except OSError as error:
        if isinstance(error, EmbedSearchError):
            raise
        raise StorageError(
            f"cannot write {folder}: {error.strerror or error}; what was there before is kept"
        ) from None


def folder_files(found: KeyedVectors, folder: Path) -> tuple[dict[Path, Write], str]:
    """The files of `save_folder`, for `replace_files`, and their stamp."""
    keys = keys_digest(found.keys)
    settings = {
        "format": FORMAT,
        "vector_size": found.vector_size,
        "losses": list(found.losses),
        "counts": None if found.counts is None else found.counts.tolist(),
        "keys": found.keys,
    }
    matrices = {VECTORS: ("vectors", found.vectors)}
    if found.output is not None:
        matrices[OUTPUT] = ("output", found.output)
    text = json.dumps(settings).encode()
    stamp = checksum([text, *(_buffer(matrix) for _, matrix in matrices.values())])
    files: dict[Path, Write] = {
        folder / file: matrix_writer(name, matrix, keys, stamp)
        for file, (name, matrix) in matrices.items()
    }
    text = json.dumps(settings | {"stamp": stamp}, ensure_ascii=False).encode()
    files[folder / SETTINGS] = block_writer([text])
    return files, stamp


def load_folder(folder: Path, expected: str | None = None) -> KeyedVectors:
    """See `KeyedVectors.load`. `expected` is the stamp that the files must have, None for any."""
    settings = _read_settings(folder)
    try:
        keys, stamp = settings["keys"], settings["stamp"]
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise TypeError("keys are not strings")
        counts = settings["counts"]
        losses = [float(loss) for loss in settings["losses"]]
        counted = None if counts is None else np.array(counts, np.int64)
        shape = (len(keys), int(settings["vector_size"]))
        if counted is not None and counted.shape != shape[:1]:
            raise ValueError(f"counts of shape {counted.shape} for {len(keys)} keys")
        digest = keys_digest(keys)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise IndexFileError(f"{folder / SETTINGS} is damaged: {error!r}") from None
    if expected is not None and stamp != expected:
        raise IndexFileError(f"{folder} does not belong to what is beside it: {_INTERRUPTED}")
    vectors = read_matrix(folder / VECTORS, "vectors", shape, digest, stamp)
    output = None
    if (folder / OUTPUT).is_file():
        output = read_matrix(folder / OUTPUT, "output", shape, digest, stamp)
    return KeyedVectors(keys, vectors, counts=counted, output=output, losses=losses)


def keys_digest(keys: list[str]) -> str:
    return hashlib.sha256("\0".join(keys).encode()).hexdigest()


def checksum(blocks: Iterable[Block]) -> str:
    """Of the blocks one after the other, hex SHA-256."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def write_matrix(path: Path, name: str, matrix: Vectors, keys: str) -> None:
    """A matrix as a safetensors file of its own, whole or not at all."""
    replace_file(path, matrix_writer(name, matrix, keys))


def matrix_writer(name: str, matrix: Vectors, keys: str, stamp: str = "") -> Write:
    """Writes a matrix as a safetensors file, with what `read_matrix` asks for."""
    header = {
        "__metadata__": {"keys": keys, "stamp": stamp},
        name: {"dtype": "F32", "shape": list(matrix.shape), "data_offsets": [0, matrix.nbytes]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64 + 56)  # with the 8 bytes of its length, on a cache line
    return block_writer([len(text).to_bytes(8, "little"), text, _buffer(matrix)])


def block_writer(blocks: Iterable[Block]) -> Write:
    """Writes the blocks one after the other, and waits until they are on the disk."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.writelines(blocks)
            file.flush()
            os.fsync(file.fileno())

    return write


def read_matrix(
    path: Path, name: str, shape: tuple[int, int], keys: str, stamp: str = ""
) -> Vectors:
    """A matrix of `write_matrix`, mapped. Raises IndexFileError unless it is the expected one."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        entry, marks = header[name], header["__metadata__"]
        found = (marks["keys"], marks["stamp"])
        if entry["dtype"] != "F32" or tuple(entry["shape"]) != shape:
            raise ValueError(f"it holds {entry['dtype']} {entry['shape']}, not F32 {list(shape)}")
        begin = 8 + length + int(entry["data_offsets"][0])
        size = path.stat().st_size
        if begin + shape[0] * shape[1] * 4 > size:
            raise ValueError(f"cut short at {size} bytes")
    except FileNotFoundError:
        raise NotFoundError(f"{path} is missing") from None
    except OSError as error:
        raise IndexFileError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise IndexFileError(f"{path} is damaged or no matrix of ours: {error}") from None
    if found != (keys, stamp):
        raise IndexFileError(f"{path} does not belong to what is beside it: {_INTERRUPTED}")
    return np.memmap(path, "<f4", "r", begin, shape)


def replace_file(path: Path, write: Write) -> None:
    """Lets `write` make a new file beside `path`, which then takes its place. Several processes may
    do this at once, the last one wins."""
    _replace({path: write})


def replace_files(files: Mapping[Path, Write], unused: Iterable[Path] = ()) -> None:
    """Lets every file be made beside its path; once all are there they take their places in order,
    and the `unused` go. Where one cannot be made, all stay as they were.

    The caller holds the folder's lock: what another saving left, it was killed.
    """
    for path in (*files, *unused):
        for left in path.parent.glob(f"{escape(path.name)}.????????{_PARTIAL}"):
            left.unlink(missing_ok=True)
    _replace(files)
    for path in unused:
        path.unlink(missing_ok=True)


def _replace(files: Mapping[Path, Write]) -> None:
    mark = f".{secrets.token_hex(4)}{_PARTIAL}"
    partials = {path: path.with_name(path.name + mark) for path in files}
    try:
        for path, write in files.items():
            write(partials[path])
        for path, partial in partials.items():
            partial.replace(path)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)


def _buffer(matrix: Vectors) -> memoryview:
    return np.ascontiguousarray(matrix, "<f4").data


def is_file(path: Path) -> bool:
    """Whether there is such a file. IndexFileError where that cannot be told."""
    try:
        return path.is_file()
    except OSError as error:
        raise IndexFileError(f"cannot read {path}: {error.strerror}") from None


def _read_settings(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    if not is_file(path):
        raise NotFoundError(
            f"no word vectors in {str(folder)!r}: {SETTINGS} is missing; "
            "`embedsearch train word2vec` makes such a folder"
        )
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError("too large")
        settings = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(settings, dict) or settings.get("format") != FORMAT:
            raise ValueError("not format 1, made by another version or another program")
    except OSError as error:
        raise IndexFileError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise IndexFileError(f"{path} is damaged: {error}") from None
    return settings
