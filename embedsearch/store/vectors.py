"""Vectors by model and content hash, and the rows of chunks that use them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlite_utils import Database

from embedsearch.errors import CorruptStoreError
from embedsearch.store.documents import SQL_VARIABLES, batched
from embedsearch.store.settings import PREVIOUS

if TYPE_CHECKING:
    from embedsearch.store.settings import Model
    from embedsearch.types import RowIds, Vectors

UNIT_TOLERANCE = 1e-3
READ_BATCH = 4096
"""Vectors read from SQLite at a time."""


def content_hash(text: str) -> bytes:
    """SHA-256 of what the encoder sees of a chunk."""
    return hashlib.sha256(text.encode()).digest()


def find_vectors(db: Database, model: int, hashes: Sequence[bytes]) -> dict[bytes, int]:
    """Rows of the vectors that are there already, by content hash."""
    found: dict[bytes, int] = {}
    for start in range(0, len(hashes), SQL_VARIABLES):
        part = hashes[start : start + SQL_VARIABLES]
        marks = ",".join("?" * len(part))
        found.update(
            db.execute(
                f"SELECT hash, id FROM vectors WHERE model = ? AND hash IN ({marks})",
                [model, *part],
            ).fetchall()
        )
    return found


def vectors_by_hash(
    db: Database, model: int, dim: int, hashes: Sequence[bytes]
) -> dict[bytes, Vectors]:
    """The vectors that are there already, each of shape (dim,), by content hash."""
    rows = {row: digest for digest, row in find_vectors(db, model, hashes).items()}
    found: dict[bytes, Vectors] = {}
    for part in batched(list(rows)):
        marks = ",".join("?" * len(part))
        for row, blob in db.execute(f"SELECT id, vector FROM vectors WHERE id IN ({marks})", part):
            if len(blob) == 4 * dim:
                found[rows[row]] = np.frombuffer(blob, dtype="<f4").astype(np.float32)
    return found


def put_vectors(
    db: Database, model: int, hashes: Sequence[bytes], vectors: Vectors
) -> dict[bytes, int]:
    """Writes new vectors, float32 of shape (len(hashes), dim); returns their rows by hash."""
    blobs = np.ascontiguousarray(vectors, dtype="<f4")
    db.conn.executemany(
        "INSERT INTO vectors (model, hash, vector) VALUES (?, ?, ?)",
        ((model, digest, blob.tobytes()) for digest, blob in zip(hashes, blobs, strict=True)),
    )
    return find_vectors(db, model, hashes)


def drop_unused_vectors(db: Database) -> int:
    """Deletes vectors that no chunk uses; returns how many.

    Those of the model before stay for a rollback, as long as their content does.
    """
    return db.execute(
        "DELETE FROM vectors WHERE NOT EXISTS (SELECT 1 FROM chunks c WHERE c.vector = vectors.id) "
        "AND NOT EXISTS (SELECT 1 FROM staged_chunks c WHERE c.vector = vectors.id) "
        "AND NOT (model IS (SELECT json_extract(value, '$.id') FROM settings WHERE key = ?) "
        "AND EXISTS (SELECT 1 FROM vectors v JOIN chunks c ON c.vector = v.id WHERE v.hash = "
        "vectors.hash AND v.model IN (SELECT CAST(value AS INTEGER) FROM settings "
        "WHERE key = 'model')))",
        [PREVIOUS],
    ).rowcount


def take_vectors(db: Database, other: Path, model: Model) -> None:
    """Copies a model's vectors from another collection's database, but for those that are here."""
    db.execute("ATTACH DATABASE ? AS other", [str(other)])
    try:
        with db.atomic():
            db.execute(
                "INSERT OR IGNORE INTO vectors (model, hash, vector) "
                "SELECT ?, v.hash, v.vector FROM other.vectors v "
                "JOIN other.models m ON m.id = v.model WHERE m.fingerprint = ?",
                [model.id, model.fingerprint],
            )
    finally:
        db.execute("DETACH DATABASE other")


def disown_damaged_vectors(db: Database, model: int, dim: int) -> int:
    """Takes their hash from vectors that no encoder has made, so that they are not found and made
    anew; returns how many. The chunks that have them keep them until then."""
    damaged = [
        row
        for row, blob in db.execute("SELECT id, vector FROM vectors WHERE model = ?", [model])
        if not is_unit_vector(blob, dim)
    ]
    db.conn.executemany(
        "UPDATE vectors SET hash = randomblob(32) WHERE id = ?", ((row,) for row in damaged)
    )
    return len(damaged)


def is_unit_vector(blob: bytes, dim: int) -> bool:
    """Whether this is a vector of `dim` numbers and of length 1, or 0 for a text of no tokens."""
    if len(blob) != 4 * dim:
        return False
    length = float(np.linalg.norm(np.frombuffer(blob, dtype="<f4")))
    return length == 0 or abs(length - 1) < UNIT_TOLERANCE


def read_embeddings(
    db: Database, dim: int, *, above: int = 0, up_to: int | None = None
) -> Iterator[tuple[RowIds, Vectors]]:
    """Batches of chunk rows with `above < row <= up_to`, ascending, and their vectors.

    Raises CorruptStoreError for a vector that has not `dim` numbers.
    """
    last = above
    while True:
        rows = db.execute(
            "SELECT c.id, v.vector FROM chunks c JOIN vectors v ON v.id = c.vector "
            "WHERE c.id > ? AND c.id <= ? ORDER BY c.id LIMIT ?",
            [last, 2**63 - 1 if up_to is None else up_to, READ_BATCH],
        ).fetchall()
        if not rows:
            return
        damaged = next((row[0] for row in rows if len(row[1]) != 4 * dim), None)
        if damaged is not None:
            raise CorruptStoreError(
                f"the vector of chunk {damaged} has not the {dim} numbers of the model's; "
                "`embedsearch reindex` makes it anew"
            )
        ids = np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))
        flat = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f4")
        yield ids, np.ascontiguousarray(flat.reshape(len(rows), dim), dtype=np.float32)
        last = rows[-1][0]


def document_vectors(db: Database, document: int, dim: int) -> Vectors:
    """Vectors of a document's chunks, shape (chunks, dim)."""
    blobs = db.execute(
        "SELECT v.vector FROM chunks c JOIN vectors v ON v.id = c.vector "
        "WHERE c.document = ? ORDER BY c.id",
        [document],
    ).fetchall()
    flat = np.frombuffer(b"".join(blob[0] for blob in blobs), dtype="<f4")
    return np.ascontiguousarray(flat.reshape(len(blobs), dim), dtype=np.float32)
