"""The postings in memory give the very scores that FTS5 gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from embedsearch.store.keyword import parse_query, score_keyword, search_keyword
from embedsearch.store.postings import Postings
from embedsearch.store.schema import migrations

WORDS = "run runs running harbour naïve naive 日本語 été 2024 qm-4031 zip zips a1b2 Ωμέγα".split()


def made(texts: list[tuple[str, str]]) -> Database:
    """A database in memory with one chunk for each (context, text)."""
    db = Database(memory=True)
    migrations.apply(db)
    db.execute("INSERT INTO models (id, fingerprint, name, dim) VALUES (1, 'f', 'm', 1)")
    db.execute("INSERT INTO vectors (id, model, hash, vector) VALUES (1, 1, x'00', x'00000000')")
    db.execute(
        "INSERT INTO documents (id, document_id, hash, title, text, format, metadata) "
        "VALUES (1, 'd', x'00', '', '', 'text', '{}')"
    )
    for context, text in texts:
        db.execute(
            "INSERT INTO chunks (document, start, end, headings, context, text, vector) "
            "VALUES (1, 0, 0, '[]', ?, ?, 1)",
            [context, text],
        )
    return db


texts = st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(
    corpus=st.lists(st.tuples(texts, texts), min_size=1, max_size=25),
    query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join),
    limit=st.integers(1, 30),
    gone=st.sets(st.integers(1, 25), max_size=5),
)
def test_same_as_fts5(
    corpus: list[tuple[str, str]], query: str, limit: int, gone: set[int]
) -> None:
    db = made(corpus)
    for row in gone:
        db.execute("DELETE FROM chunks WHERE id = ?", [row])
    words = parse_query(query)
    everything = dict(search_keyword(db, words, 1000))
    postings = Postings(db)
    found = postings.search(db, words.terms, limit)
    assert len(found) == min(limit, len(everything))
    for row, score in found:
        assert score == pytest.approx(everything[row], rel=1e-9)
    ordered = sorted(found, key=lambda pair: (-pair[1], pair[0]))
    assert found == ordered
    left_out = [score for row, score in everything.items() if row not in dict(found)]
    assert not left_out or max(left_out) <= min(score for _, score in found) * (1 + 1e-9)


def test_again_from_memory_and_restricted() -> None:
    db = made([("", "harbour master"), ("harbour", "rules of the port"), ("", "nothing of it")])
    words = parse_query("harbour rules")
    postings = Postings(db)
    first = postings.search(db, words.terms, 10)
    assert first == postings.search(db, words.terms, 10)
    assert [row for row, _ in first] == [2, 1]
    assert [row for row, _ in postings.search(db, words.terms, 10, np.array([1, 3, 9]))] == [1]
    assert dict(postings.score(db, words.terms, [3, 2])) == {2: dict(first)[2]}
    assert dict(postings.score(db, words.terms, [2])) == pytest.approx(
        dict(score_keyword(db, words, [2]))
    )


def test_a_word_said_twice_counts_twice() -> None:
    db = made([("", "alpha beta"), ("", "gamma delta"), ("", "epsilon zeta")])
    once, twice = parse_query("alpha"), parse_query("alpha alpha")
    postings = Postings(db)
    for query, times in ((once, 1), (twice, 2)):
        (found,) = postings.search(db, query.terms, 10)
        assert found[1] == pytest.approx(times * dict(search_keyword(db, once, 10))[1])
        assert found[1] == pytest.approx(dict(search_keyword(db, query, 10))[1])


def test_long_chunks_have_long_counts() -> None:
    """Counts above 127 and above 16,383 take two and three bytes."""
    db = made([("", "word " * n) for n in (1, 127, 128, 16_383, 16_384, 40_000)])
    words = parse_query("word")
    assert dict(Postings(db).search(db, words.terms, 10)) == pytest.approx(
        dict(search_keyword(db, words, 10))
    )


def test_no_chunks_and_no_such_word(tmp_path: Path) -> None:
    assert Postings(made([])).search(made([]), ("word",), 10) == []
    db = made([("", "one")])
    assert Postings(db).search(db, ("two",), 10) == []
    assert Postings(db).score(db, ("two",), [1, 7]) == []
