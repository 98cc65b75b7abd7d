"""The files that documents came from, with the stamp that tells whether they changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlite_utils import Database


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file. `path` is its name in the collection; size and mtime are those of the last time it
    was read, None when that never happened or when it must be read again. `problem` says why
    nothing could be made of it."""

    id: int
    path: str
    size: int | None
    mtime_ns: int | None
    problem: str | None
    documents: int


def all_sources(db: Database) -> dict[str, Source]:
    """Every file by path, with the number of documents that it holds now."""
    rows = db.execute(
        "SELECT s.id, s.path, s.size, s.mtime_ns, s.problem, "
        "(SELECT count(*) FROM documents d WHERE d.source = s.id) FROM sources s"
    )
    return {
        path: Source(id=id_, path=path, size=size, mtime_ns=mtime, problem=why, documents=n)
        for id_, path, size, mtime, why, n in rows
    }


def source_id(db: Database, path: str) -> int:
    """The row of the file, made without a stamp when it is new."""
    db.execute("INSERT INTO sources (path) VALUES (?) ON CONFLICT (path) DO NOTHING", [path])
    return int(db.execute("SELECT id FROM sources WHERE path = ?", [path]).fetchone()[0])


def stamp_source(
    db: Database, source: int, *, size: int, mtime_ns: int, problem: str | None = None
) -> None:
    """Notes that the file was read in this state, and why to no avail if so."""
    db.execute(
        "UPDATE sources SET size = ?, mtime_ns = ?, problem = ? WHERE id = ?",
        [size, mtime_ns, problem, source],
    )


def forget_documents(db: Database, document_ids: Iterable[str]) -> None:
    """Has the files of these documents read again by the next sync; to be called before they go."""
    db.conn.executemany(
        "UPDATE sources SET size = NULL, mtime_ns = NULL WHERE id = "
        "(SELECT source FROM documents WHERE document_id = ?)",
        ((id_,) for id_ in document_ids),
    )


def drop_empty_sources(db: Database) -> None:
    """Forgets the names of files to be read again that have no documents left."""
    db.execute(
        "DELETE FROM sources WHERE size IS NULL AND NOT EXISTS "
        "(SELECT 1 FROM documents d WHERE d.source = sources.id)"
    )


def drop_source(db: Database, source: int) -> None:
    """Forgets a file that has no documents left."""
    db.execute("DELETE FROM sources WHERE id = ?", [source])
