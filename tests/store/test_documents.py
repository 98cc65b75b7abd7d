"""Documents, chunks and vectors: put, shared, taken out, and what stays behind."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsearch.store.documents import (
    SQL_VARIABLES,
    batched,
    count,
    delete_documents,
    document_hash,
    documents_of_chunks,
    documents_of_source,
    get_document,
    insert_chunks,
    is_empty,
    iter_documents,
    load_chunks,
    move_document,
    put_document,
    stored_hash,
)
from embedsearch.store.keyword import parse_query, search_keyword
from embedsearch.store.settings import register_model
from embedsearch.store.sources import source_id
from embedsearch.store.vectors import (
    content_hash,
    document_vectors,
    drop_unused_vectors,
    find_vectors,
    put_vectors,
    read_embeddings,
    vectors_by_hash,
)
from embedsearch.types import Chunk, Document
from tests.store.rows import DIM, chunk_rows, make_database, make_model, put, vector_of


@pytest.fixture
def db(tmp_path):
    database = make_database(tmp_path / "c")
    yield database
    database.close()


@pytest.fixture
def model(db):
    return make_model(db)


def rows_of(db, sql, *parameters):
    return db.execute(sql, list(parameters)).fetchall()


FULL = Document(
    id="ä/1",
    title="Tïtle",
    text="one two\r\nthree 🚀",
    metadata={"n": 1, "deep": {"list": [1, None, "ü", 2.5, True]}},
    format="markdown",
)


def test_a_document_comes_back_as_it_was(db, model):
    put(db, model, FULL, path="docs/a.md", pieces=["one two", "three 🚀"])
    stored = get_document(db, FULL.id)
    assert stored is not None
    assert stored.document == FULL
    assert stored.path == "docs/a.md"
    assert get_document(db, "other") is None


def test_chunks_come_back_with_what_a_result_needs(db, model):
    document = Document(id="a", title="T", text="one two", metadata={"k": "v"})
    [vector] = put_vectors(db, model.id, [b"x"], vector_of("two")).values()
    chunk = Chunk(start=4, end=7, text="two", headings=("H", "Ü"))
    source = source_id(db, "f.md")
    digest = document_hash(document)
    cuts = [(chunk, "T > H > Ü", vector)]
    put_document(db, document, digest=digest, source=source, chunks=cuts)
    [row] = chunk_rows(db, "a")
    found = load_chunks(db, [row, row + 7])
    assert list(found) == [row]
    stored = found[row]
    assert (stored.document_id, stored.title, stored.metadata) == ("a", "T", {"k": "v"})
    assert (stored.path, stored.headings, stored.context) == ("f.md", ("H", "Ü"), "T > H > Ü")
    assert (stored.text, stored.start, stored.end, stored.row) == ("two", 4, 7, row)


def test_the_hash_covers_everything_but_the_id():
    base = document_hash(FULL)
    changes = [
        {"title": "t"},
        {"text": "one two\nthree 🚀"},
        {"format": "text"},
        {"metadata": {**FULL.metadata, "n": 2}},
        {"metadata": {**FULL.metadata, "n": True}},
        {"metadata": {**FULL.metadata, "n": "1"}},
    ]
    values = {"title": FULL.title, "text": FULL.text, "format": FULL.format}
    values["metadata"] = FULL.metadata
    hashes = {document_hash(Document(id=FULL.id, **(values | change))) for change in changes}
    assert len(hashes | {base}) == 1 + len(changes)
    assert document_hash(Document(id="other", **values)) == base
    turned = dict(reversed(FULL.metadata.items()))
    assert document_hash(Document(id="x", **(values | {"metadata": turned}))) == base


def test_parts_do_not_run_into_one_another():
    one = Document(id="a", title="x", text="yz")
    two = Document(id="a", title="xy", text="z")
    assert document_hash(one) != document_hash(two)


def test_putting_again_replaces_text_chunks_and_source(db, model):
    old = put(db, model, Document(id="a", text="lynx emu"), path="a.md", pieces=["lynx", "emu"])
    new = put(db, model, Document(id="a", text="zebu"))
    assert min(new) > max(old)  # rows are never used twice
    assert count(db, "documents") == 1
    stored = get_document(db, "a")
    assert stored is not None
    assert (stored.document.text, stored.path) == ("zebu", None)
    assert search_keyword(db, parse_query("lynx emu"), 5) == []
    assert [row for row, _ in search_keyword(db, parse_query("zebu"), 5)] == new
    assert rows_of(db, "SELECT chunk FROM deletions ORDER BY id") == [(row,) for row in old]


def test_putting_again_drops_what_a_reindex_had_staged(db, model):
    put(db, model, Document(id="a", text="lynx"))
    [[row, vector]] = rows_of(db, "SELECT document, vector FROM chunks")
    insert_chunks(db, "staged_chunks", row, [(Chunk(start=0, end=4, text="lynx"), "", vector)])
    put(db, model, Document(id="a", text="emu"))
    assert count(db, "staged_chunks") == 0


def test_deleting_takes_chunks_keywords_and_staged_rows_along(db, model):
    gone = put(db, model, Document(id="a", text="lynx emu"), pieces=["lynx", "emu"])
    stays = put(db, model, Document(id="b", text="lynx"))
    [[row, vector]] = rows_of(db, "SELECT id, 1 FROM documents WHERE document_id = 'a'")
    insert_chunks(db, "staged_chunks", row, [(Chunk(start=0, end=4, text="lynx"), "", vector)])
    assert delete_documents(db, ["a", "nowhere", "a"]) == 1
    assert get_document(db, "a") is None
    assert documents_of_chunks(db, gone + stays).keys() == set(stays)
    assert [row for row, _ in search_keyword(db, parse_query("lynx emu"), 5)] == stays
    assert count(db, "staged_chunks") == 0
    assert rows_of(db, "SELECT chunk FROM deletions ORDER BY id") == [(row,) for row in gone]


def test_rows_of_chunks_are_never_used_again(db, model):
    first = put(db, model, Document(id="a", text="lynx"))
    delete_documents(db, ["a"])
    second = put(db, model, Document(id="a", text="lynx"))
    assert second[0] > first[0]


def test_documents_know_their_source(db, model):
    put(db, model, Document(id="b", text="x"), path="f.jsonl")
    put(db, model, Document(id="a", text="x"), path="f.jsonl")
    put(db, model, Document(id="c", text="x"))
    one, other = source_id(db, "f.jsonl"), source_id(db, "g.jsonl")
    assert documents_of_source(db, one) == ["b", "a"]
    move_document(db, "b", other)
    assert (documents_of_source(db, one), documents_of_source(db, other)) == (["a"], ["b"])
    assert stored_hash(db, "b") == (document_hash(Document(id="b", text="x")), other)
    move_document(db, "b", None)
    assert stored_hash(db, "b")[1] is None
    assert stored_hash(db, "nowhere") is None


def test_documents_are_iterated_in_the_order_they_came(db, model):
    for id_ in "cab":
        put(db, model, Document(id=id_, text=f"text {id_}"))
    put(db, model, Document(id="a", text="changed"))  # keeps its place
    found = list(iter_documents(db))
    assert [stored.document.id for stored in found] == ["c", "a", "b"]
    assert [s.document.id for s in iter_documents(db, after=found[0].row)] == ["a", "b"]


def test_counting(db, model):
    assert is_empty(db)
    put(db, model, Document(id="a", text="one two"), pieces=["one", "two"])
    assert not is_empty(db)
    assert (count(db, "documents"), count(db, "chunks")) == (1, 2)


@pytest.mark.parametrize("n", [0, 1, SQL_VARIABLES, SQL_VARIABLES + 1, 2 * SQL_VARIABLES + 3])
def test_more_rows_than_a_statement_takes(n):
    parts = list(batched(np.arange(n)))
    assert [row for part in parts for row in part] == list(range(n))
    assert all(0 < len(part) <= SQL_VARIABLES for part in parts)
    assert all(type(row) is int for part in parts for row in part)  # SQLite takes no NumPy numbers


def test_lookups_of_many_rows(db, model):
    rows = []
    for number in range(3):
        pieces = [f"{number}.{n}" for n in range(400)]
        rows += put(db, model, Document(id=f"d{number}", text=" ".join(pieces)), pieces=pieces)
    assert set(load_chunks(db, rows)) == set(rows)
    found = documents_of_chunks(db, rows)
    assert list(found) == rows
    assert len(set(found.values())) == 3


# Vectors


def test_equal_content_shares_one_vector(db, model):
    put(db, model, Document(id="a", text="same other"), pieces=["same", "other"])
    put(db, model, Document(id="b", text="same"))
    assert count(db, "chunks") == 3
    assert count(db, "vectors") == 2


def test_a_vector_belongs_to_a_model_and_a_hash(db, model):
    other = register_model(db, name="other", fingerprint="other print", dim=DIM)
    digest = content_hash("text")
    [row] = put_vectors(db, model.id, [digest], vector_of("text")).values()
    assert find_vectors(db, model.id, [digest, content_hash("no")]) == {digest: row}
    assert find_vectors(db, other.id, [digest]) == {}
    [second] = put_vectors(db, other.id, [digest], vector_of("x")).values()
    assert second != row
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        put_vectors(db, model.id, [digest], vector_of("text"))


def test_vectors_are_little_endian_floats_bit_for_bit(db, model):
    vectors = np.array([[1, -2.5, 3e-40, 4]], dtype=">f4")  # any byte order goes in
    put_vectors(db, model.id, [b"h"], vectors)
    [[blob]] = rows_of(db, "SELECT vector FROM vectors")
    assert blob == np.array([1, -2.5, 3e-40, 4], dtype="<f4").tobytes()


def test_a_vector_goes_with_its_last_chunk(db, model):
    put(db, model, Document(id="a", text="same other"), pieces=["same", "other"])
    put(db, model, Document(id="b", text="same"))
    assert drop_unused_vectors(db) == 0
    delete_documents(db, ["a"])
    assert drop_unused_vectors(db) == 1
    assert find_vectors(db, model.id, [content_hash("same"), content_hash("other")]).keys() == {
        content_hash("same")
    }
    delete_documents(db, ["b"])
    assert drop_unused_vectors(db) == 1
    assert count(db, "vectors") == 0


def test_vectors_are_read_by_the_hash_of_their_content(db, model):
    hashes = [content_hash(f"text {i}") for i in range(600)]
    vectors = np.random.default_rng(0).random((600, 4), dtype=np.float32)
    put_vectors(db, model.id, hashes, vectors)
    found = vectors_by_hash(db, model.id, 4, [*hashes[::-1], content_hash("none")])
    assert found.keys() == set(hashes)
    np.testing.assert_array_equal([found[digest] for digest in hashes], vectors)
    assert vectors_by_hash(db, model.id, 5, hashes) == {}  # damaged: not as long as the model's


def test_a_vector_of_a_staged_chunk_stays(db, model):
    put(db, model, Document(id="a", text="lynx"))
    staged = put_vectors(db, model.id, [content_hash("emu")], vector_of("emu"))
    chunk = Chunk(start=0, end=4, text="lynx")
    insert_chunks(db, "staged_chunks", 1, [(chunk, "", staged[content_hash("emu")])])
    assert drop_unused_vectors(db) == 0


def test_a_chunk_cannot_name_a_vector_that_is_not_there(db, model):
    document = Document(id="a", text="lynx")
    chunk = (Chunk(start=0, end=4, text="lynx"), "", 4711)
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        put_document(db, document, digest=b"", source=None, chunks=[chunk])


def test_a_vector_that_is_used_cannot_go(db, model):
    put(db, model, Document(id="a", text="lynx"))
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        db.execute("DELETE FROM vectors")


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 5), max_size=5),
    above=st.integers(0, 12),
    up_to=st.integers(0, 14),
)
def test_embeddings_are_read_in_order_within_bounds(tmp_path_factory, sizes, above, up_to):
    db = make_database(tmp_path_factory.mktemp("embeddings"))
    try:
        model, texts = make_model(db), {}
        for number, size in enumerate(sizes):
            pieces = [f"{number}-{n % 3}" for n in range(size)]  # some share a vector
            document = Document(id=str(number), text=" ".join(pieces))
            texts |= dict(zip(put(db, model, document, pieces=pieces), pieces, strict=True))
        wanted = [row for row in texts if above < row <= up_to]
        batches = list(read_embeddings(db, DIM, above=above, up_to=up_to))
        assert [int(row) for ids, _ in batches for row in ids] == wanted
        for ids, vectors in batches:
            assert (ids.dtype, vectors.dtype) == (np.int64, np.float32)
            assert vectors.flags.c_contiguous
            expected = np.concatenate([vector_of(texts[int(row)]) for row in ids])
            np.testing.assert_array_equal(vectors, expected)
        everything = [int(row) for ids, _ in read_embeddings(db, DIM) for row in ids]
        assert everything == list(texts)
    finally:
        db.close()


def test_embeddings_come_in_bounded_batches(db, model, monkeypatch):
    monkeypatch.setattr("embedsearch.store.vectors.READ_BATCH", 3)
    pieces = [f"p{n}" for n in range(7)]
    rows = put(db, model, Document(id="a", text=" ".join(pieces)), pieces=pieces)
    batches = [ids.tolist() for ids, _ in read_embeddings(db, DIM)]
    assert batches == [rows[:3], rows[3:6], rows[6:]]


def test_vectors_of_one_document(db, model):
    put(db, model, Document(id="x", text="other"))
    put(db, model, Document(id="a", text="one two"), pieces=["one", "two"])
    stored = get_document(db, "a")
    assert stored is not None
    expected = np.concatenate([vector_of("one"), vector_of("two")])
    np.testing.assert_array_equal(document_vectors(db, stored.row, DIM), expected)
    assert document_vectors(db, 4711, DIM).shape == (0, DIM)
