"""What a collection holds, read with plain sqlite3 and NumPy, apart from the code under test."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedsearch.collection.collection import Collection
from embedsearch.collection.health import Check, examine
from tests.fake_encoder import FakeEncoder

DATABASE = "collection.sqlite3"
SearchResults = list[list[tuple[str, float, str]]]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A chunk with its vector, and the fingerprint of the model that made it."""

    start: int
    end: int
    text: str
    context: str
    headings: str
    vector: bytes
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Held:
    """A document with everything that belongs to it."""

    title: str
    text: str
    metadata: str
    path: str | None
    pieces: tuple[Piece, ...]


State = Mapping[str, Held]


def read_state(folder: Path) -> State:
    """All documents as one transaction sees them; nothing where there is no collection yet."""
    if not (folder / DATABASE).exists():
        return {}
    # a log cannot be read where nothing can be written, and need not where there is none
    closed = not os.access(folder, os.W_OK) and not (folder / f"{DATABASE}-wal").exists()
    uri = f"{(folder / DATABASE).as_uri()}?{'immutable=1' if closed else 'mode=ro'}"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
        db.execute("BEGIN")
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'documents'").fetchone():
            return {}
        pieces: dict[int, list[Piece]] = {}
        for document, *fields in db.execute(
            "SELECT c.document, c.start, c.end, c.text, c.context, c.headings, v.vector, "
            "m.fingerprint FROM chunks c LEFT JOIN vectors v ON v.id = c.vector "
            "LEFT JOIN models m ON m.id = v.model ORDER BY c.document, c.start"
        ):
            names = ("start", "end", "text", "context", "headings", "vector", "fingerprint")
            pieces.setdefault(document, []).append(Piece(**dict(zip(names, fields, strict=True))))
        return {
            id_: Held(title=title, text=text, metadata=metadata, path=path, pieces=(*pieces[row],))
            for row, id_, title, text, metadata, path in db.execute(
                "SELECT d.id, d.document_id, d.title, d.text, d.metadata, s.path "
                "FROM documents d LEFT JOIN sources s ON s.id = d.source"
            )
        }


def exact_search(state: State, query: str, encoder: FakeEncoder, k: int) -> list[tuple[str, float]]:
    """The k best documents by their best chunk, scored one by one."""
    vector = encoder.encode_query([query])[0].astype(np.float64)
    scores = {
        id_: max(float(np.frombuffer(piece.vector, "<f4") @ vector) for piece in held.pieces)
        for id_, held in state.items()
    }
    return sorted(scores.items(), key=lambda item: -item[1])[:k]


def search_all(folder: Path, queries: Sequence[str], seed: int) -> SearchResults:
    """Results of all modes, one query after the other."""
    results: SearchResults = []
    with Collection.open(folder, model=FakeEncoder(seed=seed), read_only=True) as collection:
        for mode in ("semantic", "keyword", "hybrid"):
            for hits in collection.search_batch(queries, 10, mode=mode):
                results.append([(hit.document_id, round(hit.score, 5), hit.text) for hit in hits])
    return results


def check_search(folder: Path, state: State, queries: Sequence[str], seed: int) -> None:
    """A search by meaning finds what `state` says, with the right scores."""
    encoder = FakeEncoder(seed=seed)
    with Collection.open(folder, model=encoder, read_only=True) as collection:
        found = collection.search_batch(queries, 5, mode="semantic")
    for query, hits in zip(queries, found, strict=True):
        expected = exact_search(state, query, encoder, 5)
        assert [hit.document_id for hit in hits] == [id_ for id_, _ in expected]
        np.testing.assert_allclose(
            [hit.score for hit in hits], [score for _, score in expected], atol=1e-5
        )
        for hit in hits:
            held = state[hit.document_id]
            assert hit.text == held.text[hit.start : hit.end]
            assert hit.text in {piece.text for piece in held.pieces}


def check_health(folder: Path, seed: int) -> None:
    """Doctor is content with the collection."""
    wrong = [check for check in doctor(folder, seed) if not check.ok]
    assert not wrong, wrong


def doctor(folder: Path, seed: int) -> list[Check]:
    """What doctor says, but for the room on the disk, which is not the collection's doing."""
    found = examine(folder, model=FakeEncoder(seed=seed))
    return [check for check in found if check.check != "disk"]
