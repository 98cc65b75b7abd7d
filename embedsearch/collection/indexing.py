"""The index file of a collection: built from SQLite, adopted by one row there, dropped at will."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from sqlite_utils import Database

from embedsearch import index
from embedsearch.device import faiss_devices, free_memory
from embedsearch.errors import IndexFileError, StorageError
from embedsearch.index import IndexConfig, NumpyIndex
from embedsearch.store.documents import count, is_empty
from embedsearch.store.generations import (
    Generation,
    adopt_generation,
    current_state,
    next_generation,
)
from embedsearch.store.settings import Model, active_model, get_setting, put_setting
from embedsearch.store.vectors import drop_unused_vectors, read_embeddings
from embedsearch.types import SILENT, Progress

log = logging.getLogger("embedsearch")

SETTING = "index"
INDEX_FOLDER = "index"
STALE_ROWS = 1000
STALE_SHARE = 0.1
"""Rows (newer than the index file, or deleted since) that are borne before it is built again: they
are scored from memory and masked, which is exact and costs a little on every search."""


def stale_reason(db: Database, folder: Path, model: Model) -> str:
    """Why the index file should be built again, or ""."""
    state = current_state(db)
    generation = state.generation
    if generation is None:
        return "" if is_empty(db) else "there is no index file yet"
    if generation.model != model.id:
        return "the index file holds another model's vectors"
    try:
        path = check_generation(folder, generation)
        measured = index.read_measured(path)
    except (IndexFileError, StorageError) as error:
        return str(error)
    drift = state.last_chunk - generation.watermark + count(db, "deletions")
    if drift > max(STALE_ROWS, STALE_SHARE * generation.vectors):
        return f"{drift} rows came or went since the index file was built"
    return index.stale(measured, generation.vectors, model.dim, index_config(db))


def index_config(db: Database) -> IndexConfig:
    """What this collection asks of its index."""
    return IndexConfig(**(get_setting(db, SETTING) or {}))


def ask_index(db: Database, config: IndexConfig | None, dim: int) -> None:
    """Stores what is asked of the index from now on; None leaves it as it is.

    What is stored is heeded by the next build, and makes the present file stale where it differs.
    Raises InputError where FAISS refuses it for vectors of `dim` numbers; nothing is stored then.
    """
    index.check(config or index_config(db), dim)
    if config is not None and config != index_config(db):
        with db.atomic():
            put_setting(db, SETTING, asdict(config))


def build_generation(
    db: Database,
    folder: Path,
    model: Model,
    progress: Progress = SILENT,
    *,
    device: str = "auto",
) -> None:
    """Builds the index file from SQLite, makes it safe on the disk, adopts it, drops the old ones.

    The caller holds the writer's lock, so nothing changes between reading and adopting. Readers
    that have an old file open keep it until they see the new row. A `device` that is a GPU helps.
    """
    chunks = count(db, "chunks")
    number = next_generation(db)
    home = folder / INDEX_FOLDER
    home.mkdir(exist_ok=True)
    saved = home / f"{number:06d}.index"
    index.build(
        saved,
        read_embeddings(db, model.dim),
        chunks,
        model.dim,
        index_config(db),
        memory=free_memory(),
        devices=faiss_devices(device) if device.startswith("cuda") else (),
        progress=progress,
    )
    kind = index.load(saved).kind
    path = saved.rename(home / _file_name(number, index.checksum(saved)))
    status = path.stat()
    last = db.execute("SELECT coalesce(max(id), 0) FROM chunks").fetchone()[0]
    adopt_generation(
        db,
        Generation(
            id=number,
            model=model.id,
            kind=kind,
            file=path.name,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            watermark=last,
            vectors=chunks,
        ),
    )
    drop_other_files(folder, keep=path.name)


def _file_name(number: int, checksum: int) -> str:
    """The name says which content was adopted: no other file can pass for this one."""
    return f"{number:06d}-{checksum:08x}.index"


def drop_other_files(folder: Path, *, keep: str) -> None:
    """Deletes index files that are not in force, whole or left by a killed process."""
    for path in (folder / INDEX_FOLDER).iterdir():
        if path.name != keep:
            with suppress(OSError):  # where a reader holds it open: the next build tries again
                path.unlink()


def check_generation(folder: Path, generation: Generation) -> Path:
    """The path of the index file; IndexFileError when it is missing or not the one adopted."""
    path = folder / INDEX_FOLDER / generation.file
    try:
        status = path.stat()
    except OSError:
        raise IndexFileError(f"the index file {path} is missing") from None
    if status.st_size != generation.size:
        raise IndexFileError(
            f"the index file {path} has {status.st_size} bytes instead of {generation.size}"
        )
    if path.name != _file_name(generation.id, index.checksum(path)):
        raise IndexFileError(f"the index file {path} is not the one that was built")
    if status.st_mtime_ns != generation.mtime_ns:
        index.verify(path)  # touched since: its content must prove itself
    return path


def load_generation(folder: Path, generation: Generation, *, restamp: bool = False) -> NumpyIndex:
    """The index of an adopted generation; IndexFileError when its file is missing or damaged.

    A file with another time than it was written at, as copies have, is read whole to prove itself;
    `restamp` gives it that time again, so that the next process need not.
    """
    path = check_generation(folder, generation)
    loaded = index.load(path)
    if len(loaded) != generation.vectors:
        raise IndexFileError(
            f"the index file {path} holds {len(loaded)} vectors instead of {generation.vectors}"
        )
    if restamp:
        with suppress(OSError):  # not our file, or a writer has just taken it away
            if path.stat().st_mtime_ns != generation.mtime_ns:
                os.utime(path, ns=(generation.mtime_ns, generation.mtime_ns))
    return loaded


def tidy(
    db: Database,
    folder: Path,
    *,
    orphans: bool,
    progress: Progress = SILENT,
    device: str = "auto",
) -> None:
    """After a write: drops vectors without chunks where there may be some, and builds the index
    file where it is stale. The caller holds the writer's lock."""
    model = active_model(db)
    if model is None:
        return
    if orphans:
        with db.atomic():
            drop_unused_vectors(db)
    reason = stale_reason(db, folder, model)
    if reason:
        log.info("building the index file: %s", reason)
        build_generation(db, folder, model, progress, device=device)
