"""The user's cache folder: what takes time to work out and may be deleted at any moment.

`EMBEDSEARCH_CACHE` names another folder. Where it cannot be written, nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

SETTLED_SECONDS = 2.0
"""A file changed so lately may change again without its time stamp telling."""

_LONGEST_VALUE = 1000


def cache_folder() -> Path:
    """Where caches are kept; it need not exist."""
    named = os.environ.get("EMBEDSEARCH_CACHE")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("embedsearch", appauthor=False)


def remembered(what: str, files: Sequence[Path], compute: Callable[[], str]) -> str:
    """`compute()`, a short text that depends on `files` alone; kept for as long as size, time
    stamps and inode of every file stay what they are. `what` tells one use from another."""
    stamps = _stamps(files)
    if stamps is None:
        return compute()
    key = hashlib.sha256(json.dumps([what, stamps]).encode()).hexdigest()
    path = cache_folder() / "hashes" / key
    with suppress(OSError, UnicodeDecodeError):
        with path.open(encoding="utf-8") as file:
            kept = file.read(_LONGEST_VALUE)
        value, _, check = kept.rpartition("\n")
        if check == _check(value):
            return value
    value = compute()
    if _stamps(files) == stamps:
        write_atomically(path, [f"{value}\n{_check(value)}".encode()])
    return value


def write_atomically(path: Path, blocks: Iterable[bytes | memoryview]) -> bool:
    """Writes a file that appears whole or not at all, readable by this user alone; False where the
    cache cannot be written. Two processes may write the same file at once: the last one stays."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:32]}.")
    except OSError:
        return False
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for block in blocks:
                file.write(block)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        return False
    return True


def _stamps(files: Sequence[Path]) -> list[list[str | int]] | None:
    """What tells a changed file; None where one is missing or was changed a moment ago."""
    stamps: list[list[str | int]] = []
    newest = 0.0
    for file in files:
        try:
            path = file.resolve()
            status = path.stat()
        except OSError:
            return None
        newest = max(newest, status.st_mtime, status.st_ctime)
        stamps.append(
            [str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        )
    return None if newest > time.time() - SETTLED_SECONDS else stamps


def _check(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:16]
