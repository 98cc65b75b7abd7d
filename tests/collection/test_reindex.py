"""Reindexing: built beside the old, switched to at once, gone on with after an interruption."""

from __future__ import annotations

import numpy as np
import pytest

from embedsearch.collection.collection import Collection
from embedsearch.collection.ingest import PENDING_CHUNKS
from embedsearch.collection.models import model_name
from embedsearch.errors import FingerprintError
from embedsearch.store.database import open_database
from embedsearch.store.documents import count
from embedsearch.store.settings import get_setting
from embedsearch.store.vectors import read_embeddings
from embedsearch.text.chunking import ChunkingConfig
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder
from tests.support import (
    CountingEncoder,
    assert_hits,
    chunk_rows,
    cosines,
    counts,
    ranked,
    texts_of,
)

SMALL = ChunkingConfig(max_tokens=16, overlap_tokens=0)


def documents(n: int, words: int = 30) -> list[Document]:
    return [
        Document(
            id=f"d{i}",
            title=f"T{i % 5}",
            text=" ".join([*(f"w{(i * j) % 97}" for j in range(words)), f"number {i}"]),
        )
        for i in range(n)
    ]


@pytest.fixture
def collection(tmp_path):
    with Collection.open(tmp_path / "c", model=CountingEncoder(seed=1)) as opened:
        opened.upsert(documents(30))
        yield opened


def rows(collection, table):
    db = open_database(collection.folder, read_only=True)
    try:
        return count(db, table)
    finally:
        db.close()


def vectors_of(collection, dim):
    db = open_database(collection.folder, read_only=True)
    try:
        batches = list(read_embeddings(db, dim))
    finally:
        db.close()
    return {
        int(row): vector for ids, block in batches for row, vector in zip(ids, block, strict=True)
    }


def assert_whole(collection, encoder, *, newly_built=True):
    """All chunks have the vectors of this encoder, and a search finds by them."""
    chunks = chunk_rows(collection)
    held = vectors_of(collection, encoder.dim)
    expected = FakeEncoder.encode_query(encoder, [chunk.input for chunk in chunks])
    assert list(held) == [chunk.row for chunk in chunks]
    np.testing.assert_array_equal(np.stack(list(held.values())), expected)
    assert {chunk.document_id for chunk in chunks} == set(texts_of(collection))
    status = collection.status()
    assert (status.model, status.fingerprint) == (encoder.name, encoder.fingerprint)
    assert status.index.vectors == len(chunks) or not newly_built
    wanted = ranked(cosines(encoder, chunks, "w3 w14"), chunks)
    hits = collection.search("w3 w14", 10, mode="semantic")
    assert_hits(hits, wanted[:10])


@pytest.mark.parametrize("dim", [32, 16, 48])
def test_another_model_takes_over(collection, dim):
    before, texts = chunk_rows(collection), texts_of(collection)
    encoder = CountingEncoder(dim=dim, seed=2)
    report = collection.reindex(model=encoder)
    assert counts(report) == {"changed": 30}
    assert report.chunks == report.embedded == len(encoder.documents) == len(before)
    assert_whole(collection, encoder)
    assert texts_of(collection) == texts
    assert min(chunk.row for chunk in chunk_rows(collection)) > max(chunk.row for chunk in before)
    assert [(c.key, c.text) for c in chunk_rows(collection)] == [(c.key, c.text) for c in before]
    assert rows(collection, "staged_chunks") == 0
    assert rows(collection, "vectors") == len({chunk.input for chunk in before})


def test_the_new_model_serves_from_then_on(collection, tmp_path):
    encoder = CountingEncoder(seed=2)
    collection.reindex(model=encoder)
    assert collection.upsert([Document(id="new", text="w1 w2")]).embedded == 1
    assert len(encoder.documents) == 31
    with Collection.open(tmp_path / "c", model=FakeEncoder(seed=2)) as again:
        assert len(again.search("w1")) == 10
    with pytest.raises(FingerprintError):
        Collection.open(tmp_path / "c", model=FakeEncoder(seed=1))


def test_the_same_model_embeds_nothing_again(collection):
    report = collection.reindex()
    assert (counts(report), report.chunks, report.embedded) == ({"changed": 30}, 30, 0)
    assert_whole(collection, CountingEncoder(seed=1))


def test_another_way_of_cutting(collection, tmp_path):
    report = collection.reindex(chunking=SMALL)
    assert report.chunks > 60
    assert_whole(collection, CountingEncoder(seed=1))
    collection.upsert([Document(id="new", text=" ".join(f"n{i}" for i in range(30)))])
    assert len([c for c in chunk_rows(collection) if c.document_id == "new"]) > 2
    with Collection.open(tmp_path / "c", model=FakeEncoder(seed=1), chunking=SMALL) as again:
        assert len(again) == 31
    collection.reindex(chunking=ChunkingConfig())
    assert len([c for c in chunk_rows(collection) if c.document_id == "new"]) == 1


def test_a_new_model_keeps_the_way_of_cutting(collection):
    collection.reindex(chunking=SMALL)
    chunks = len(chunk_rows(collection))
    collection.reindex(model=FakeEncoder(seed=3))
    assert len(chunk_rows(collection)) == chunks


def test_an_empty_collection_gets_the_model(tmp_path):
    with Collection.open(tmp_path / "c", model=FakeEncoder(seed=1)) as collection:
        report = collection.reindex(model=FakeEncoder(seed=2))
        assert counts(report) == {}
        assert collection.status().model == "fake-32-2"
        assert collection.search("w1") == []
    with Collection.open(tmp_path / "c", model=FakeEncoder(seed=2)) as collection:
        collection.upsert(documents(2))


def test_the_old_goes_on_being_searched_meanwhile(collection, tmp_path):
    with Collection.open(tmp_path / "c", model=FakeEncoder(seed=1)) as reader:
        before = reader.search("w3 w14", 10)
        seen = []

        class Watched(CountingEncoder):
            def encode_document(self, texts):
                seen.append(reader.search("w3 w14", 10))
                return super().encode_document(texts)

        collection.reindex(model=Watched(seed=2), chunking=SMALL)
        assert seen
        assert all(hits == before for hits in seen)
        with pytest.raises(FingerprintError, match="reindex --model"):
            reader.search("w3 w14")


class Stopping(CountingEncoder):
    """Fails once it has embedded `PENDING_CHUNKS`."""

    def encode_document(self, texts):
        if self.documents:
            raise ZeroDivisionError
        return super().encode_document(texts)


@pytest.fixture
def interrupted(tmp_path):
    """A collection of which a reindex to seed 2 got half-way."""
    with Collection.open(tmp_path / "c", model=CountingEncoder(seed=1)) as opened:
        opened.upsert(documents(PENDING_CHUNKS + 200))
        before = opened.search("w3 w14", 10)
        with pytest.raises(ZeroDivisionError):
            opened.reindex(model=Stopping(seed=2))
        assert opened.search("w3 w14", 10) == before
        assert rows(opened, "staged_chunks") == PENDING_CHUNKS
        yield opened


def test_an_interrupted_reindex_goes_on_where_it_stopped(interrupted):
    encoder = CountingEncoder(seed=2)
    report = interrupted.reindex(model=encoder)
    assert counts(report) == {"changed": PENDING_CHUNKS + 200}
    assert len(encoder.documents) == 200
    assert_whole(interrupted, encoder)
    assert rows(interrupted, "staged_chunks") == 0


def test_what_changed_in_between_is_done_again(interrupted):
    interrupted.upsert([Document(id="d0", text="w3 w14 changed"), Document(id="new", text="w3")])
    interrupted.delete(["d1", f"d{PENDING_CHUNKS + 1}"])
    interrupted.vacuum()
    encoder = CountingEncoder(seed=2)
    interrupted.reindex(model=encoder)
    assert_whole(interrupted, encoder)
    assert len(encoder.documents) == 200 - 1 + 2
    assert texts_of(interrupted)["d0"] == "w3 w14 changed"


def test_another_goal_starts_anew(interrupted):
    encoder = CountingEncoder(seed=3)
    interrupted.reindex(model=encoder)
    assert len(encoder.documents) == PENDING_CHUNKS + 200
    assert_whole(interrupted, encoder)
    assert rows(interrupted, "staged_chunks") == 0


def test_another_way_of_cutting_is_another_goal(interrupted):
    encoder = CountingEncoder(seed=2)
    interrupted.reindex(model=encoder, chunking=SMALL)
    assert_whole(interrupted, encoder)
    db = open_database(interrupted.folder, read_only=True)
    assert get_setting(db, "chunking")["max_tokens"] == 16
    assert get_setting(db, "reindex") is None
    db.close()


def test_an_interrupted_reindex_disturbs_nothing(interrupted):
    assert counts(interrupted.upsert(documents(5))) == {"unchanged": 5}
    assert interrupted.delete(["d3"]) == 1
    assert_whole(interrupted, CountingEncoder(seed=1), newly_built=False)


def test_damaged_vectors_are_made_anew(collection):
    db = open_database(collection.folder, read_only=False)
    db.execute("UPDATE vectors SET vector = zeroblob(12) WHERE id = 3")
    long = np.full(32, 5.0, dtype="<f4").tobytes()
    db.execute("UPDATE vectors SET vector = ? WHERE id = 4", [long])
    nothing = np.full(32, np.nan, dtype="<f4").tobytes()
    db.execute("UPDATE vectors SET vector = ? WHERE id = 5", [nothing])
    db.close()
    assert collection.reindex().embedded == 3
    assert_whole(collection, CountingEncoder(seed=1))


def test_a_model_folder_is_called_by_its_whole_path(tmp_path, monkeypatch, collection):
    (tmp_path / "models/mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "models")
    encoder = CountingEncoder(seed=2)
    encoder.name = "mine"
    collection.reindex(model=encoder)
    assert collection.status().model == str(tmp_path / "models/mine")


def test_the_bundled_model_is_never_taken_for_a_folder(tmp_path, monkeypatch):
    (tmp_path / "all-MiniLM-L6-v2").mkdir()
    monkeypatch.chdir(tmp_path)
    assert model_name("all-MiniLM-L6-v2") == "all-MiniLM-L6-v2"
    assert model_name("./all-MiniLM-L6-v2") == str(tmp_path / "all-MiniLM-L6-v2")
