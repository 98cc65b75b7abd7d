"""Documents and their chunks: put, taken out, looked up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sqlite_utils import Database

from embedsearch.types import Chunk, Document

SQL_VARIABLES = 500
"""Bound parameters of one statement, well under SQLite's oldest limit of 999."""

COMPARED_IDS = 5000
"""Ids that are looked at for one that was misspelt."""


@dataclass(frozen=True, kw_only=True)
class StoredDocument:
    """A document as it is stored. `row` is its internal id, `path` the file it came from."""

    row: int
    document: Document
    path: str | None


@dataclass(frozen=True, kw_only=True)
class StoredChunk:
    """A chunk as a search result needs it."""

    row: int
    document_id: str
    title: str
    metadata: dict[str, Any]
    path: str | None
    headings: tuple[str, ...]
    context: str
    text: str
    start: int
    end: int


def can_be_id(value: object) -> bool:
    """Whether a document may be called so: a string, without lone surrogates, that is not empty."""
    return (
        isinstance(value, str)
        and value != ""
        and not any("\ud800" <= character <= "\udfff" for character in value)
    )


def document_hash(document: Document) -> bytes:
    """SHA-256 of everything about a document but its id."""
    content = [document.title, document.text, document.format, dict(document.metadata)]
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    ).digest()


def stored_hash(db: Database, document_id: str) -> tuple[bytes, int | None] | None:
    """Hash and source of the document with this id, None when there is none."""
    row = db.execute(
        "SELECT hash, source FROM documents WHERE document_id = ?", [document_id]
    ).fetchone()
    return (row[0], row[1]) if row else None


def put_document(
    db: Database,
    document: Document,
    *,
    digest: bytes,
    source: int | None,
    chunks: Sequence[tuple[Chunk, str, int]],
) -> None:
    """Writes a document with its chunks, in place of the one with the same id.

    `chunks` are (chunk, context, row of its vector). The caller holds a transaction.
    """
    row = db.execute(
        "INSERT INTO documents (document_id, source, hash, title, text, format, metadata) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (document_id) DO UPDATE SET "
        "source = excluded.source, hash = excluded.hash, title = excluded.title, "
        "text = excluded.text, format = excluded.format, metadata = excluded.metadata "
        "RETURNING id",
        [
            document.id,
            source,
            digest,
            document.title,
            document.text,
            document.format,
            json.dumps(dict(document.metadata), ensure_ascii=False),
        ],
    ).fetchone()[0]
    db.execute("DELETE FROM chunks WHERE document = ?", [row])
    db.execute("DELETE FROM staged_chunks WHERE document = ?", [row])
    insert_chunks(db, "chunks", row, chunks)


def insert_chunks(
    db: Database, table: str, document: int, chunks: Sequence[tuple[Chunk, str, int]]
) -> None:
    """Writes a document's chunks to `chunks` or `staged_chunks`."""
    db.conn.executemany(
        f"INSERT INTO {table} (document, start, end, headings, context, text, vector) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (
                document,
                chunk.start,
                chunk.end,
                json.dumps(chunk.headings, ensure_ascii=False),
                context,
                chunk.text,
                vector,
            )
            for chunk, context, vector in chunks
        ),
    )


def move_document(db: Database, document_id: str, source: int | None) -> None:
    """Notes that an unchanged document now comes from another file."""
    db.execute("UPDATE documents SET source = ? WHERE document_id = ?", [source, document_id])


def delete_documents(db: Database, document_ids: Iterable[str]) -> int:
    """Deletes documents with their chunks and returns how many there were."""
    deleted = 0
    for document_id in document_ids:
        # Explicitly, not by the cascade, so that the keyword index's triggers surely run.
        db.execute(
            "DELETE FROM chunks WHERE document = (SELECT id FROM documents WHERE document_id = ?)",
            [document_id],
        )
        deleted += db.execute("DELETE FROM documents WHERE document_id = ?", [document_id]).rowcount
    return deleted


def documents_of_source(db: Database, source: int) -> list[str]:
    """Ids of the documents that came from a file."""
    rows = db.execute("SELECT document_id FROM documents WHERE source = ? ORDER BY id", [source])
    return [row[0] for row in rows]


def iter_documents(db: Database, after: int = 0) -> Iterator[StoredDocument]:
    """All documents in the order of their rows, from the first row above `after`."""
    while True:
        found = db.execute(
            "SELECT d.id, d.document_id, d.text, d.title, d.metadata, d.format, s.path "
            "FROM documents d LEFT JOIN sources s ON s.id = d.source "
            "WHERE d.id > ? ORDER BY d.id LIMIT 1",
            [after],
        ).fetchone()
        if found is None:
            return
        after = found[0]
        yield _stored(found)


def get_document(db: Database, document_id: str) -> StoredDocument | None:
    if not can_be_id(document_id):
        return None
    found = db.execute(
        "SELECT d.id, d.document_id, d.text, d.title, d.metadata, d.format, s.path "
        "FROM documents d LEFT JOIN sources s ON s.id = d.source WHERE d.document_id = ?",
        [document_id],
    ).fetchone()
    return _stored(found) if found else None


def nearest_id(db: Database, wanted: str) -> str | None:
    """The id that may have been meant: of a file of the same name, or spelt nearly so."""
    name = wanted.rstrip("/").rpartition("/")[2]
    rows = db.execute(
        "SELECT document_id FROM documents "
        "WHERE document_id = ?1 OR substr(document_id, -length(?1) - 1) = '/' || ?1 LIMIT ?2",
        [name, COMPARED_IDS],
    ).fetchall()
    if name and rows:
        cutoff = 0.0
    else:
        rows = db.execute("SELECT document_id FROM documents LIMIT ?", [COMPARED_IDS]).fetchall()
        cutoff = 0.8
    close = get_close_matches(wanted, [row[0] for row in rows], n=1, cutoff=cutoff)
    return close[0] if close else None


def _stored(found: Sequence[Any]) -> StoredDocument:
    row, document_id, text, title, metadata, format_, path = found
    document = Document(
        id=document_id, text=text, title=title, metadata=json.loads(metadata), format=format_
    )
    return StoredDocument(row=row, document=document, path=path)


def documents_of_chunks(db: Database, chunks: Sequence[int]) -> dict[int, int]:
    """The document row of each chunk; chunks that are gone are left out."""
    found: dict[int, int] = {}
    for part in batched(chunks):
        marks = ",".join("?" * len(part))
        found.update(
            db.execute(f"SELECT id, document FROM chunks WHERE id IN ({marks})", part).fetchall()
        )
    return found


def load_chunks(db: Database, chunks: Sequence[int]) -> dict[int, StoredChunk]:
    """The chunks with these rows, by row."""
    found: dict[int, StoredChunk] = {}
    for part in batched(chunks):
        marks = ",".join("?" * len(part))
        rows = db.execute(
            "SELECT c.id, d.document_id, d.title, d.metadata, s.path, c.headings, c.context, "
            "c.text, c.start, c.end FROM chunks c JOIN documents d ON d.id = c.document "
            f"LEFT JOIN sources s ON s.id = d.source WHERE c.id IN ({marks})",
            part,
        )
        for row, document_id, title, metadata, path, headings, context, text, start, end in rows:
            found[row] = StoredChunk(
                row=row,
                document_id=document_id,
                title=title,
                metadata=json.loads(metadata),
                path=path,
                headings=tuple(json.loads(headings)),
                context=context,
                text=text,
                start=start,
                end=end,
            )
    return found


def count(db: Database, table: str) -> int:
    """Rows of `documents`, `chunks`, …"""
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def is_empty(db: Database) -> bool:
    """Whether there is no chunk; counting them would read them all."""
    return db.execute("SELECT 1 FROM chunks LIMIT 1").fetchone() is None


def batched(rows: Sequence[int]) -> Iterator[list[int]]:
    """Rows in parts that fit the bound parameters of one statement."""
    for start in range(0, len(rows), SQL_VARIABLES):
        yield [int(row) for row in rows[start : start + SQL_VARIABLES]]
