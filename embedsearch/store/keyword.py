"""Keyword search by SQLite's FTS5 and its BM25 (k1 = 1.2, b = 0.75)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from sqlite_utils import Database

from embedsearch.store.documents import batched
from embedsearch.store.filters import Where, compile_where
from embedsearch.store.schema import KEYWORD_TOKENIZER

MAX_TERMS = 128
"""Words of a query that are looked up, the first ones; stop words do not count."""

SNIPPET_TOKENS = 48
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"  # noncharacters: no text has a use for them …
_MARKS_IN_TEXT = str.maketrans({_OPEN: "\ufffd", _CLOSE: "\ufffd"})  # … but it may hold them

_WORD = re.compile(r"[^\W_]+")

STOP_WORDS = frozenset(
    """a about after all also am an and any are as at be because been before being between both but
    by can could did do does doing don down during each few for from further get got had has have
    having he her here hers him his how i if in into is isn it its itself just ll me more most my
    no nor not now of off on once only or other our ours out over own re s same shall she should so
    some such t than that the their theirs them then there these they this those through to too
    under until up us ve very was wasn we were what when where which while who whom why will with
    won would you your yours""".split()
)
"""English words that say nothing about the topic. FTS5 scores every row that matches any term, so
words that stand in most rows are nearly all the cost of a query and hardly any of its meaning."""


@dataclass(frozen=True, kw_only=True)
class KeywordQuery:
    """A query as FTS5 takes it: no part of the user's text is read as FTS5 syntax."""

    terms: tuple[str, ...]

    @property
    def expression(self) -> str:
        return " OR ".join(f'"{term}"' for term in self.terms)


def parse_query(text: str) -> KeywordQuery:
    """The words of a query, without stop words unless there is nothing else."""
    composed = normalize("NFC", text)  # an accent of its own would split the word
    # A word said twice counts twice, in FTS5 as in BM25's own formula.
    words = [word.lower() for word in _WORD.findall(composed)]
    telling = [word for word in words if word not in STOP_WORDS]
    return KeywordQuery(terms=tuple((telling or words)[:MAX_TERMS]))


def search_keyword(
    db: Database, query: KeywordQuery, limit: int, where: Where | None = None
) -> list[tuple[int, float]]:
    """The best (chunk row, BM25 score), best first, ties by row. Higher is better."""
    if not query.terms:
        return []
    condition, parameters = _filter(where)
    rows = db.execute(
        "SELECT rowid, -rank FROM chunks_fts WHERE chunks_fts MATCH ? "
        f"{condition} ORDER BY rank LIMIT ?",
        [query.expression, *parameters, limit],
    ).fetchall()
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def score_keyword(
    db: Database, query: KeywordQuery, rows: Sequence[int]
) -> list[tuple[int, float]]:
    """(chunk row, BM25 score) of those of `rows` that hold a word of the query."""
    found: list[tuple[int, float]] = []
    for part in batched(rows):
        marks = ",".join("?" * len(part))
        found += db.execute(
            "SELECT rowid, -bm25(chunks_fts) FROM chunks_fts WHERE chunks_fts MATCH ? "
            f"AND +rowid IN ({marks})",
            [query.expression, *part],
        ).fetchall()
    return found


def _filter(where: Where | None) -> tuple[str, list[Any]]:
    if not where:
        return "", []
    condition, parameters = compile_where(where)
    # The unary plus, here and above, keeps FTS5 from being asked anew for every single row.
    return (
        "AND +rowid IN (SELECT c.id FROM documents d LEFT JOIN sources s ON s.id = d.source "
        f"JOIN chunks c ON c.document = d.id WHERE {condition})"
    ), parameters


class Snippets:
    """Finds the passage of a text to show, and where the query's words stand in it.

    The texts are put into an FTS5 table in memory: the same words match as in the keyword index,
    and it takes no longer however large that is.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute(
            f"CREATE VIRTUAL TABLE texts USING fts5(text, tokenize='{KEYWORD_TOKENIZER}')"
        )

    def of(self, query: KeywordQuery, texts: Mapping[int, str]) -> dict[int, Snippet]:
        """Snippets of those texts, by their keys, that hold a word of the query."""
        if not query.terms:
            return {}
        self._db.execute("BEGIN")
        try:
            rows = ((row, text.translate(_MARKS_IN_TEXT)) for row, text in texts.items())
            self._db.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", rows)
            found = self._db.execute(
                f"SELECT rowid, snippet(texts, 0, ?, ?, '…', {SNIPPET_TOKENS}) FROM texts "
                "WHERE texts MATCH ?",
                [_OPEN, _CLOSE, query.expression],
            ).fetchall()
        finally:
            self._db.execute("ROLLBACK")
        return {row: _unmark(marked) for row, marked in found}


Snippet = tuple[str, tuple[tuple[int, int], ...]]
"""A passage, and the (start, end) character ranges of the query's words in it."""


def _unmark(marked: str) -> Snippet:
    text, highlights, start = "", [], 0
    for part in re.split(f"([{_OPEN}{_CLOSE}])", marked):
        if part == _OPEN:
            start = len(text)
        elif part == _CLOSE:
            highlights.append((start, len(text)))
        else:
            text += part
    return text, tuple(highlights)
