"""Which index file is in force, and which chunks were deleted since it was built."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from sqlite_utils import Database

if TYPE_CHECKING:
    from embedsearch.types import RowIds


@dataclass(frozen=True, kw_only=True)
class Generation:
    """An adopted index file: it covers the chunks that stood at or below `watermark`.

    `size` and `mtime_ns` are the file's stamp when it was written.
    """

    id: int
    model: int
    kind: str
    file: str
    size: int
    mtime_ns: int
    watermark: int
    vectors: int


@dataclass(frozen=True, kw_only=True)
class State:
    """What the chunks are now, for a reader that keeps up: compare two, read the difference."""

    generation: Generation | None
    model: int | None
    last_chunk: int
    last_deletion: int


def current_generation(db: Database) -> Generation | None:
    row = db.execute(
        "SELECT id, model, kind, file, size, mtime_ns, watermark, vectors "
        "FROM generations ORDER BY id DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    names = ("id", "model", "kind", "file", "size", "mtime_ns", "watermark", "vectors")
    return Generation(**dict(zip(names, row, strict=True)))


def current_state(db: Database) -> State:
    # The last numbers given, not the largest there are: rows go, and a number must not come again.
    last = dict(db.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    model = db.execute("SELECT CAST(value AS INTEGER) FROM settings WHERE key = 'model'").fetchone()
    return State(
        generation=current_generation(db),
        model=model[0] if model else None,
        last_chunk=last.get("chunks", 0),
        last_deletion=last.get("deletions", 0),
    )


def deletions_after(db: Database, last: int) -> RowIds:
    """Chunk rows deleted after the deletion `last`, sorted."""
    sql = "SELECT DISTINCT chunk FROM deletions WHERE id > ? ORDER BY chunk"
    rows = db.execute(sql, [last]).fetchall()
    return np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))


def next_generation(db: Database) -> int:
    """The number that the next adopted generation will have."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'generations'").fetchone()
    return (row[0] if row else 0) + 1


def adopt_generation(db: Database, generation: Generation) -> None:
    """Makes an index file, already safe on the disk, the one in force.

    It must have been built from the chunks as they are now: the deletions so far are forgotten.
    """
    with db.atomic():
        db.execute("DELETE FROM generations")
        db.execute("DELETE FROM deletions")
        db.execute(
            "INSERT INTO generations (id, model, kind, file, size, mtime_ns, watermark, vectors) "
            "VALUES (:id, :model, :kind, :file, :size, :mtime_ns, :watermark, :vectors)",
            asdict(generation),
        )
