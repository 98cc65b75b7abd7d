"""The way into a collection's folder: one connection to read, one writer at a time."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlite_utils import Database

from embedsearch.errors import (
    EmbedSearchError,
    InputError,
    LockedError,
    StorageError,
    StoreError,
)
from embedsearch.lock import writer_lock
from embedsearch.store.database import (
    DATABASE_NAME,
    OWN_FILES,
    has_database,
    migrate,
    no_collection,
    open_database,
    plain_errors,
    schema_is_current,
)
from embedsearch.store.documents import count
from embedsearch.text.paths import typed_path

MIGRATION_WAIT_S = 5.0
_MEANWHILE = ". Searching works meanwhile"


class Access:
    """A collection's folder and its database, opened.

    Reading is guarded by a lock of this process, so threads may share one instance; it takes no
    lock against other processes. Writing takes the collection's writer lock and a connection of
    its own, so that searches go on meanwhile.
    """

    def __init__(self, folder: Path, db: Database, *, read_only: bool) -> None:
        self.folder = folder
        self.read_only = read_only
        self._db = db
        self._lock = threading.RLock()
        self._closed = False
        self._process = os.getpid()
        self._identity = _identity(folder)

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool, create: bool) -> Access:
        """Opens the collection in the folder `path`; makes it when it is new and `create` is set.

        Raises NotFoundError, CorruptStoreError, NewerStoreError, StorageError, StoreError, and
        InputError for what is no path.
        """
        folder = _folder(path)
        with plain_errors(folder):
            if folder.exists() and not folder.is_dir():
                raise StoreError(f"{folder} is a file; a collection is a folder")
            if not (read_only or create) and not has_database(folder):
                raise no_collection(folder.absolute())
            if not read_only:
                folder.mkdir(parents=True, exist_ok=True)
            folder = folder.resolve()
        db = open_database(folder, read_only=read_only)
        try:
            if not read_only:
                _bring_up_to_date(db, folder)
        except BaseException:
            db.close()
            raise
        return cls(folder, db, read_only=read_only)

    def close(self) -> None:
        """Lets go of the database. Calling it again does nothing."""
        with self._lock:
            self._closed = True
            self._db.close()

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """One consistent picture of the database for as long as the block lasts."""
        self._check_process()
        with self._lock, plain_errors(self.folder / DATABASE_NAME):
            self._check_open()
            if self._db.conn.in_transaction:
                yield self._db
                return
            self._db.execute("BEGIN")
            try:
                yield self._db
            finally:
                self._db.rollback()

    @contextmanager
    def writing(self) -> Iterator[Database]:
        """The database for writing; LockedError at once when another has the lock."""
        self._check_process()
        with plain_errors(self.folder / DATABASE_NAME):
            self._check_open()
        if self.read_only:
            raise StorageError(f"{self.folder} was opened read-only; open it again for writing")
        lock = writer_lock(self.folder, meanwhile=_MEANWHILE)
        with plain_errors(self.folder / DATABASE_NAME), lock:
            db = open_database(self.folder, read_only=False)
            try:
                yield db
            finally:
                db.close()

    def _check_process(self) -> None:
        """Before any lock: a thread that a fork left behind may have held it."""
        if os.getpid() != self._process:
            raise StoreError(
                f"the collection {self.folder} was opened by the process that this one was forked "
                "from; open it again here"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the collection {self.folder} is closed; open it again")
        if _identity(self.folder) != self._identity:  # the connection sees the old file for ever
            raise StoreError(
                f"the collection {self.folder} was deleted, moved or replaced after it was opened; "
                "open it again"
            )


@contextmanager
def leaving_nothing(path: str | Path, *, anyway: bool = False) -> Iterator[None]:
    """Takes away the collection that the block made in the folder `path` and put nothing into,
    where it failed or `anyway`."""
    folder = _folder(path)
    with plain_errors(folder):
        new_folders = [each for each in (folder, *folder.parents) if not each.exists()]
        is_new = not has_database(folder)
    try:
        yield
    except BaseException:
        anyway = True
        raise
    finally:
        if is_new and anyway and folder.is_dir():
            with suppress(EmbedSearchError, OSError, sqlite3.Error):
                _discard_empty(folder)
        for each in new_folders:
            with suppress(OSError):  # there is something in it
                each.rmdir()


def _discard_empty(folder: Path) -> None:
    with writer_lock(folder):
        db = open_database(folder, read_only=False)
        try:
            if any(count(db, table) for table in ("documents", "models", "settings")):
                return
        finally:
            db.close()
        for name in OWN_FILES:
            (folder / name).unlink(missing_ok=True)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Device and inode of the database, None where there is none."""
    try:
        status = (folder / DATABASE_NAME).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _folder(path: str | Path) -> Path:
    """The folder that is meant; InputError for what is no path."""
    if not isinstance(path, (str, Path)):
        raise InputError(f"a collection is opened by the path of its folder, not by {path!r}")
    return typed_path(path)


def _bring_up_to_date(db: Database, folder: Path) -> None:
    """Applies pending migrations; waits a moment for another process that is at it."""
    deadline = time.monotonic() + MIGRATION_WAIT_S
    while True:
        with plain_errors(folder / DATABASE_NAME):
            if schema_is_current(db):
                return
            try:
                with writer_lock(folder):
                    migrate(db)
            except LockedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
