"""What a collection holds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from embedsearch import index
from embedsearch.collection.indexing import check_generation, stale_reason
from embedsearch.errors import EmbedSearchError
from embedsearch.index import Measured
from embedsearch.store.documents import count
from embedsearch.store.generations import current_generation
from embedsearch.store.settings import Model, active_model


@dataclass(frozen=True, kw_only=True)
class IndexStatus:
    """The index file in force. `recall` is against exact search: 1.0 for an exact index.

    `measured` is what was chosen, tuned and measured when it was built (None where all rows are
    scored), `stale` why the next write will build it again, "" where it will not.
    """

    kind: str
    vectors: int
    generation: int
    recall: float
    measured: Measured | None = None
    stale: str = ""


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
    model = active_model(db)
    return Status(
        documents=count(db, "documents"),
        chunks=count(db, "chunks"),
        model=model.name if model else None,
        fingerprint=model.fingerprint if model else None,
        engine=engine,
        index=_index_status(db, folder, model),
        size_bytes=folder_size(folder),
    )


def _index_status(db: Database, folder: Path, model: Model | None) -> IndexStatus:
    generation = current_generation(db)
    if generation is None or model is None:
        return IndexStatus(kind="none", vectors=0, generation=0, recall=1.0)
    measured = None
    with suppress(EmbedSearchError):  # then `stale` tells, and a search reads the database: exact
        measured = index.read_measured(check_generation(folder, generation))
    return IndexStatus(
        kind=generation.kind,
        vectors=generation.vectors,
        generation=generation.id,
        recall=measured.recall if measured else 1.0,
        measured=measured,
        stale=stale_reason(db, folder, model),
    )


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # gone since: a write-ahead log, an old index file
            size += path.lstat().st_size
    return size
