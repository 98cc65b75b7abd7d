"""`doctor`: every promise of a collection, checked, with the way to mend what is broken."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from sqlite_utils import Database

from embedsearch import index
from embedsearch.collection.access import Access
from embedsearch.collection.indexing import INDEX_FOLDER, load_generation, stale_reason
from embedsearch.collection.models import check_fingerprint, load_encoder
from embedsearch.device import describe, faiss_gpu_count, has_accelerator
from embedsearch.encoder.openvino_engine import is_installed, precision
from embedsearch.errors import CorruptStoreError, EmbedSearchError, LockedError, StorageError
from embedsearch.store.database import DATABASE_NAME, open_database, plain_errors
from embedsearch.store.documents import count
from embedsearch.store.generations import current_generation, deletions_after
from embedsearch.store.settings import active_model
from embedsearch.store.shadow import leftover_bytes, shadow_folder
from embedsearch.store.vectors import UNIT_TOLERANCE, read_embeddings
from embedsearch.text.words import counted
from embedsearch.types import Encoder

FREE_SPACE = 200e6


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at; `remedy` says how to mend it when it is not `ok`."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(folder: Path, *, model: str | Path | Encoder | None = None) -> list[Check]:
    """Checks the installation and the collection in `folder`; changes neither.

    `model` is that of the collection, where its name alone does not lead to it.
    """
    checks = list(_installation(folder))
    try:
        access = Access.open(folder, read_only=True, create=False)
    except EmbedSearchError as error:
        remedy = _REINDEX if isinstance(error, CorruptStoreError) else _AS_TOLD
        return [*checks, Check(check="collection", ok=False, detail=str(error), remedy=remedy)]
    try:
        with access.reading() as db:
            checks += [
                _run(name, look, db, access.folder, remedy)
                for name, look, remedy in (*_CHECKS, _model_check(model))
            ]
    finally:
        access.close()
    return checks


_AS_TOLD = "do that, then run `embedsearch doctor` again"
_REINDEX = "restore the folder from a backup, or delete it and index again"
_REBUILD = "delete the folder `index` in the collection: the next search builds it again"


_Look = Callable[[Database, Path], str]
"""Looks at one thing: what it found when all is well, else an error that says what is wrong."""


def _run(name: str, look: _Look, db: Database, folder: Path, remedy: str) -> Check:
    try:
        with plain_errors(folder / DATABASE_NAME):
            return Check(check=name, ok=True, detail=look(db, folder))
    except (StorageError, LockedError) as error:  # of the looking, not of what was looked at
        return Check(check=name, ok=False, detail=str(error), remedy=_AS_TOLD)
    except EmbedSearchError as error:
        return Check(check=name, ok=False, detail=str(error), remedy=remedy)


class _UnhealthyError(EmbedSearchError):
    """What a check found."""


def _installation(folder: Path) -> Iterator[Check]:
    installed = [name for name in ("faiss-cpu", "faiss-gpu") if _installed(name)]
    yield Check(
        check="faiss",
        ok=len(installed) < 2,
        detail=" and ".join(installed) or "not installed: NumPy searches in its place",
        remedy="both are the module `faiss`: uninstall both, then install one",
    )
    gpus = faiss_gpu_count() if "faiss-gpu" in installed else 0
    if gpus:
        yield _gpu_search(gpus)
    hardware = describe()
    yield Check(
        check="hardware",
        ok=True,
        detail=f"{hardware.cpu_count} CPU cores, torch {hardware.torch_version}",
    )
    yield Check(check="engine", ok=True, detail=_engine())
    existing = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
    )
    free = shutil.disk_usage(existing).free
    yield Check(
        check="disk",
        ok=free > FREE_SPACE,
        detail=f"{free / 1e9:,.1f} GB free",
        remedy="free some space: a full disk stops indexing, though nothing is lost",
    )


def _engine() -> str:
    """What computes many texts here, of a model that every engine knows."""
    if has_accelerator():
        return "torch on the GPU, if torch finds it usable"
    if not is_installed():
        return "torch; OpenVINO, several times faster, is not installed"
    found = precision()
    return f"openvino in {found}" + ("" if found == "bf16" else ": this CPU has no bfloat16")


def _gpu_search(gpus: int) -> Check:
    """Searches on every GPU and compares with the CPU."""
    rows = np.random.default_rng(0).standard_normal((1000, 64), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    exact = index.NumpyIndex(np.arange(len(rows), dtype=np.int64), rows)
    detail, ok = f"{gpus} found, searched and compared with the CPU", True
    try:
        found = index.mirror(exact, range(gpus)).search(rows[:50], 10)
        if not np.array_equal(found[1], exact.search(rows[:50], 10)[1]):
            detail, ok = "a search on the GPU gives other rows than one on the CPU", False
    except EmbedSearchError as error:
        detail, ok = str(error), False
    return Check(
        check="faiss on the GPU",
        ok=ok,
        detail=detail,
        remedy="see that nvidia-smi lists the GPU and that its driver knows CUDA 12; searches use "
        "the CPU unless --device names the GPU",
    )


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _database(db: Database, _folder: Path) -> str:
    found = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
    orphans = db.execute("PRAGMA foreign_key_check").fetchall()
    if found != ["ok"]:
        raise _UnhealthyError("; ".join(found))
    if orphans:
        raise _UnhealthyError(f"{counted(len(orphans), 'reference')} to rows that are not there")
    documents, chunks = count(db, "documents"), count(db, "chunks")
    return f"{counted(documents, 'document')}, {counted(chunks, 'chunk')}, no damage"


def _keywords(db: Database, folder: Path) -> str:
    """FTS5 compares its index with the chunks; it asks for that by a write, which is undone."""
    chunks = counted(count(db, "chunks"), "chunk")
    if not all(os.access(path, os.W_OK) for path in (folder, folder / DATABASE_NAME)):
        return f"{chunks}; not compared, the collection is read-only"
    own = open_database(folder, read_only=False)
    try:
        own.execute("BEGIN")
        own.execute("INSERT INTO chunks_fts (chunks_fts, rank) VALUES ('integrity-check', 1)")
        own.rollback()
    finally:
        own.close()
    return f"{chunks}, compared with the text"


def _chunks(db: Database, _folder: Path) -> str:
    wrong = db.execute(
        "SELECT count(*) FROM documents d WHERE NOT EXISTS "
        "(SELECT 1 FROM chunks c WHERE c.document = d.id)"
    ).fetchone()[0]
    if wrong:
        raise _UnhealthyError(f"{counted(wrong, 'document')} without a chunk")
    checked = 0
    for document, text in db.execute("SELECT id, text FROM documents"):
        for start, end, chunk in db.execute(
            "SELECT start, end, text FROM chunks WHERE document = ?", [document]
        ):
            checked += 1
            if text[start:end] != chunk:
                raise _UnhealthyError(
                    f"a chunk of document row {document} is not text[{start}:{end}]"
                )
    return f"{counted(checked, 'chunk')}, cut exactly from the documents"


def _vectors(db: Database, _folder: Path) -> str:
    model = active_model(db)
    if model is None:
        return "none yet"
    checked = 0
    wrong = db.execute(
        "SELECT count(*) FROM chunks c JOIN vectors v ON v.id = c.vector "
        "WHERE v.model != ? OR length(v.vector) != ?",
        [model.id, 4 * model.dim],
    ).fetchone()[0]
    if wrong:
        raise _UnhealthyError(f"{counted(wrong, 'chunk')} with a vector of another model or size")
    for _, vectors in read_embeddings(db, model.dim):
        checked += len(vectors)
        lengths = np.linalg.norm(vectors, axis=1)
        bad = ~(np.abs(lengths - 1) < UNIT_TOLERANCE) & (lengths != 0)
        if bad.any():
            raise _UnhealthyError(f"{counted(int(bad.sum()), 'vector')} not of unit length")
    return f"{counted(checked, 'vector')} of {model.dim} numbers"


def _index_file(db: Database, folder: Path) -> str:
    """A file that is missing or behind costs time and no truth, so that is no fault."""
    model, generation = active_model(db), current_generation(db)
    if model is None:
        return "none yet"
    reason = stale_reason(db, folder, model)
    path = folder / INDEX_FOLDER / generation.file if generation else None
    if generation is None or path is None or generation.model != model.id or not path.exists():
        return f"{reason or 'none yet'}; until it is built, searches read the database instead"
    index.verify(path)
    loaded = load_generation(folder, generation)
    gone = deletions_after(db, 0)
    for ids, vectors in read_embeddings(db, model.dim, up_to=generation.watermark):
        if not np.isin(ids, loaded.ids).all() or np.isin(ids, gone).any():
            raise _UnhealthyError("the index file does not hold the chunks that the database has")
        if not np.array_equal(loaded.vectors[np.searchsorted(loaded.ids, ids)], vectors):
            raise _UnhealthyError("the index file holds other vectors than the database")
    held = counted(generation.vectors, "vector")
    found = f"generation {generation.id}: {generation.kind}, {held}, verified"
    return f"{found}; {reason}" if reason else found


def _shadow(_db: Database, folder: Path) -> str:
    left = leftover_bytes(folder)
    shadow = shadow_folder(folder)
    if left is None:
        return "a model is on trial" if shadow.is_dir() else "none"
    raise _UnhealthyError(
        f"{shadow} ({left / 1e6:,.1f} MB) is left of a model's trial that was killed"
    )


def _model_check(wanted: str | Path | Encoder | None) -> tuple[str, _Look, str]:
    def look(db: Database, _folder: Path) -> str:
        model = active_model(db)
        if model is None:
            return "none yet"
        check_fingerprint(load_encoder(wanted or model.name), model)
        return f"{model.name}, fingerprint {model.fingerprint[:16]}"

    return "model", look, "bring the model back, or change over: embedsearch reindex --model M"


_CHECKS: tuple[tuple[str, _Look, str], ...] = (
    ("database", _database, _REINDEX),
    ("chunks", _chunks, "run `embedsearch reindex`"),
    ("keyword index", _keywords, "run `embedsearch vacuum`: it writes the keyword index anew"),
    ("vectors", _vectors, "run `embedsearch reindex`"),
    ("index file", _index_file, _REBUILD),
    ("trial", _shadow, "delete that folder: all that is in it are copies"),
)
