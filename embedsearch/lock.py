"""One writer at a time, by a lock of the operating system.

The kernel drops the lock when its process ends, however it ends, so a killed writer never leaves a
folder locked. Readers take no lock.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from embedsearch.errors import LockedError, StorageError

LOCK_NAME = "writer.lock"
OWNER_NAME = "writer.pid"
_PAUSE_S = 0.05
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def writer_lock(folder: Path, *, patience_s: float = 0.0, meanwhile: str = "") -> Iterator[None]:
    """Holds a folder's writer lock; LockedError when another has it for longer than `patience_s`.

    `meanwhile` is what the message says that can be done so long.
    """
    until = time.monotonic() + patience_s
    while (lock := try_lock(folder / LOCK_NAME)) is None:
        if time.monotonic() >= until:
            raise LockedError(_who(folder) + meanwhile)
        time.sleep(_PAUSE_S)
    owner = folder / OWNER_NAME
    try:
        with suppress(OSError):  # a courtesy: what frees space on a full disk must not fail for it
            owner.write_text(str(os.getpid()))
        yield
    finally:
        with suppress(OSError):
            owner.unlink(missing_ok=True)
        lock.release()


def try_lock(path: Path) -> BaseFileLock | None:
    """The lock of a file, to be released; None where another has it.

    Raises StorageError where the file system has no locks, other OSErrors as they come.
    """
    # A file system without locks is refused: a mark of our own would outlive a killed process.
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise StorageError(
            f"the file system of {path.parent} has no locks ({error.strerror}), which keep two "
            "writers apart: put the folder on a disk of this machine"
        ) from error
    return lock


def _who(folder: Path) -> str:
    owner = _owner(folder)
    if owner == str(os.getpid()):
        return (
            "another thread of this process, or another call in this thread, is writing to "
            f"{folder}; write again when it is done"
        )
    return (
        f"another process{f' (process {owner})' if owner else ''} is writing to {folder}; "
        "wait until it is done, then run the command again"
    )


def _owner(folder: Path) -> str:
    try:
        return (folder / OWNER_NAME).read_text().strip()
    except OSError:
        return ""
