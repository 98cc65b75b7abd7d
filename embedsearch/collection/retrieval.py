"""From a query to hits: by meaning, by words, or by both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from sqlite_utils import Database

from embedsearch.errors import InputError
from embedsearch.index import LiveIndex
from embedsearch.index.fusion import Ranking, fuse
from embedsearch.store.documents import StoredChunk, documents_of_chunks, load_chunks
from embedsearch.store.filters import Where, matching_chunks
from embedsearch.store.keyword import (
    KeywordQuery,
    parse_query,
    score_keyword,
    search_keyword,
)
from embedsearch.store.postings import Postings
from embedsearch.types import Hit, Mode

if TYPE_CHECKING:
    from embedsearch.collection.view import Snapshot
    from embedsearch.types import RowIds, Vectors

By = Literal["document", "chunk"]

MAX_K = 10_000
DEPTH = 100
"""Chunks taken from each of the two rankings that hybrid search fuses, unless `k` asks for more."""

FEW_ROWS = 500
"""Chunks that FTS5 may score one by one: each costs it a look-up of every word of the query."""

SNIPPET_CHARACTERS = 320

_pool: ThreadPoolExecutor
"""Scores vectors while SQLite looks up words: NumPy, FAISS and SQLite all let go of the GIL."""


def _start_pool() -> None:
    global _pool
    _pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedsearch-semantic")


_start_pool()
if hasattr(os, "register_at_fork"):  # a child has no thread but the one that forked
    os.register_at_fork(after_in_child=_start_pool)


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """What a search returns: the `k` best documents (each by its best chunk) or chunks."""

    k: int = 10
    mode: Mode = "hybrid"
    by: By = "document"

    def __post_init__(self) -> None:
        if type(self.k) is not int or not 1 <= self.k <= MAX_K:
            raise InputError(f"k must be a whole number from 1 to {MAX_K}, not {self.k!r}")
        if self.mode not in get_args(Mode):
            raise InputError(f"mode must be hybrid, semantic or keyword, not {self.mode!r}")
        if self.by not in get_args(By):
            raise InputError(f"by must be document or chunk, not {self.by!r}")


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query in both its forms: words for FTS5, a unit vector of shape (1, dim) for the index.

    A mode needs only its own.
    """

    words: KeywordQuery
    vector: Vectors | None

    @classmethod
    def of(cls, text: str, vector: Vectors | None) -> Query:
        return cls(words=parse_query(text), vector=vector)


def search(
    snapshot: Snapshot,
    query: Query,
    config: SearchConfig,
    where: Where | None = None,
    *,
    exclude: int | None = None,
) -> list[Hit]:
    """The best hits, best first. `exclude` is the row of a document to leave out."""
    candidates = _Candidates(
        snapshot=snapshot,
        query=query,
        where=where,
        allowed=matching_chunks(snapshot.db, where) if where else None,
    )
    depth = max(DEPTH, 2 * config.k)
    while True:
        ranking = candidates.rank(config.mode, depth)
        best = _best(snapshot.db, ranking, config, exclude)
        # Long documents may fill the list with their own chunks: then look deeper.
        if len(best) >= config.k or len(ranking) < depth:
            break
        depth *= 4
    return _hits(snapshot, best, query.words)


@dataclass(frozen=True, kw_only=True)
class _Candidates:
    """The chunks that a query may find, ranked in one way or another."""

    snapshot: Snapshot
    query: Query
    where: Where | None
    allowed: RowIds | None

    def rank(self, mode: Mode, depth: int) -> Ranking:
        """Scores by chunk row, best first."""
        live, vector = self.snapshot.live, self.query.vector
        if mode == "keyword" or vector is None or live is None:
            return self._by_words(depth)
        if mode == "semantic" or not self.query.words.terms:
            return _semantic(live, vector, depth, self.allowed)
        running = _pool.submit(_semantic, live, vector, depth, self.allowed)
        by_words = self._by_words(depth)
        by_meaning = running.result()
        # Each list is completed with the other's candidates, so that both scores of each are exact.
        only_words = np.array(sorted(by_words.keys() - by_meaning.keys()), dtype=np.int64)
        only_meaning = sorted(by_meaning.keys() - by_words.keys())
        by_meaning |= _semantic(live, vector, len(only_words), only_words)
        by_words |= self._word_scores(only_meaning)
        return fuse(by_meaning, by_words, background=float(vector[0] @ live.centroid))

    def _by_words(self, depth: int) -> Ranking:
        db, postings = self.snapshot.db, self.snapshot.postings
        if postings is not None:
            return dict(postings.search(db, self.query.words.terms, depth, self.allowed))
        return dict(search_keyword(db, self.query.words, depth, self.where))

    def _word_scores(self, rows: Sequence[int]) -> Ranking:
        db, postings = self.snapshot.db, self.snapshot.postings
        if postings is None and len(rows) > FEW_ROWS:
            postings = Postings(db)
        if postings is not None:
            return dict(postings.score(db, self.query.words.terms, rows))
        return dict(score_keyword(db, self.query.words, rows))


def _semantic(live: LiveIndex, vector: Vectors, depth: int, allowed: RowIds | None) -> Ranking:
    if not depth or not len(live):
        return {}
    scores, ids = live.search(vector, min(depth, len(live)), allowed)
    return {int(i): float(s) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0}


def _best(
    db: Database, ranking: Ranking, config: SearchConfig, exclude: int | None
) -> list[tuple[int, float]]:
    """The best `k` of the ranking, with one chunk a document where documents are asked for."""
    rows = list(ranking)
    if config.by == "chunk" and exclude is None:
        return [(row, ranking[row]) for row in rows[: config.k]]
    seen = {exclude}
    best: list[tuple[int, float]] = []
    for start in range(0, len(rows), 2 * config.k):  # mostly, the first part is enough
        part = rows[start : start + 2 * config.k]
        documents = documents_of_chunks(db, part)
        for row in part:
            document = documents.get(row)
            if document is None or document in seen:
                continue
            if config.by == "document":
                seen.add(document)
            best.append((row, ranking[row]))
            if len(best) == config.k:
                return best
    return best


def _hits(snapshot: Snapshot, best: Sequence[tuple[int, float]], words: KeywordQuery) -> list[Hit]:
    chunks = load_chunks(snapshot.db, [row for row, _ in best])
    marked = snapshot.snippets.of(words, {row: chunk.text for row, chunk in chunks.items()})
    return [
        _hit(rank, chunks[row], score, *marked.get(row, (_opening(chunks[row].text), ())))
        for rank, (row, score) in enumerate(best, start=1)
    ]


def _hit(
    rank: int,
    chunk: StoredChunk,
    score: float,
    snippet: str,
    highlights: tuple[tuple[int, int], ...],
) -> Hit:
    return Hit(
        rank=rank,
        document_id=chunk.document_id,
        score=score,
        text=chunk.text,
        start=chunk.start,
        end=chunk.end,
        title=chunk.title,
        headings=chunk.headings,
        path=chunk.path,
        metadata=chunk.metadata,
        snippet=snippet,
        highlights=highlights,
    )


def _opening(text: str) -> str:
    if len(text) <= SNIPPET_CHARACTERS:
        return text
    return text[:SNIPPET_CHARACTERS].rsplit(maxsplit=1)[0] + "…"
