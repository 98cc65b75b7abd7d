"""Rows for the store's tests: a database, documents with one chunk each, vectors drawn at will."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from sqlite_utils import Database

from embedsearch.store.database import migrate, open_database
from embedsearch.store.documents import document_hash, put_document
from embedsearch.store.settings import Model, activate_model, register_model
from embedsearch.store.sources import source_id
from embedsearch.store.vectors import content_hash, find_vectors, put_vectors
from embedsearch.types import Chunk, Document

DIM = 4


def make_database(folder: Path) -> Database:
    folder.mkdir(parents=True, exist_ok=True)
    db = open_database(folder, read_only=False)
    migrate(db)
    return db


def make_model(db: Database, name: str = "fake", dim: int = DIM) -> Model:
    model = register_model(db, name=name, fingerprint=f"print of {name}", dim=dim)
    activate_model(db, model, name)
    return model


def vector_of(text: str) -> np.ndarray:
    """A unit vector that is the same for the same text."""
    seed = int.from_bytes(content_hash(text)[:8], "big")
    vector = np.random.default_rng(seed).standard_normal((1, DIM)).astype(np.float32)
    return vector / np.linalg.norm(vector)


def vector_row(db: Database, model: Model, text: str) -> int:
    """The row of the text's vector, made when it is new."""
    digest = content_hash(text)
    found = find_vectors(db, model.id, [digest])
    if not found:
        found = put_vectors(db, model.id, [digest], vector_of(text))
    return found[digest]


def put(
    db: Database,
    model: Model,
    document: Document,
    *,
    path: str | None = None,
    pieces: Sequence[str] | None = None,
    context: str = "",
) -> list[int]:
    """Puts a document cut into `pieces` of its text (the whole text when None); rows of chunks."""
    with db.atomic():
        chunks, at = [], 0
        for piece in [document.text] if pieces is None else pieces:
            start = document.text.index(piece, at)
            at = start + len(piece)
            chunk = Chunk(start=start, end=at, text=piece)
            chunks.append((chunk, context, vector_row(db, model, piece)))
        put_document(
            db,
            document,
            digest=document_hash(document),
            source=source_id(db, path) if path is not None else None,
            chunks=chunks,
        )
    return chunk_rows(db, document.id)


def chunk_rows(db: Database, document_id: str) -> list[int]:
    rows = db.execute(
        "SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document "
        "WHERE d.document_id = ? ORDER BY c.id",
        [document_id],
    )
    return [row[0] for row in rows]


def put_texts(db: Database, model: Model, texts: Iterable[tuple[str, str]]) -> list[int]:
    """Documents d0, d1, … of one chunk each from (context, text); their chunks' rows."""
    rows = []
    for number, (context, text) in enumerate(texts):
        rows += put(db, model, Document(id=f"d{number}", text=text), context=context)
    return rows
