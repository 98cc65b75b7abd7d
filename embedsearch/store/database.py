"""Opening a collection's database, and saying in plain words what is wrong with it."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from embedsearch.errors import (
    CorruptStoreError,
    EmbedSearchError,
    LockedError,
    NewerStoreError,
    NotFoundError,
    StorageError,
    StoreError,
)
from embedsearch.lock import LOCK_NAME, OWNER_NAME
from embedsearch.store.schema import APPLICATION_ID, SCHEMA_VERSION, migrations

DATABASE_NAME = "collection.sqlite3"
OWN_FILES = (
    *(f"{DATABASE_NAME}{suffix}" for suffix in ("", "-journal", "-wal", "-shm")),
    OWNER_NAME,
    LOCK_NAME,
)
"""Files of a new collection, whose index is not built yet."""
BUSY_TIMEOUT_S = 30.0
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NO_RIGHT = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turns what SQLite and the operating system report into one of our errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, path) from error
    except OSError as error:
        if isinstance(error, EmbedSearchError):
            raise
        raise StorageError(_explain_os(error, path)) from error


def _explain_os(error: OSError, path: Path) -> str:
    where, reason = error.filename or path, error.strerror or str(error)
    if error.errno in _NO_SPACE:
        return f"{where}: {reason}; free some space and run the same command again"
    if error.errno in _NO_RIGHT:
        return f"{where}: {reason}; check the permissions of the file and its folder"
    return f"{where}: {reason}"


def _explain(error: sqlite3.Error, path: Path) -> EmbedSearchError:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageError(
            f"no space left on the disk of {path}; what was committed before is safe. "
            "Free some space and run the same command again"
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return StorageError(
            f"{path} cannot be opened ({error}); check the permissions of the file and its folder"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StorageError(
            f"{path} cannot be opened for writing ({error}); check the folder's permissions, or "
            "open it read-only"
        )
    if code == sqlite3.SQLITE_IOERR:
        return StorageError(
            f"{path} could not be read or written ({error}); the disk may be full or failing"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return CorruptStoreError(
            f"{path} is damaged or is no SQLite database ({error}). It was left as it is: bring "
            "it back from a backup, or delete the collection's folder and index again"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LockedError(
            f"{path} is in use by another process; try again when it is done. If there is none, "
            "its file system has no locks: put the folder on a disk of this machine"
        )
    return StoreError(f"{path}: {error}")


def open_database(folder: Path, *, read_only: bool) -> Database:
    """Opens the database of the collection in `folder`; creates it unless `read_only`.

    An existing file is looked at before anything is written to it. Pending migrations are applied
    unless `read_only`.

    Raises:
        NotFoundError: there is none, and it is not to be made.
        CorruptStoreError: the file is damaged, cut short or another program's.
        NewerStoreError: a newer embedsearch wrote it.
        StorageError: the disk is full, read-only or failing.
    """
    path = folder / DATABASE_NAME
    with plain_errors(path):
        version = _check_ours(path) if has_database(folder) else None
        if version is None and not read_only:
            _check_empty(folder)
        if read_only:
            if version is None:
                raise no_collection(folder)
            if version < SCHEMA_VERSION:
                raise StoreError(
                    f"{path} has the older schema {version}; open it once for writing, for "
                    "instance with `embedsearch index`, to bring it up to date"
                )
            return _configure(_connect_read_only(path))
        db = _configure(_connect(f"{_uri(path)}?mode=rwc"))
        db.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit survives a power cut, not only a killed process. Commits are per batch
        # of documents, so the fsync is lost in the noise of the encoder.
        db.execute("PRAGMA synchronous = FULL")
        return db


def copy_database(db: Database, folder: Path) -> None:
    """Writes the database, as its transaction sees it, into another folder that has none yet."""
    path = folder / DATABASE_NAME
    with plain_errors(path):
        target = sqlite3.connect(path)
        try:
            db.conn.backup(target)
        finally:
            target.close()


def migrate(db: Database) -> None:
    """Brings the schema up to date. The caller holds the writer's lock."""
    # In one transaction with the library's own table: killed in between, a new database would
    # hold that table alone and pass for another program's.
    with db.atomic():
        if not schema_is_current(db):
            migrations.apply(db)


def schema_is_current(db: Database) -> bool:
    return _pragma(db.conn, "user_version") == SCHEMA_VERSION


def _sidecar(path: Path, suffix: str) -> bool:
    return path.with_name(path.name + suffix).exists()


def no_collection(folder: Path) -> NotFoundError:
    """There is none in `folder`, and none is to be made."""
    return NotFoundError(
        f"there is no collection in {folder}; make one with `embedsearch index PATH`"
    )


def has_database(folder: Path) -> bool:
    """Whether there is a database in `folder`; CorruptStoreError where there was one.

    SQLite writes a new one's first page before it makes a log, and deletes the log of one that is
    empty: with it might go what can still be saved.
    """
    path, index = folder / DATABASE_NAME, folder / "index"
    if path.is_file() and path.stat().st_size > 0:
        return True
    if _sidecar(path, "-wal") or (index.is_dir() and any(index.iterdir())):
        raise CorruptStoreError(
            f"{path} is missing or empty, and other files of a collection are there; bring it "
            "back from a backup, or delete the folder and index again"
        )
    return False


def _check_empty(folder: Path) -> None:
    """A folder that holds something else is not made into a collection."""
    known = {*OWN_FILES, "index"}
    if folder.is_dir() and any(entry.name not in known for entry in folder.iterdir()):
        raise StoreError(
            f"{folder} exists and is not a collection; name a new folder or an empty one"
        )


def _check_ours(path: Path) -> int | None:
    """Schema version of an existing database, None where nothing was put into it yet.

    It is only read, and no files are made beside it: without a log, all there is stands in it.
    """
    log = _sidecar(path, "-wal")
    conn = _connect_read_only(path) if log else _connect(f"{_uri(path)}?immutable=1")
    try:
        application, version = _pragma(conn, "application_id"), _pragma(conn, "user_version")
        tables = conn.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    finally:
        conn.close()
    if application == version == tables == 0:
        return None
    if application != APPLICATION_ID:
        raise CorruptStoreError(
            f"{path} is a database of another program (application id {application:#x}); "
            "it was left as it is"
        )
    if version > SCHEMA_VERSION:
        raise NewerStoreError(
            f"{path} has schema {version}, this embedsearch knows up to {SCHEMA_VERSION}; "
            "upgrade it: pip install --upgrade embedsearch"
        )
    return int(version)


def _connect_read_only(path: Path) -> sqlite3.Connection:
    try:
        conn = _connect(f"{_uri(path)}?mode=ro")
        conn.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        # A WAL database needs its -shm file; where that cannot be made (read-only media) and no
        # -wal file waits to be read, the main file is all there is and cannot change.
        if os.access(path.parent, os.W_OK):
            raise
        if _sidecar(path, "-wal"):
            raise StorageError(
                f"{path} was not closed ({path.name}-wal lies beside it), and its folder is "
                "read-only; copy the whole folder to where it can be written, and open it there"
            ) from error
        conn = _connect(f"{_uri(path)}?immutable=1")
        conn.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    return conn


def _uri(path: Path) -> str:
    return path.absolute().as_uri()


def _connect(uri: str) -> sqlite3.Connection:
    # Collections guard their connection with a lock, so that several threads may share it.
    return sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )


def _configure(conn: sqlite3.Connection) -> Database:
    db = Database(conn, execute_plugins=False)
    db.execute("PRAGMA foreign_keys = ON")
    # SQLite's own 2 MB do not hold the upper pages of a collection of 100,000 chunks.
    db.execute("PRAGMA cache_size = -32768")
    return db


def _pragma(conn: sqlite3.Connection, name: str) -> int:
    return int(conn.execute(f"PRAGMA {name}").fetchone()[0])
