"""Vectors in a folder: matrices as safetensors that are mapped, all else as JSON.

    vectors.json           keys, counts, losses
    vectors.safetensors    the matrix `vectors`
    output.safetensors     the matrix `output`, there when training may go on

Each matrix carries the checksum of the keys that it belongs to, so that files of two savings are
never taken together.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.errors import IndexFileError, NotFoundError, StorageError
from embedsearch.word2vec.keyed_vectors import KeyedVectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedsearch.types import Vectors

SETTINGS, VECTORS, OUTPUT = "vectors.json", "vectors.safetensors", "output.safetensors"
FORMAT = 1
_MAX_JSON_BYTES = 4 << 30
_MAX_HEADER_BYTES = 1 << 20
_PARTIAL = ".partial"


def save_folder(found: KeyedVectors, folder: Path) -> None:
    """See `KeyedVectors.save`. Each file is whole or not there."""
    keys = keys_digest(found.keys)
    settings = {
        "format": FORMAT,
        "vector_size": found.vector_size,
        "losses": list(found.losses),
        "counts": None if found.counts is None else found.counts.tolist(),
        "keys": found.keys,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_matrix(folder / VECTORS, "vectors", found.vectors, keys)
        if found.output is None:
            (folder / OUTPUT).unlink(missing_ok=True)
        else:
            write_matrix(folder / OUTPUT, "output", found.output, keys)
        text = json.dumps(settings, ensure_ascii=False).encode()
        replace_file(folder / SETTINGS, lambda partial: partial.write_bytes(text))
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror or error}") from None


def load_folder(folder: Path) -> KeyedVectors:
    """See `KeyedVectors.load`."""
    settings = _read_settings(folder)
    try:
        keys = settings["keys"]
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise TypeError("keys are not strings")
        counts = settings["counts"]
        losses = [float(loss) for loss in settings["losses"]]
        counted = None if counts is None else np.array(counts, np.int64)
        shape = (len(keys), int(settings["vector_size"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise IndexFileError(f"{folder / SETTINGS} is damaged: {error!r}") from None
    digest = keys_digest(keys)
    vectors = read_matrix(folder / VECTORS, "vectors", shape, digest)
    output = None
    if (folder / OUTPUT).is_file():
        output = read_matrix(folder / OUTPUT, "output", shape, digest)
    return KeyedVectors(keys, vectors, counts=counted, output=output, losses=losses)


def keys_digest(keys: list[str]) -> str:
    return hashlib.sha256("\0".join(keys).encode()).hexdigest()


def write_matrix(path: Path, name: str, matrix: Vectors, keys: str) -> None:
    """A matrix as a safetensors file of its own, whole or not at all."""
    header = {
        "__metadata__": {"keys": keys},
        name: {"dtype": "F32", "shape": list(matrix.shape), "data_offsets": [0, matrix.nbytes]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64 + 56)  # with the 8 bytes of its length, on a cache line

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            np.ascontiguousarray(matrix, "<f4").tofile(file)
            file.flush()
            os.fsync(file.fileno())

    replace_file(path, write)


def read_matrix(path: Path, name: str, shape: tuple[int, int], keys: str) -> Vectors:
    """A matrix of `write_matrix`, mapped. Raises IndexFileError unless it is the expected one."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        entry, found = header[name], header["__metadata__"]["keys"]
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
    if found != keys:
        raise IndexFileError(
            f"{path} does not belong to {SETTINGS}: a saving was interrupted; save again"
        )
    return np.memmap(path, "<f4", "r", begin, shape)


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` make a new file beside `path`, which then takes its place."""
    partial = path.with_name(path.name + _PARTIAL)
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _read_settings(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    if not path.is_file():
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
