"""What the formats share: bounded reading, and failures as errors that name the file."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedsearch.errors import EmbedSearchError, ModelError

MAX_BYTES = 256 << 20


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; ModelError where it cannot be read or is over `MAX_BYTES`."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(
                f"{path} has {size:,} bytes; a tokenizer file has at most {MAX_BYTES:,}"
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the tokenizer file {path}: {error.strerror}") from None


def read_text(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(
            f"{path} is damaged: it is not UTF-8 at byte {error.start}; fetch it again"
        ) from None


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file, {} where there is none."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, EmbedSearchError):
            raise
        raise ModelError(f"{path} is damaged: not JSON: {error}; fetch it again") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds {type(value).__name__}, not a JSON object")
    return value


@contextlib.contextmanager
def reported(path: Path, what: str) -> Iterator[None]:
    """Turns whatever the backend raises into a ModelError that names the file.

    The backend raises bare exceptions, and Rust's panics, which are no Exception.
    """
    try:
        yield
    except (EmbedSearchError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ModelError(
            f"{str(path)!r} is damaged or no {what}: {reason}; fetch it again"
        ) from None
