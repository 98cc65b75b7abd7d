"""What a collection holds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from embedsearch.store.documents import count
from embedsearch.store.generations import current_generation
from embedsearch.store.settings import active_model


@dataclass(frozen=True, kw_only=True)
class IndexStatus:
    """The index file in force. `recall` is against exact search: 1.0 for an exact index."""

    kind: str
    vectors: int
    generation: int
    recall: float


@dataclass(frozen=True, kw_only=True)
class Status:
    """What a collection holds; `size_bytes` counts all files of its folder.

    `engine` computes the vectors of new text; None where the model is not on this machine.
    """

    documents: int
    chunks: int
    model: str | None
    fingerprint: str | None
    engine: str | None
    index: IndexStatus
    size_bytes: int


def read_status(db: Database, folder: Path, engine: str | None) -> Status:
    """Reads it from the database; loads no model."""
    model, generation = active_model(db), current_generation(db)
    return Status(
        documents=count(db, "documents"),
        chunks=count(db, "chunks"),
        model=model.name if model else None,
        fingerprint=model.fingerprint if model else None,
        engine=engine,
        index=IndexStatus(
            kind=generation.kind if generation else "none",
            vectors=generation.vectors if generation else 0,
            generation=generation.id if generation else 0,
            recall=1.0,
        ),
        size_bytes=folder_size(folder),
    )


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # gone since: a write-ahead log, an old index file
            size += path.lstat().st_size
    return size
