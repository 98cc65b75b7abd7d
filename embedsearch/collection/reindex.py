"""Another model, or another way of cutting: built beside the old chunks, switched to at the end."""

from __future__ import annotations

from dataclasses import asdict

from sqlite_utils import Database

from embedsearch.collection.ingest import Ingest, StoredCuts
from embedsearch.collection.models import model_name
from embedsearch.store.documents import StoredDocument, count, insert_chunks, iter_documents
from embedsearch.store.settings import (
    Model,
    activate_model,
    active_model,
    delete_setting,
    get_setting,
    keep_previous,
    put_setting,
)
from embedsearch.store.vectors import disown_damaged_vectors, drop_unused_vectors

TARGET = "reindex"
"""Setting that says what the staged chunks are made for."""


def stage(db: Database, ingest: Ingest, model: Model) -> None:
    """Cuts and embeds every document for `model` into staged chunks; goes on where it stopped.

    Searches see nothing of it. Documents that changed since an interrupted run have lost their
    staged chunks and are done again. A vector that is damaged is made anew.
    """
    with db.atomic():
        disown_damaged_vectors(db, model.id, model.dim)
    target = {"fingerprint": model.fingerprint, "chunking": asdict(ingest.chunking)}
    if get_setting(db, TARGET) != target:
        with db.atomic():
            db.execute("DELETE FROM staged_chunks")
            put_setting(db, TARGET, target)
    characters = db.execute("SELECT coalesce(sum(length(text)), 0) FROM documents").fetchone()[0]
    ingest.progress.start("Reindexing", characters, "B")
    staged = _staged_documents(db)
    for stored in iter_documents(db):
        if stored.row in staged:
            ingest.progress.advance(len(stored.document.text))
        else:
            _stage_document(db, ingest, stored)
    ingest.flush()


def _staged_documents(db: Database) -> set[int]:
    return {row[0] for row in db.execute("SELECT DISTINCT document FROM staged_chunks")}


def _stage_document(db: Database, ingest: Ingest, stored: StoredDocument) -> None:
    def write(cuts: StoredCuts) -> None:
        insert_chunks(db, "staged_chunks", stored.row, cuts)

    ingest.put(stored.document, write)


def switch(db: Database, ingest: Ingest, model: Model, *, keep: bool = False) -> int:
    """Puts the staged chunks in place of the old ones, in one transaction; returns how many.

    `keep` leaves the vectors of the model that there was, so that a rollback finds them.
    """
    with db.atomic():
        before = active_model(db)
        keep_previous(db, before if keep and before and before.id != model.id else None)
        db.execute("DELETE FROM chunks")
        db.execute(
            "INSERT INTO chunks (document, start, end, headings, context, text, vector) "
            "SELECT document, start, end, headings, context, text, vector "
            "FROM staged_chunks ORDER BY id"
        )
        db.execute("DELETE FROM staged_chunks")
        activate_model(db, model, model_name(ingest.encoder))
        put_setting(db, "chunking", asdict(ingest.chunking))
        delete_setting(db, TARGET)
    with db.atomic():
        drop_unused_vectors(db)
    return count(db, "chunks")
