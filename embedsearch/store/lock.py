"""One writer at a time, by a lock of the operating system.

The kernel drops the lock when its process ends, however it ends, so a killed writer never leaves a
collection locked. Readers take no lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from embedsearch.errors import LockedError

LOCK_NAME = "writer.lock"
OWNER_NAME = "writer.pid"


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Holds the collection's writer lock; raises LockedError at once when it is taken."""
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise LockedError(_who(folder)) from None
    try:
        (folder / OWNER_NAME).write_text(str(os.getpid()))
        yield
    finally:
        (folder / OWNER_NAME).unlink(missing_ok=True)
        lock.release()


def _who(folder: Path) -> str:
    owner = _owner(folder)
    if owner == str(os.getpid()):
        return (
            "another thread of this process, or another call in this thread, is writing to "
            f"{folder}; write again when it is done. Searching works meanwhile"
        )
    return (
        f"another process{f' (process {owner})' if owner else ''} is writing to {folder}; "
        "wait until it is done, then run the command again. Searching works meanwhile"
    )


def _owner(folder: Path) -> str:
    try:
        return (folder / OWNER_NAME).read_text().strip()
    except OSError:
        return ""
