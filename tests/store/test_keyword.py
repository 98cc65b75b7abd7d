"""Keyword search: BM25 against an independent implementation, snippets, queries of any kind."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsearch.store.documents import delete_documents, load_chunks
from embedsearch.store.keyword import (
    MAX_TERMS,
    STOP_WORDS,
    Snippets,
    parse_query,
    score_keyword,
    search_keyword,
)
from embedsearch.types import Document
from tests.store.bm25 import PLAIN, STEMS, bm25, stem, tokens
from tests.store.rows import make_database, make_model, put, put_texts

WORDS = st.sampled_from([*PLAIN, *STEMS, "the", "of", "Cat", "LYNX"])
TEXTS = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)
CONTEXTS = st.lists(WORDS, max_size=3).map(" ".join)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    db = make_database(tmp_path_factory.mktemp("keyword"))
    yield db, make_model(db)
    db.close()


@pytest.fixture
def fresh(store):
    """An empty database, emptied again afterwards."""
    db, _ = store
    db.execute("BEGIN")
    yield store
    db.execute("ROLLBACK")


def assert_ranking(found, expected):
    """The same rows in the same order with the same scores, but for rounding."""
    assert [row for row, _ in found] == [row for row, _ in expected]
    assert [score for _, score in found] == pytest.approx([s for _, s in expected], rel=1e-6)


@settings(max_examples=80)
@given(
    corpus=st.lists(st.tuples(CONTEXTS, TEXTS), min_size=1, max_size=12),
    query=st.lists(st.sampled_from([*PLAIN, *STEMS, "Lynx", "the", "nowhere"]), min_size=1),
    limit=st.integers(1, 15),
)
def test_scores_and_order_are_bm25(store, corpus, query, limit):
    db, model = store
    db.execute("BEGIN")
    try:
        rows = put_texts(db, model, corpus)
        parsed = parse_query(" ".join(query))
        best = search_keyword(db, parsed, limit)
        scored = dict(score_keyword(db, parsed, rows[::2]))
    finally:
        db.execute("ROLLBACK")
    texts = dict(zip(rows, (" ".join(pair) for pair in corpus), strict=True))
    expected = bm25(texts, parsed.terms)
    # FTS5 takes one of two scores for the better that differ by rounding alone.
    scores = pytest.approx(sorted(expected.values(), reverse=True)[:limit], rel=1e-6)
    assert [score for _, score in best] == scores
    assert [expected[row] for row, _ in best] == scores
    assert best == sorted(set(best), key=lambda found: (-found[1], found[0]))
    wanted = {row: expected[row] for row in rows[::2] if row in expected}
    assert scored.keys() == wanted.keys()
    assert [scored[row] for row in wanted] == pytest.approx(list(wanted.values()), rel=1e-6)


def test_scores_follow_what_is_put_changed_and_deleted(fresh):
    db, model = fresh
    texts = ["lynx lynx emu", "lynx cat", "zebu zebu zebu zebu", "emu", "cat cat"]
    rows = put_texts(db, model, [("", text) for text in texts])
    delete_documents(db, ["d4"])
    [changed] = put(db, model, Document(id="d1", text="cat zebu running"), context="lynx")
    left = {rows[0]: texts[0], rows[2]: texts[2], rows[3]: texts[3]}
    left[changed] = "lynx cat zebu running"
    query = parse_query("lynx zebu")
    assert_ranking(search_keyword(db, query, 10), list(bm25(left, ["lynx", "zebu"]).items()))


def test_ties_are_in_the_order_of_rows_however_few_are_asked_for(fresh):
    db, model = fresh
    rows = put_texts(db, model, [("", "lynx emu")] * 150 + [("", "lynx lynx")])
    query = parse_query("lynx")
    found = [row for row, _ in search_keyword(db, query, 40)]
    assert found == [rows[-1], *rows[:39]]


def test_a_word_in_most_rows_still_counts_a_little(fresh):
    db, model = fresh
    rows = put_texts(db, model, [("", "lynx emu"), ("", "lynx lynx"), ("", "zebu")])
    [(first, best), (second, less)] = search_keyword(db, parse_query("lynx"), 5)
    assert [first, second] == [rows[1], rows[0]]
    assert 0 < less < best < 1e-5


def test_title_and_headings_are_searched_with_the_text(fresh):
    db, model = fresh
    rows = put_texts(db, model, [("Lynx > Emu", "zebu"), ("", "cat lynx emu dog"), ("", "x")])
    texts = {rows[0]: "Lynx Emu zebu", rows[1]: "cat lynx emu dog", rows[2]: "x"}
    found = search_keyword(db, parse_query("emu"), 5)
    assert_ranking(found, list(bm25(texts, ["emu"]).items()))
    assert found[0][0] == rows[0]  # the shorter one


def test_a_filter_narrows_and_leaves_scores_as_they_are(fresh):
    db, model = fresh
    for number in range(20):
        text = "lynx " * (1 + number % 3) + "emu"
        put(
            db,
            model,
            Document(id=f"d{number}", text=text, metadata={"n": number}),
            path=f"{number}.md",
        )
    query = parse_query("lynx")
    everything = search_keyword(db, query, 50)
    some = search_keyword(db, query, 50, {"n": {"$lt": 5}})
    rows = {row for row, _ in some}
    assert len(rows) == 5
    assert some == [pair for pair in everything if pair[0] in rows]
    assert search_keyword(db, query, 2, {"n": {"$lt": 5}}) == some[:2]
    assert [row for row, _ in search_keyword(db, query, 9, {"path": "1?.md"})] == [
        row for row, _ in everything if row in range(min(rows) + 10, min(rows) + 20)
    ][:9]
    assert search_keyword(db, query, 5, {"n": 99}) == []


def test_a_word_said_twice_counts_twice(fresh):
    db, model = fresh
    rows = put_texts(db, model, [("", "lynx"), ("", "emu"), ("", "zebu")])
    [(_, once)] = search_keyword(db, parse_query("lynx"), 5)
    [(row, twice)] = search_keyword(db, parse_query("lynx Lynx"), 5)
    assert (row, twice) == (rows[0], pytest.approx(2 * once))


# Queries


def test_stop_words_are_left_out_unless_there_is_nothing_else():
    assert parse_query("how do I log in to the VPN?").terms == ("log", "vpn")
    assert parse_query("who is it?").terms == ("who", "is", "it")
    assert parse_query("...!?").terms == ()
    assert parse_query("Log LOG cat").terms == ("log", "log", "cat")
    assert "log" not in STOP_WORDS


def test_a_query_of_stop_words_alone_finds_them(fresh):
    db, model = fresh
    rows = put_texts(db, model, [("", "who is it"), ("", "lynx emu"), ("", "zebu")])
    assert [row for row, _ in search_keyword(db, parse_query("Who is it?"), 5)] == [rows[0]]


SYNTAX = [
    "lynx AND emu",
    "lynx OR emu",
    "lynx NOT emu",
    "NEAR(lynx emu, 2)",
    '"lynx',
    'lynx" OR "emu',
    '""',
    "text:lynx",
    "{context text}: lynx",
    "- context : lynx",
    "^lynx",
    "lynx*",
    "lynx + emu",
    "(lynx",
    "'; DROP TABLE chunks; --lynx",
    "lynx\0emu",
    "%lynx%",
    "chunks_fts",
    "\\",
]


@pytest.mark.parametrize("text", SYNTAX)
def test_fts5_syntax_is_plain_words(fresh, text):
    db, model = fresh
    corpus = ["lynx cat", "emu", "near zebu", "context text", "drop table", "2", "and", "zebu"]
    rows = put_texts(db, model, [("", one) for one in corpus])
    query = parse_query(text)
    expected = bm25(dict(zip(rows, corpus, strict=True)), query.terms)
    assert_ranking(search_keyword(db, query, 20), list(expected.items()))
    if "lynx" in text:
        assert rows[0] in expected
    if "AND" in text:
        assert rows[6] not in expected  # a stop word here, and no operator anyhow


def snippets(db, query, rows):
    return Snippets().of(query, {row: chunk.text for row, chunk in load_chunks(db, rows).items()})


@settings(max_examples=150)
@given(text=st.text())
def test_no_query_is_an_error(store, text):
    db, model = store
    db.execute("BEGIN")
    try:
        rows = put_texts(db, model, [("", "lynx " + text.encode("utf-8", "replace").decode())])
        query = parse_query(text)
        found = search_keyword(db, query, 5)
        assert [row for row, _ in found] in (rows, [])
        if query.terms:
            assert dict(score_keyword(db, query, rows)) == pytest.approx(dict(found))
        for snippet, highlights in snippets(db, query, rows).values():
            assert all(0 <= start <= end <= len(snippet) for start, end in highlights)
    finally:
        db.execute("ROLLBACK")


def test_a_query_of_ten_thousand_words(fresh):
    db, model = fresh
    rows = put_texts(db, model, [("", "lynx emu"), ("", "zebu")])
    query = parse_query("lynx " + " ".join(f"w{n}" for n in range(10_000)))
    assert len(query.terms) == MAX_TERMS
    assert [row for row, _ in search_keyword(db, query, 5)] == [rows[0]]


def test_accents_and_case_do_not_matter(fresh):
    db, model = fresh
    rows = put_texts(db, model, [("", "Ein Résumé in ZÜRICH, re\u0301vise\u0301"), ("", "zebu")])
    for word in ("resume", "RÉSUMÉ", "re\u0301sume\u0301", "zurich", "Zürich", "révisé"):
        assert [row for row, _ in search_keyword(db, parse_query(word), 5)] == [rows[0]], word


def test_other_scripts_are_found(fresh):
    db, model = fresh
    texts = ["שלום עולם", "привет мир", "hello", "データ", "مرحبا بالعالم"]
    rows = put_texts(db, model, [("", text) for text in texts])
    for row, word in zip(rows, ["עולם", "МИР", "hello", "データ", "مرحبا"], strict=True):
        assert [found for found, _ in search_keyword(db, parse_query(word), 5)] == [row], word


# Snippets


def marked(snippet, highlights):
    return [snippet[start:end] for start, end in highlights]


@settings(max_examples=60)
@given(
    words=st.lists(
        st.sampled_from(
            [*PLAIN, *STEMS, "the", "😀", "שלום", "👩‍👩‍👧", "e\u0301mu", "\n", "…", "Lynx,"]
        ),
        min_size=1,
        max_size=90,
    ),
    query=st.lists(st.sampled_from([*PLAIN, "running", "שלום"]), min_size=1, max_size=3),
)
def test_highlights_are_exactly_the_words_of_the_query(store, words, query):
    db, model = store
    text = " ".join(words)
    db.execute("BEGIN")
    try:
        rows = put_texts(db, model, [("lynx", text), ("", "zebu")])
        parsed = parse_query(" ".join(query))
        shown = snippets(db, parsed, rows[:1])
    finally:
        db.execute("ROLLBACK")
    wanted = {stem(word) for word in parsed.terms}
    if not wanted & set(tokens(text)):
        assert shown == {}
        return
    snippet, highlights = shown[rows[0]]
    assert snippet.removeprefix("…").removesuffix("…") in text
    assert list(highlights) == sorted(highlights)
    assert all(
        [stem(part) in wanted for part in tokens(word)] == [True]
        for word in marked(snippet, highlights)
    )
    assert 0 < sum(token in wanted for token in tokens(snippet)) == len(highlights)


def test_stemmed_forms_are_marked_whole(fresh):
    db, model = fresh
    rows = put_texts(db, model, [("", "She runs; running is fun. The run. Prune?")])
    snippet, highlights = snippets(db, parse_query("run"), rows)[rows[0]]
    assert snippet == "She runs; running is fun. The run. Prune?"
    assert marked(snippet, highlights) == ["runs", "running", "run"]


def test_offsets_count_characters_beyond_the_basic_plane(fresh):
    db, model = fresh
    text = "🚀🚀 שלום לכולם 👩‍👩‍👧 Café cats"
    rows = put_texts(db, model, [("", text)])
    snippet, highlights = snippets(db, parse_query("cafe cat לכולם"), rows)[rows[0]]
    assert snippet == text
    assert marked(snippet, highlights) == ["לכולם", "Café", "cats"]


def test_a_long_text_is_shown_around_the_words(fresh):
    db, model = fresh
    filler = " ".join(f"filler{n}" for n in range(300))
    rows = put_texts(db, model, [("", f"{filler} the lynx sleeps {filler}")])
    snippet, highlights = snippets(db, parse_query("lynx"), rows)[rows[0]]
    assert marked(snippet, highlights) == ["lynx"]
    assert snippet.startswith("…")
    assert snippet.endswith("…")
    assert 10 < len(snippet.split()) < 60


def test_a_match_in_the_title_alone_marks_nothing(fresh):
    db, model = fresh
    rows = put_texts(db, model, [("lynx", "emu zebu")])
    assert snippets(db, parse_query("lynx"), rows) == {}


def test_no_word_no_snippet(fresh):
    db, model = fresh
    rows = put_texts(db, model, [("", "emu zebu")])
    assert snippets(db, parse_query("lynx"), rows) == {}
    assert snippets(db, parse_query("?"), rows) == {}
    assert snippets(db, parse_query("emu"), []) == {}


def test_thousands_of_snippets_at_once(fresh):
    db, model = fresh
    rows = put_texts(db, model, [("", "emu")] * 1500)
    assert len(snippets(db, parse_query("emu"), rows)) == 1500
    assert len(score_keyword(db, parse_query("emu"), rows)) == 1500


def test_a_text_may_hold_the_marks_that_are_put_around_words(fresh):
    db, model = fresh
    text = "\ufdd0a lynx\ufdd1 and \ufdd1an emu\ufdd0\ufdd0"
    rows = put_texts(db, model, [("", text)])
    snippet, highlights = snippets(db, parse_query("lynx emu"), rows)[rows[0]]
    assert marked(snippet, highlights) == ["lynx", "emu"]
    assert len(snippet) == len(text)
    assert snippet.replace("\ufffd", "") == "a lynx and an emu"
