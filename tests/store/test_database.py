"""Opening: an empty database is brought up to date, an existing one is looked at first."""

from __future__ import annotations

import errno
import os
import sqlite3

import pytest

from embedsearch.errors import (
    CorruptStoreError,
    LockedError,
    NewerStoreError,
    NotFoundError,
    StorageError,
    StoreError,
)
from embedsearch.store.database import (
    DATABASE_NAME,
    migrate,
    open_database,
    plain_errors,
    schema_is_current,
)
from embedsearch.store.schema import APPLICATION_ID, SCHEMA_VERSION, migrations
from tests.store.rows import make_database

TABLES = {
    "settings",
    "models",
    "sources",
    "documents",
    "vectors",
    "chunks",
    "staged_chunks",
    "deletions",
    "generations",
    "chunks_fts",
}


def pragma(db, name):
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def test_migrations_from_nothing(tmp_path):
    db = open_database(tmp_path, read_only=False)
    assert not schema_is_current(db)
    migrate(db)
    assert schema_is_current(db)
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables >= TABLES
    assert pragma(db, "user_version") == SCHEMA_VERSION
    assert pragma(db, "application_id") == APPLICATION_ID
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.close()


def test_migrations_are_numbered_and_each_counted(tmp_path):
    """`user_version` says how many were applied, so each must raise it."""
    db = make_database(tmp_path)
    names = [migration.name for migration in migrations.pending(db)]
    assert names == []
    applied = [migration.name for migration in migrations.applied(db)]
    assert len(applied) == SCHEMA_VERSION
    assert [int(name[1:4]) for name in applied] == list(range(1, SCHEMA_VERSION + 1))
    db.close()


def test_migrating_again_changes_nothing(tmp_path):
    db = make_database(tmp_path)
    before = list(db.iterdump())
    migrate(db)
    assert list(db.iterdump()) == before
    db.close()


def test_the_connection_is_set_up_for_safety(tmp_path):
    db = make_database(tmp_path)
    assert pragma(db, "journal_mode") == "wal"
    assert pragma(db, "foreign_keys") == 1
    assert pragma(db, "synchronous") == 2  # FULL
    db.close()
    reader = open_database(tmp_path, read_only=True)
    assert pragma(reader, "foreign_keys") == 1
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM documents")
    reader.close()


def test_reading_only_makes_nothing(tmp_path):
    with pytest.raises(NotFoundError, match="embedsearch index"):
        open_database(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read_only", [True, False])
def test_a_newer_schema_is_refused_and_left_alone(tmp_path, read_only):
    db = make_database(tmp_path)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    before = (tmp_path / DATABASE_NAME).read_bytes()
    with pytest.raises(NewerStoreError, match=f"schema {SCHEMA_VERSION + 1}.*upgrade"):
        open_database(tmp_path, read_only=read_only)
    assert (tmp_path / DATABASE_NAME).read_bytes() == before


def test_an_older_schema_is_opened_for_writing_only(tmp_path):
    db = open_database(tmp_path, read_only=False)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.close()
    with pytest.raises(StoreError, match="older schema 0"):
        open_database(tmp_path, read_only=True)
    db = make_database(tmp_path)
    assert schema_is_current(db)
    db.close()


def test_another_programs_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / DATABASE_NAME
    with sqlite3.connect(path) as conn:
        conn.execute("CREATE TABLE theirs (x)")
    conn.close()
    before = path.read_bytes()
    with pytest.raises(CorruptStoreError, match="another program"):
        open_database(tmp_path, read_only=False)
    assert path.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
@pytest.mark.parametrize("read_only", [True, False])
def test_a_database_without_the_right_to_read(tmp_path, read_only):
    make_database(tmp_path).close()
    path = tmp_path / DATABASE_NAME
    path.chmod(0)
    with pytest.raises(StorageError, match=r"cannot be opened .*permissions of the file"):
        open_database(tmp_path, read_only=read_only)
    path.chmod(0o600)
    open_database(tmp_path, read_only=read_only).close()


def test_what_cannot_be_opened_is_not_said_to_be_read_only(tmp_path):
    path = tmp_path / DATABASE_NAME
    told = (
        r"cannot be opened \(unable to open.*\); check the permissions of the file and its folder$"
    )
    with pytest.raises(StorageError, match=told), plain_errors(path):
        sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)


def test_sqlite_errors_become_ours(tmp_path):
    db = make_database(tmp_path)
    other = open_database(tmp_path, read_only=False)
    other.execute("PRAGMA busy_timeout = 0")
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(LockedError, match="in use"), plain_errors(tmp_path):
        other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="no such table"), plain_errors(tmp_path):
        other.execute("SELECT * FROM nowhere")
    db.execute("ROLLBACK")
    db.close()
    other.close()


@pytest.mark.parametrize(
    ("number", "way_out"),
    [
        (errno.ENOSPC, "free some space and run the same command again"),
        (errno.EACCES, "check the permissions of the file and its folder"),
        (errno.EROFS, "check the permissions of the file and its folder"),
    ],
)
def test_errors_of_the_system_tell_the_way_out(tmp_path, number, way_out):
    error = OSError(number, os.strerror(number), str(tmp_path / "x"))
    with pytest.raises(StorageError) as caught, plain_errors(tmp_path):
        raise error
    assert str(caught.value) == f"{tmp_path / 'x'}: {os.strerror(number)}; {way_out}"
