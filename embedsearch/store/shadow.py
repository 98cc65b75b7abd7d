"""The folder beside a collection where another model is tried, for as long as the trial lasts.

The kernel drops the trial's lock when its process ends, however it ends, so what a killed trial
left is told from one that is under way.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedsearch.errors import LockedError
from embedsearch.lock import try_lock

LOCK_NAME = "trial.lock"


def shadow_folder(collection: Path) -> Path:
    """Where a trial of the collection in the folder `collection` works."""
    return collection.with_name(f"{collection.name}.shadow")


@contextmanager
def new_shadow(collection: Path) -> Iterator[Path]:
    """An empty folder, deleted in the end; what a killed trial left there is replaced.

    Raises LockedError where another trial of this collection is under way.
    """
    folder = shadow_folder(collection)
    folder.mkdir(exist_ok=True)
    lock = try_lock(folder / LOCK_NAME)
    if lock is None:
        raise LockedError(
            f"another model is on trial for {collection}, in {folder}: wait until that is done, "
            "then run the command again"
        )
    try:
        _clear(folder)
        yield folder
    finally:
        _clear(folder)
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK_NAME:
            path.unlink(missing_ok=True)


def leftover_bytes(collection: Path) -> int | None:
    """The size of what a killed trial left; None where there is nothing, or a trial under way."""
    folder = shadow_folder(collection)
    if not folder.is_dir() or _is_locked(folder):
        return None
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _is_locked(folder: Path) -> bool:
    if not (folder / LOCK_NAME).exists():  # or looking would make it
        return False
    try:
        lock = try_lock(folder / LOCK_NAME)
    except OSError:  # not ours to lock, so not ours to try either
        return False
    if lock is not None:
        lock.release()
    return lock is None
