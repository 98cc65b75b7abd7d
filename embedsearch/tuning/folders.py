"""Folders and files of one writer at a time, and models that are there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from embedsearch.errors import EmbedSearchError, StorageError
from embedsearch.lock import LOCK_NAME, OWNER_NAME, writer_lock
from embedsearch.tuning.modes import readable_as
from embedsearch.tuning.storage import disk_errors, on_disk

LAST = "modules.json"
"""What makes a folder a model: it comes after all else."""


@contextmanager
def only_training(folder: Path) -> Iterator[None]:
    """Holds the lock of the folder that a training keeps its state in: two trainings would take one
    another's away. The folder is made, and is gone afterwards where nothing is left in it.

    Raises LockedError where another training has it, StorageError where it cannot be made.
    """
    made: list[Path] = []
    try:
        with ExitStack() as held:
            try:
                made += [each for each in (folder, *folder.parents) if not each.exists()]
                folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(writer_lock(folder))
            except OSError as error:
                if isinstance(error, EmbedSearchError):
                    raise
                raise StorageError(f"cannot write to {folder}: {error.strerror or error}") from None
            held.callback(_remove_lock, folder)
            yield
    finally:
        for each in made:
            with suppress(OSError):  # there is something in it
                each.rmdir()


def _remove_lock(folder: Path) -> None:
    """Where nothing else is in the folder: a lock that is gone lets nobody in before it is free."""
    with suppress(OSError):  # the folder may be gone too
        if {path.name for path in folder.iterdir()} <= {LOCK_NAME, OWNER_NAME}:
            (folder / LOCK_NAME).unlink()


@contextmanager
def only_writer(place: Path) -> Iterator[Path]:
    """Holds the lock for what is written at `place`, a file or a folder, in a folder beside it for
    what is unfinished. That is given, and gone afterwards.

    Raises LockedError where another one writes there, StorageError where it cannot be made.
    """
    home = place.with_name(f".{place.name}.unfinished")
    try:
        with only_training(home):
            yield home
    finally:
        with suppress(OSError):  # another process is at it
            home.rmdir()


@contextmanager
def published(target: Path) -> Iterator[Path]:
    """A new folder for a model of sentence-transformers. It takes the place of `target`, which is
    not there or an empty folder, once all is written and on the disk; else nothing is left of it.

    What a process that was killed has left beside `target` is taken away. Raises LockedError where
    another one writes there, StorageError where the disk refuses something.
    """
    place = target.resolve()  # `.` and a link have neither name nor place of their own
    try:
        with only_writer(place) as home, disk_errors():
            draft = home / "model"
            try:
                shutil.rmtree(draft, ignore_errors=True)
                draft.mkdir()
                yield draft
                on_disk(draft)
                readable_as(draft / LAST, draft)
                _move(draft, place)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        if isinstance(error, EmbedSearchError):
            raise
        raise StorageError(f"{target} cannot be written: {error.strerror or error}") from None


def _move(draft: Path, place: Path) -> None:
    if place.is_dir() and not any(place.iterdir()):  # perhaps where the user stands
        for path in sorted(draft.iterdir(), key=lambda path: path.name == LAST):
            path.replace(place / path.name)
    else:
        draft.rename(place)
    on_disk(place.parent, below=False)
