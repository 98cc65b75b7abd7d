"""Erasing what was deleted: SQLite keeps deleted bytes in free pages, FTS5 in its segments."""

from __future__ import annotations

from sqlite_utils import Database

from embedsearch.errors import StoreError


def erase(db: Database) -> None:
    """Writes keyword index and database anew from the rows that are there."""
    with db.atomic():
        db.execute("INSERT INTO chunks_fts (chunks_fts) VALUES ('rebuild')")
    db.execute("VACUUM")
    empty_log(db)


def empty_log(db: Database) -> None:
    """Moves the write-ahead log into the database and cuts it to nothing.

    Raises StoreError when a reader keeps old pages in use for longer than the busy timeout.
    """
    busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy:
        raise StoreError(
            "a reader is using old pages of the database, so they could not be erased yet; run "
            "`embedsearch vacuum` again when it is done"
        )
