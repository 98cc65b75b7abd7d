"""Searching against oracles: exact cosines by NumPy, BM25 and the fusion written out anew."""

from __future__ import annotations

import random

import numpy as np
import pytest

from embedsearch.collection.collection import Collection
from embedsearch.collection.retrieval import DEPTH, MAX_K
from embedsearch.errors import FingerprintError, InputError, NotFoundError
from embedsearch.index.fusion import LEAST_BM25, LEAST_SPAN, SEMANTIC_WEIGHT, fuse
from embedsearch.store.keyword import parse_query
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder
from tests.store.bm25 import PLAIN, STEMS, bm25
from tests.support import CountingEncoder, assert_hits, chunk_rows, cosines, ranked

MODES = ("semantic", "keyword", "hybrid")
QUERIES = ("lynx", "the running cats", "how do I log in?", "zebu connection ox7 emu", "LYNX lynx!")
WORDS = [*PLAIN, *STEMS, "the", "how"]


def sentence(random_: random.Random, length: int) -> str:
    return " ".join(random_.choices(WORDS, k=length)).capitalize() + "."


def make_documents(count: int = 24) -> list[Document]:
    """Documents of one to four chunks, some with a title."""
    random_ = random.Random(5)
    return [
        Document(
            id=f"d{number}",
            title=sentence(random_, 3) if number % 3 else "",
            text="\n\n".join(sentence(random_, 9) for _ in range(random_.choice((1, 3, 9, 20)))),
            metadata={"n": number, "lang": "en" if number % 2 else "de"},
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def encoder():
    return FakeEncoder()


@pytest.fixture(scope="module")
def collection(tmp_path_factory, encoder):
    with Collection.open(tmp_path_factory.mktemp("retrieval") / "c", model=encoder) as opened:
        opened.upsert(make_documents())
        assert 30 < opened.status().chunks < DEPTH  # one look sees all
        yield opened


def expected(collection, encoder, query, mode, *, by="document", allowed=None):
    """((document, start, end), score), best first, of all that a search may find."""
    chunks = chunk_rows(collection)
    kept = [c for c in chunks if allowed is None or c.document_id in allowed]
    rows = {chunk.row for chunk in kept}
    meaning = cosines(encoder, chunks, query)
    background = float(np.mean(list(meaning.values())))
    words = bm25({c.row: f"{c.context} {c.text}" for c in chunks}, parse_query(query).terms)
    meaning = {row: score for row, score in meaning.items() if row in rows}
    words = {row: score for row, score in words.items() if row in rows}
    if mode == "semantic":
        scores = meaning
    elif mode == "keyword":
        scores = words
    else:
        span = max(max(meaning.values()) - background, LEAST_SPAN)
        most = max(max(words.values(), default=0), LEAST_BM25)
        scores = {
            row: SEMANTIC_WEIGHT * (cosine - background) / span
            + (1 - SEMANTIC_WEIGHT) * words.get(row, 0) / most
            for row, cosine in meaning.items()
        }
    return ranked(scores, kept, by=by)


@pytest.mark.parametrize("by", ["document", "chunk"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("query", QUERIES)
def test_search_is_what_the_oracle_finds(collection, encoder, query, mode, by):
    wanted = expected(collection, encoder, query, mode, by=by)
    assert len(wanted) > 10
    for k in (1, 10, 1000, 10):  # the keyword index is in memory from the second search on
        hits = collection.search(query, k, mode=mode, by=by)
        assert_hits(hits, wanted[:k], tolerance=1e-5)


@pytest.mark.parametrize("by", ["document", "chunk"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ({"lang": "en"}, lambda n: n % 2 == 1),
        ({"n": {"$gte": 20}, "lang": "de"}, lambda n: n in (20, 22)),
        ({"id": "d1?"}, lambda n: 10 <= n < 20),
        ({"n": 3}, lambda n: n == 3),
    ],
)
def test_a_filter_narrows_every_mode(collection, encoder, mode, by, where, kept):
    allowed = {f"d{n}" for n in range(24) if kept(n)}
    query = "zebu connection ox7 emu"
    wanted = expected(collection, encoder, query, mode, by=by, allowed=allowed)
    for _ in range(2):
        hits = collection.search(query, 8, mode=mode, where=where, by=by)
        assert_hits(hits, wanted[:8], tolerance=1e-5)
        assert {hit.document_id for hit in hits} <= allowed


@pytest.mark.parametrize("mode", MODES)
def test_a_filter_that_nothing_passes(collection, mode):
    assert collection.search("lynx", mode=mode, where={"lang": "fr"}) == []
    with pytest.raises(InputError, match="is no filter"):
        collection.search("lynx", mode=mode, where={"lang": {"$like": "x"}})


def test_a_hit_tells_all_about_its_chunk(tmp_path, encoder):
    text = "# Lynx\n\n" + "The lynx 🐈 sleeps. " * 30 + "\n\n## Food\n\n" + "It eats deer. " * 40
    path = tmp_path / "docs/lynx.md"
    path.parent.mkdir()
    path.write_text(text)
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        collection.sync([tmp_path / "docs"])
        hits = collection.search("deer eats", by="chunk")
    assert len(hits) > 1
    best = hits[0]
    assert (best.document_id, best.path, best.title) == ("docs/lynx.md", "docs/lynx.md", "Lynx")
    assert best.headings == ("Lynx", "Food")
    assert {best.snippet[start:end] for start, end in best.highlights} == {"deer", "eats"}
    for hit in hits:
        assert text[hit.start : hit.end] == hit.text
        assert hit.snippet


def test_without_words_in_common_the_snippet_is_the_beginning(tmp_path, encoder):
    text = " ".join(f"w{n}" for n in range(60))
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        collection.upsert([Document(id="a", text=text), Document(id="long", text="x" * 500)])
        hits = {hit.document_id: hit for hit in collection.search("nowhere", mode="semantic")}
    assert hits["a"].highlights == ()
    assert hits["a"].snippet in (text, hits["a"].text)
    assert hits["long"].snippet == "x" * 320 + "…"


# Many chunks of one document


@pytest.fixture(scope="module")
def crowded(tmp_path_factory, encoder):
    """One document with more chunks than a search looks at first, all better than the others."""
    with Collection.open(tmp_path_factory.mktemp("crowded") / "c", model=encoder) as opened:
        random_ = random.Random(1)
        lines = [f"{'Lynx ' * (6 + n % 5)}{sentence(random_, 40)}" for n in range(450)]
        opened.upsert([Document(id="big", text="\n\n".join(lines), metadata={"n": -1})])
        opened.upsert(
            Document(id=f"s{n}", text=f"lynx {sentence(random_, 30)}", metadata={"n": n})
            for n in range(15)
        )
        assert opened.status().chunks > 4 * DEPTH
        yield opened


@pytest.mark.parametrize("mode", ["semantic", "keyword"])
def test_other_documents_are_found_behind_a_crowd(crowded, encoder, mode):
    wanted = expected(crowded, encoder, "lynx", mode)
    chunks = expected(crowded, encoder, "lynx", mode, by="chunk")
    assert {key[0] for key, _ in chunks[: 2 * DEPTH]} == {"big"}  # the crowd is one
    for _ in range(2):
        assert_hits(crowded.search("lynx", 10, mode=mode), wanted[:10], tolerance=1e-5)
        assert_hits(crowded.search("lynx", 99, mode=mode), wanted, tolerance=1e-5)
    where = {"n": {"$lt": 5}}
    allowed = {"big", *(f"s{n}" for n in range(5))}
    wanted = expected(crowded, encoder, "lynx", mode, allowed=allowed)
    assert len(wanted) == 6
    assert_hits(crowded.search("lynx", 10, mode=mode, where=where), wanted, tolerance=1e-5)


def test_hybrid_finds_them_too_with_exact_scores(crowded, encoder):
    wanted = dict(expected(crowded, encoder, "lynx emu", "hybrid", by="chunk"))
    hits = crowded.search("lynx emu", 16)
    assert len(hits) == len({hit.document_id for hit in hits}) == 16
    for hit in hits:
        key = (hit.document_id, hit.start, hit.end)
        assert hit.score == pytest.approx(wanted[key], abs=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_chunks_of_one_document_may_fill_a_result(crowded):
    hits = crowded.search("lynx", 300, by="chunk", mode="keyword")
    assert len(hits) == 300
    assert len({(hit.document_id, hit.start) for hit in hits}) == 300


def test_what_is_similar_to_the_crowd_is_not_the_crowd(crowded):
    hits = crowded.similar("big", 10)
    assert len(hits) == 10
    assert all(hit.document_id.startswith("s") for hit in hits)


# Ties, ranks, bounds


@pytest.mark.parametrize("by", ["document", "chunk"])
@pytest.mark.parametrize("mode", MODES)
def test_ties_are_in_the_order_of_arrival(tmp_path, encoder, mode, by):
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        # ids against the order of arrival, more than one look takes
        collection.upsert(Document(id=f"{999 - n}", text="lynx emu") for n in range(250))
        for _ in range(3):
            hits = collection.search("lynx", 30, mode=mode, by=by)
            assert [hit.document_id for hit in hits] == [f"{999 - n}" for n in range(30)]
            assert [hit.rank for hit in hits] == list(range(1, 31))
            assert len({hit.score for hit in hits}) == 1


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_collection_has_no_answer(tmp_path, encoder, mode):
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        assert collection.search("lynx", mode=mode) == []
        collection.upsert([Document(id="a", text="lynx")])
        assert len(collection.search("lynx", mode=mode)) == 1
        collection.delete(["a"])
        assert collection.search("lynx", mode=mode) == []
        assert collection.search_batch(["lynx", "emu"], mode=mode) == [[], []]
        assert collection.search_batch([], mode=mode) == []


def test_a_query_without_words_is_searched_by_meaning(collection, encoder):
    wanted = expected(collection, encoder, "?!", "semantic")
    assert_hits(collection.search("?!", 5), wanted[:5])
    assert collection.search("?!", 5, mode="keyword") == []


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        (None, "must be a string, not None"),
        (5, "must be a string, not 5"),
        (b"lynx", "must be a string, not b'lynx'"),
        ("\ud800", "lone surrogate"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_what_is_no_query(collection, query, told, mode):
    with pytest.raises(InputError, match=f"the query {told}|the query has a {told}"):
        collection.search(query, mode=mode)


@pytest.mark.parametrize("k", [0, -1, MAX_K + 1, 2.5, "3", None, True, np.int64(3)])
def test_what_is_no_k(collection, k):
    with pytest.raises(InputError, match="k must be"):
        collection.search("lynx", k)
    with pytest.raises(InputError, match="k must be"):
        collection.similar("d1", k)


def test_the_largest_k(collection):
    assert len(collection.search("lynx", MAX_K)) == 24


@pytest.mark.parametrize("where", [0, "", False, 5, "lang=en"])
@pytest.mark.parametrize("mode", MODES)
def test_what_is_no_filter(collection, tmp_path, encoder, mode, where):
    with pytest.raises(InputError, match="where must be a mapping"):
        collection.search("lynx", mode=mode, where=where)
    with pytest.raises(InputError, match="where must be a mapping"):
        collection.similar("d1", where=where)
    with (
        Collection.open(tmp_path / "c", model=encoder) as empty,
        pytest.raises(InputError, match="where must be a mapping"),
    ):
        empty.search("lynx", mode=mode, where=where)


@pytest.mark.parametrize("where", [None, {}, [], ()])
@pytest.mark.parametrize("mode", MODES)
def test_an_empty_filter_is_none(collection, mode, where):
    assert collection.search("lynx", mode=mode, where=where) == collection.search("lynx", mode=mode)


def test_what_is_no_mode(collection):
    with pytest.raises(InputError, match="mode must be hybrid, semantic or keyword, not 'both'"):
        collection.search("lynx", mode="both")
    with pytest.raises(InputError, match="by must be document or chunk, not 'page'"):
        collection.search("lynx", by="page")


@pytest.mark.parametrize("mode", MODES)
def test_many_queries_at_once_are_as_one_by_one(collection, mode):
    found = collection.search_batch(QUERIES, 7, mode=mode)
    for query, hits in zip(QUERIES, found, strict=True):
        alone = collection.search(query, 7, mode=mode)
        assert [hit.document_id for hit in hits] == [hit.document_id for hit in alone]
        np.testing.assert_allclose([h.score for h in hits], [h.score for h in alone], atol=1e-6)


# What is put in, changed and taken out is seen at once


@pytest.mark.parametrize("mode", MODES)
def test_a_search_sees_what_is_there_now(tmp_path, encoder, mode):
    """With the index file, rows newer than it and deleted rows of both."""
    documents = make_documents(18)
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        steps = [
            lambda: collection.upsert(documents[:12]),
            lambda: collection.upsert(documents[10:]),
            lambda: collection.delete(["d1", "d11", "d17"]),
            lambda: collection.upsert([Document(id="d2", text="lynx zebu running")]),
            lambda: collection.vacuum(),
            lambda: collection.delete(["d3", "d4"]),
            lambda: collection.vacuum(),
            lambda: collection.upsert([Document(id="d3", text="cats and emu"), documents[1]]),
            lambda: collection.reindex(),
            lambda: collection.delete(["d5"]),
        ]
        for step in steps:
            step()
            for query in ("lynx", "zebu connection ox7 emu"):
                wanted = expected(collection, encoder, query, mode, by="chunk")
                for _ in range(3):
                    hits = collection.search(query, 100, mode=mode, by="chunk")
                    assert_hits(hits, wanted, tolerance=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_a_reader_sees_what_another_writes(tmp_path, encoder, mode):
    documents = make_documents(12)
    with Collection.open(tmp_path / "c", model=encoder) as writer:
        writer.upsert(documents[:8])
        with Collection.open(tmp_path / "c", model=encoder, read_only=True) as reader:
            steps = [
                lambda: writer.upsert(documents[8:]),
                lambda: writer.delete(["d0", "d9"]),
                lambda: writer.vacuum(),
                lambda: (writer.delete(["d2"]), writer.vacuum()),
                lambda: writer.reindex(),
            ]
            for step in [lambda: None, *steps]:
                step()
                wanted = expected(writer, encoder, "lynx emu", mode, by="chunk")
                for _ in range(3):
                    hits = reader.search("lynx emu", 100, mode=mode, by="chunk")
                    assert_hits(hits, wanted, tolerance=1e-5)


# Similar documents


def expected_similar(collection, encoder, document_id, allowed=None):
    chunks = chunk_rows(collection)
    own = encoder.encode_query([c.input for c in chunks if c.document_id == document_id])
    mean = own.mean(axis=0)
    others = [c for c in chunks if c.document_id != document_id]
    others = [c for c in others if allowed is None or c.document_id in allowed]
    scores = encoder.encode_query([c.input for c in others]) @ (mean / np.linalg.norm(mean))
    rows = [c.row for c in others]
    return ranked(dict(zip(rows, map(float, scores), strict=True)), others)


@pytest.mark.parametrize("document_id", ["d0", "d5", "d17"])
def test_similar_is_nearest_to_the_mean_of_its_chunks(collection, encoder, document_id):
    wanted = expected_similar(collection, encoder, document_id)
    for k in (1, 10, 1000):
        hits = collection.similar(document_id, k)
        assert_hits(hits, wanted[:k])
        assert document_id not in {hit.document_id for hit in hits}
    allowed = {f"d{n}" for n in range(24) if n % 2}
    wanted = expected_similar(collection, encoder, document_id, allowed)
    assert_hits(collection.similar(document_id, 5, where={"lang": "en"}), wanted[:5])


def test_similar_needs_no_model(tmp_path):
    encoder = CountingEncoder()
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        collection.upsert(make_documents(4))
    with Collection.open(tmp_path / "c") as collection:  # whose name no folder or hub has
        assert len(collection.similar("d1")) == 3
        assert len(collection.search("lynx", mode="keyword")) > 0


def test_similar_to_what_is_not_there(collection, tmp_path, encoder):
    for id_ in ("nowhere", "", "d", "\ud800"):
        with pytest.raises(NotFoundError, match="there is no document"):
            collection.similar(id_)
    with (
        Collection.open(tmp_path / "c", model=encoder) as empty,
        pytest.raises(NotFoundError, match="there is no document 'd0'"),
    ):
        empty.similar("d0")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("./docs/login.md", "docs/login.md"),
        ("/home/me/docs/login.md", "docs/login.md"),
        ("login.md", "old/login.md"),
        ("docs/logni.md", "docs/login.md"),
        ("100%_", None),
        ("/", None),
    ],
)
def test_a_document_that_may_have_been_meant_is_named(tmp_path, encoder, typed, meant):
    names = ["docs/login.md", "old/login.md", "docs/100%.md", "other"]
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        collection.upsert(Document(id=name, text=f"lynx {name}") for name in names)
        with pytest.raises(NotFoundError, match="there is no document") as caught:
            collection.similar(typed)
    asked = f"; is {meant!r} meant?" if meant else str(tmp_path / "c")
    assert str(caught.value).endswith(asked)


def test_alone_in_the_collection(tmp_path, encoder):
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        collection.upsert([Document(id="a", text="lynx")])
        assert collection.similar("a") == []


# Models


def test_a_query_of_another_model_is_refused(tmp_path):
    with Collection.open(tmp_path / "c", model=FakeEncoder(seed=1)) as collection:
        collection.upsert([Document(id="a", text="lynx")])
        other = Collection.open(tmp_path / "c", model=FakeEncoder(seed=1))
        collection.reindex(model=FakeEncoder(seed=2))
        with pytest.raises(FingerprintError) as caught:
            other.search("lynx")
        for fingerprint in (FakeEncoder(seed=1).fingerprint, FakeEncoder(seed=2).fingerprint):
            assert fingerprint[:16] in str(caught.value)
        assert "reindex --model" in str(caught.value)
        assert len(other.search("lynx", mode="keyword")) == 1  # words need no model
        other.close()


# The fusion alone


def test_fusion_by_hand():
    meaning = {1: 0.9, 2: 0.5, 3: 0.3, 4: 0.1}
    words = {2: 8.0, 5: 4.0}
    w = SEMANTIC_WEIGHT
    fused = fuse(meaning, words, background=0.3)
    assert fused == pytest.approx(
        {1: w, 2: w / 3 + (1 - w), 5: (1 - w) / 2, 3: 0.0, 4: -w / 3}, abs=1e-12
    )
    assert list(fused) == sorted(fused, key=lambda row: (-fused[row], row))


def test_fusion_without_anything_to_tell_apart():
    assert fuse({}, {}, background=0.2) == {}
    # All below the background, as a filter may leave them: their order is kept all the same.
    assert list(fuse({1: 0.1, 2: 0.2}, {}, background=0.5)) == [2, 1]
    # Differences of next to nothing are not blown up to the whole scale.
    tiny = fuse({1: 0.501, 2: 0.5}, {1: 1e-6}, background=0.5)
    assert tiny[1] == pytest.approx(
        SEMANTIC_WEIGHT * 0.001 / LEAST_SPAN + (1 - SEMANTIC_WEIGHT) * 1e-6 / LEAST_BM25
    )
    assert fuse({}, {7: 2.0}, background=0.5) == {7: 1 - SEMANTIC_WEIGHT}
    assert list(fuse({3: 0.5, 1: 0.5}, {}, background=0.0)) == [1, 3]
