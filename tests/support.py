"""Collections over the fake encoder, and what they ought to hold and find, worked out by NumPy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedsearch.collection.collection import Collection
from embedsearch.store.database import DATABASE_NAME, open_database
from embedsearch.text.chunking import embedding_input
from embedsearch.types import Hit, SyncReport
from tests.fake_encoder import FakeEncoder

_ticks = count(1)


class CountingEncoder(FakeEncoder):
    """Remembers what it was given; `loaded` counts uses of any kind."""

    def __init__(self, dim: int = 32, seed: int = 0) -> None:
        super().__init__(dim, seed)
        self.documents: list[str] = []
        self.queries: list[str] = []

    def encode_document(self, texts: Sequence[str]) -> np.ndarray:
        self.documents += texts
        return FakeEncoder.encode_query(self, texts)

    def encode_query(self, texts: Sequence[str]) -> np.ndarray:
        self.queries += texts
        return super().encode_query(texts)


class Notes:
    """A Progress that keeps the remarks."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, description: str, total: int | None, unit: str) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass

    def note(self, message: str) -> None:
        self.lines.append(message)


class Untouchable:
    """An encoder of the same name that must not be used at all."""

    engine = "untouched"

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, attribute: str) -> Any:
        raise AssertionError(f"the encoder was asked for its {attribute}")


def write(path: Path, text: str | bytes) -> Path:
    """Writes a file with a time of its own, however fast the clock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    touch(path)
    return path


def touch(path: Path) -> None:
    stamp = 1_700_000_000_000_000_000 + next(_ticks) * 1_000_000_000
    os.utime(path, ns=(stamp, stamp))


def counts(report: SyncReport) -> dict[str, int]:
    """The counts of documents that are not 0."""
    names = ("added", "changed", "removed", "unchanged")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def without_times(report: SyncReport) -> dict[str, Any]:
    return asdict(report) | {"seconds": 0, "encoder_seconds": 0}


def texts_of(collection: Collection) -> dict[str, str]:
    return {document.id: document.text for document in collection}


@dataclass(frozen=True, kw_only=True)
class ChunkRow:
    row: int
    document_id: str
    start: int
    end: int
    text: str
    context: str

    @property
    def input(self) -> str:
        return embedding_input(self.context, self.text)

    @property
    def key(self) -> tuple[str, int, int]:
        return self.document_id, self.start, self.end


def chunk_rows(collection: Collection) -> list[ChunkRow]:
    """All chunks, straight from SQLite, in the order of their rows."""
    db = open_database(collection.folder, read_only=True)
    try:
        rows = db.execute(
            "SELECT c.id, d.document_id, c.start, c.end, c.text, c.context FROM chunks c "
            "JOIN documents d ON d.id = c.document ORDER BY c.id"
        ).fetchall()
    finally:
        db.close()
    names = ("row", "document_id", "start", "end", "text", "context")
    return [ChunkRow(**dict(zip(names, row, strict=True))) for row in rows]


def cosines(encoder: FakeEncoder, chunks: Sequence[ChunkRow], query: str) -> dict[int, float]:
    """The cosine of every chunk with the query, computed anew from the texts; by row."""
    if not chunks:
        return {}
    vectors = FakeEncoder.encode_query(encoder, [chunk.input for chunk in chunks])
    scores = vectors.astype(np.float64) @ FakeEncoder.encode_query(encoder, [query])[0]
    return {chunk.row: float(score) for chunk, score in zip(chunks, scores, strict=True)}


def ranked(
    scores: dict[int, float], chunks: Sequence[ChunkRow], *, by: str = "document"
) -> list[tuple[tuple[str, int, int], float]]:
    """(chunk, score), best first, ties (but for rounding) by row; one a document where asked."""
    keys = {chunk.row: chunk.key for chunk in chunks}
    order = sorted(scores, key=lambda row: (-round(scores[row], 6), row))
    found, seen = [], set()
    for row in order:
        if by == "document" and keys[row][0] in seen:
            continue
        seen.add(keys[row][0])
        found.append((keys[row], scores[row]))
    return found


def assert_hits(
    hits: Sequence[Hit],
    expected: Sequence[tuple[tuple[str, int, int], float]],
    *,
    tolerance: float = 2e-6,
) -> None:
    """The hits are the expected chunks with the expected scores, in order.

    Where scores are equal but for rounding, their order may be another.
    """
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert len(hits) == len(expected)
    scores = [hit.score for hit in hits]
    np.testing.assert_allclose(scores, [score for _, score in expected], atol=tolerance)
    assert scores == sorted(scores, reverse=True)
    wanted = dict(expected)
    for hit, (key, score) in zip(hits, expected, strict=True):
        found = (hit.document_id, hit.start, hit.end)
        assert found == key or abs(wanted.get(found, score) - score) < tolerance, (found, key)


def database_bytes(collection: Collection) -> bytes:
    """What is on the disk: the database and what waits in its log."""
    folder = collection.folder
    names = (DATABASE_NAME, f"{DATABASE_NAME}-wal")
    return b"".join((folder / n).read_bytes() for n in names if (folder / n).exists())


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def after_a_fork(before: str, check: str) -> bool:
    """Whether the expression `check` holds in a process forked after the statements `before`.

    The program has two threads, the forked process half a minute.
    """
    program = f"""
import os, signal
{before}
child = os.fork()
if not child:
    signal.alarm(30)
    os._exit(0 if {check} else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[-1] == "0"
