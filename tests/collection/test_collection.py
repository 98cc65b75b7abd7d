"""Opening, looking things up, writing documents by hand, sharing one instance."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pytest

import embedsearch as es
import embedsearch.index
from embedsearch.collection.collection import Collection
from embedsearch.collection.ingest import PENDING_CHUNKS
from embedsearch.errors import (
    CorruptStoreError,
    FingerprintError,
    InputError,
    LockedError,
    NotFoundError,
    StorageError,
    StoreError,
)
from embedsearch.store.database import DATABASE_NAME
from embedsearch.text.chunking import ChunkingConfig
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder
from tests.support import (
    CountingEncoder,
    Untouchable,
    chunk_rows,
    counts,
    database_bytes,
    texts_of,
    write,
)


@pytest.fixture
def encoder():
    return CountingEncoder()


@pytest.fixture
def collection(tmp_path, encoder):
    with Collection.open(tmp_path / "c", model=encoder) as opened:
        yield opened


def doc(id_: str, text: str = "lynx", **fields) -> Document:
    return Document(id=id_, text=text, **fields)


# Opening


def test_open_makes_a_folder_and_closing_twice_is_fine(tmp_path, encoder):
    collection = es.open(tmp_path / "deep/notes.es", model=encoder)
    assert isinstance(collection, es.Collection)
    assert collection.folder == tmp_path / "deep/notes.es"
    assert (collection.folder / DATABASE_NAME).is_file()
    collection.close()
    collection.close()


def test_a_closed_collection_neither_reads_nor_writes(tmp_path, encoder):
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        collection.upsert([doc("a")])
    for use in (
        lambda: len(collection),
        lambda: collection.search("lynx"),
        lambda: collection.upsert([doc("b")]),
        lambda: collection.delete(["a"]),
        lambda: collection.sync([write(tmp_path / "b.txt", "emu")]),
        collection.vacuum,
    ):
        with pytest.raises(StoreError, match=r"is closed; open it again$"):
            use()
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        assert [document.id for document in collection] == ["a"]


def test_what_was_put_in_is_there_when_it_is_opened_again(tmp_path, encoder):
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        collection.upsert([doc("a", "lynx", metadata={"k": [1, "ü"]}, title="T")])
        before = collection.search("lynx")
    with Collection.open(str(tmp_path / "c"), model=encoder) as collection:
        assert collection.get("a") == doc("a", "lynx", metadata={"k": [1, "ü"]}, title="T")
        assert collection.search("lynx") == before


def test_an_unknown_engine_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="unknown engine 'foo': use auto, numpy"):
        Collection.open(tmp_path / "c", engine="foo")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_path(tmp_path):
    for path in (f"{tmp_path}/a\0b", tmp_path / "a\0b"):
        for options in ({}, {"create": False}, {"read_only": True}):
            with pytest.raises(InputError, match=r"a\\x00b' has a null character"):
                Collection.open(path, **options)


@pytest.mark.parametrize("path", [None, 3, b"x.es", ["x.es"], "\ud800x", "~nobody of that name/x"])
def test_what_names_no_folder(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="path"):
        Collection.open(path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_too_long_is_an_error_of_ours(tmp_path):
    with pytest.raises(InputError, match="too long for a path"):
        Collection.open(tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"model": 3}, "a model is a name, a folder or an Encoder, not 3"),
        ({"model": " "}, "model's name is empty"),
        ({"model": "a\udcff"}, "is not UTF-8"),
        ({"chunking": {"max_tokens": 64}}, "is no ChunkingConfig"),
        ({"index": "Flat"}, "'Flat' is no IndexConfig"),
        ({"device": "gpu"}, "unknown device 'gpu': use auto, cpu"),
        ({"device": None}, "unknown device None"),
    ],
)
def test_an_argument_of_another_kind_is_refused_at_once(tmp_path, options, told):
    with pytest.raises(InputError, match=told):
        Collection.open(tmp_path / "c", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_home_folder_is_understood(tmp_path, monkeypatch, encoder):
    monkeypatch.setenv("HOME", str(tmp_path))
    with Collection.open("~/c", model=encoder) as collection:
        assert collection.folder == tmp_path / "c"


def test_create_false_and_read_only_make_nothing(tmp_path):
    for options in ({"create": False}, {"read_only": True}):
        with pytest.raises(NotFoundError, match=r"there is no collection.*embedsearch index PATH"):
            Collection.open(tmp_path / "c", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_collection(tmp_path, encoder):
    path = write(tmp_path / "notes.txt", "lynx")
    with pytest.raises(StoreError, match="is a file; a collection is a folder"):
        Collection.open(path, model=encoder)
    assert path.read_text() == "lynx"


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path, encoder):
    write(tmp_path / "c/notes.txt", "lynx")
    with pytest.raises(StoreError, match="exists and is not a collection"):
        Collection.open(tmp_path / "c", model=encoder)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["notes.txt"]


def test_an_empty_folder_becomes_a_collection(tmp_path, encoder):
    (tmp_path / "c").mkdir()
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        assert len(collection) == 0


def test_index_files_without_a_database_are_told(tmp_path, encoder):
    write(tmp_path / "c/index/000001.index", "x")
    with pytest.raises(CorruptStoreError, match="missing or empty"):
        Collection.open(tmp_path / "c", model=encoder)


@pytest.mark.parametrize("name", ["c#1", "c d", "c?x=1", "c%20d", "ü", "c'd"])
def test_names_of_folders_that_a_url_would_read_otherwise(tmp_path, encoder, name):
    with Collection.open(tmp_path / name, model=encoder) as collection:
        collection.upsert([doc("a")])
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with Collection.open(tmp_path / name, read_only=True) as collection:
        assert len(collection) == 1


def test_an_error_inside_the_block_closes_it(tmp_path, encoder):
    with pytest.raises(ZeroDivisionError), Collection.open(tmp_path / "c", model=encoder) as opened:
        1 / 0  # noqa: B018
    with pytest.raises(StoreError):
        len(opened)


# The model and the way of cutting, given and stored


def test_a_new_collection_has_the_model_of_its_first_document(tmp_path):
    with Collection.open(tmp_path / "c", model=FakeEncoder(seed=1)) as collection:
        assert collection.status().model is None
    with Collection.open(tmp_path / "c", model=FakeEncoder(seed=2)) as collection:
        collection.upsert([doc("a")])
        status = collection.status()
    assert (status.model, status.fingerprint) == ("fake-32-2", FakeEncoder(seed=2).fingerprint)


@pytest.mark.parametrize("other", [FakeEncoder(seed=2), FakeEncoder(dim=16, seed=1)])
def test_another_model_is_refused_at_the_door(tmp_path, other):
    with Collection.open(tmp_path / "c", model=FakeEncoder(seed=1)) as collection:
        collection.upsert([doc("a")])
    with pytest.raises(FingerprintError, match="reindex --model") as caught:
        Collection.open(tmp_path / "c", model=other)
    assert other.fingerprint[:16] in str(caught.value)
    assert FakeEncoder(seed=1).fingerprint[:16] in str(caught.value)


def test_another_model_under_the_same_name_is_refused_when_it_is_used(tmp_path):
    with Collection.open(tmp_path / "c", model=FakeEncoder(seed=1)) as collection:
        collection.upsert([doc("a")])
    imposter = FakeEncoder(seed=2)
    imposter.name = "fake-32-1"
    with Collection.open(tmp_path / "c", model=imposter) as collection:
        for use in (
            lambda: collection.search("lynx"),
            lambda: collection.upsert([doc("b", "emu")]),
            lambda: collection.encoder,
        ):
            with pytest.raises(FingerprintError):
                use()
        assert list(texts_of(collection)) == ["a"]


def test_a_renamed_model_with_the_same_fingerprint_is_welcome(tmp_path):
    with Collection.open(tmp_path / "c", model=FakeEncoder(seed=1)) as collection:
        collection.upsert([doc("a")])
    renamed = FakeEncoder(seed=1)
    renamed.name = "moved elsewhere"
    with Collection.open(tmp_path / "c", model=renamed) as collection:
        assert len(collection.search("lynx")) == 1


def test_a_model_that_is_not_there(tmp_path):
    for model in (tmp_path / "nowhere", "./nowhere", Path("nowhere")):
        with (
            Collection.open(tmp_path / "c", model=model) as collection,
            pytest.raises(NotFoundError, match="nowhere"),
        ):
            collection.upsert([doc("a")])


def test_the_way_of_cutting_is_kept(tmp_path, encoder):
    text = "Lynx emu zebu. " * 30
    small = ChunkingConfig(max_tokens=16, overlap_tokens=0)
    with Collection.open(tmp_path / "c", model=encoder, chunking=small) as collection:
        collection.upsert([doc("a", text)])
        chunks = len(chunk_rows(collection))
        assert chunks > 6
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        collection.upsert([doc("b", text)])
        assert len(chunk_rows(collection)) == 2 * chunks
    with Collection.open(tmp_path / "c", model=encoder, chunking=small) as collection:
        assert len(collection) == 2
    with pytest.raises(InputError, match="reindex cuts them anew"):
        Collection.open(tmp_path / "c", model=encoder, chunking=ChunkingConfig())


# Looking things up


def test_get_contains_len_iter(collection):
    documents = [doc("b", "lynx"), doc("a", "emu", metadata={"k": None}), doc("ü 1", "zebu")]
    collection.upsert(documents)
    assert len(collection) == 3
    assert list(collection) == documents
    assert collection.get("a") == documents[1]
    assert collection.get("c") is None
    assert "a" in collection
    assert "c" not in collection
    for odd in (5, None, "", "\ud800", b"a"):
        assert odd not in collection
        assert collection.get(odd) is None


def test_iterating_while_writing(collection):
    collection.upsert([doc(str(n), f"lynx {n}") for n in range(5)])
    seen = []
    for document in collection:
        seen.append(document.id)
        if document.id == "1":
            collection.delete(["2"])
            collection.upsert([doc("new", "emu")])
    assert seen == ["0", "1", "3", "4", "new"]


def test_status_counts_what_there_is(collection, encoder):
    status = collection.status()
    assert (status.documents, status.chunks, status.model) == (0, 0, None)
    assert (status.index.kind, status.index.vectors, status.index.generation) == ("none", 0, 0)
    collection.upsert([doc("a", "Lynx emu. " * 60), doc("b", "zebu")])
    status = collection.status()
    assert status.documents == 2
    assert status.chunks == status.index.vectors == len(chunk_rows(collection)) > 2
    assert (status.model, status.fingerprint) == (encoder.name, encoder.fingerprint)
    assert status.index.generation == 1
    assert status.index.recall == 1.0
    size = sum(path.stat().st_size for path in collection.folder.rglob("*") if path.is_file())
    assert status.size_bytes == pytest.approx(size, abs=20_000)


# Documents by hand


def test_upsert_counts_and_embeds_what_is_new(collection, encoder):
    report = collection.upsert([doc("a", "lynx"), doc("b", "emu"), doc("c", "lynx")])
    assert counts(report) == {"added": 3}
    assert (report.chunks, report.embedded) == (3, 2)
    report = collection.upsert([doc("a", "lynx"), doc("b", "zebu"), doc("d", "emu")])
    assert counts(report) == {"added": 1, "changed": 1, "unchanged": 1}
    assert (report.chunks, report.embedded) == (2, 1)  # emu was embedded before
    assert texts_of(collection) == {"a": "lynx", "b": "zebu", "c": "lynx", "d": "emu"}


def test_vectors_that_nothing_uses_any_more_are_made_anew(collection, encoder):
    collection.upsert([doc("a", "lynx")])
    collection.upsert([doc("a", "emu")])
    assert collection.upsert([doc("a", "lynx")]).embedded == 1
    collection.delete(["a"])
    assert collection.upsert([doc("a", "lynx")]).embedded == 1


def test_the_last_of_one_id_stays(collection):
    report = collection.upsert([doc("a", "one"), doc("b", "x"), doc("a", "two"), doc("a", "two")])
    assert counts(report) == {"added": 2, "changed": 1, "unchanged": 1}
    assert texts_of(collection) == {"a": "two", "b": "x"}


def test_metadata_is_that_of_the_moment_at_which_a_document_is_given(collection):
    metadata: dict[str, object] = {"pages": []}

    def pages():
        for number in range(3):
            metadata["n"] = number
            metadata["pages"].append(number)
            yield doc(f"d{number}", metadata=metadata)

    collection.upsert(pages())
    assert [collection.get(f"d{number}").metadata for number in range(3)] == [
        {"n": 0, "pages": [0]},
        {"n": 1, "pages": [0, 1]},
        {"n": 2, "pages": [0, 1, 2]},
    ]
    changed = doc("e", metadata=metadata)
    metadata["n"] = float("nan")  # which would spoil every filter
    with pytest.raises(InputError, match="metadata 'n' is not JSON"):
        collection.upsert([changed])
    assert len(collection.search("lynx", where={"n": 1})) == 1


def test_arguments_of_another_kind_are_refused(collection, tmp_path):
    with pytest.raises(InputError, match="is no SyncConfig"):
        collection.sync([tmp_path], config={"glob": "*.md"})
    for ask in (
        collection.ask,
        lambda question, **given: collection.ask_batch([question], **given),
    ):
        with pytest.raises(InputError, match="is no AnswerConfig"):
            ask("lynx?", config={"sentences": 1})
        with pytest.raises(InputError, match=r"such as CausalLM\.load\('gpt2'\), not its name"):
            ask("lynx?", generator="gpt2")


def test_metadata_alone_changes_a_document_and_embeds_nothing(collection):
    collection.upsert([doc("a", "lynx", metadata={"n": 1})])
    report = collection.upsert([doc("a", "lynx", metadata={"n": 2})])
    assert (counts(report), report.embedded) == ({"changed": 1}, 0)
    assert collection.search("lynx", where={"n": 2})[0].metadata == {"n": 2}
    assert collection.search("lynx", where={"n": 1}) == []


def test_empty_documents_are_passed_over_and_told(collection):
    report = collection.upsert([doc("a", ""), doc("b", " \n"), doc("c", "", title="Title")])
    assert counts(report) == {"added": 1}
    assert [(entry.path, entry.reason) for entry in report.skipped] == [
        ("a", "empty document"),
        ("b", "empty document"),
    ]
    assert [hit.document_id for hit in collection.search("title")] == ["c"]


@pytest.mark.parametrize("wrong", [{"id": "a", "text": "x"}, "text", None, ("a", "x")])
def test_upsert_takes_documents(collection, wrong):
    with pytest.raises(InputError, match=f"not {type(wrong).__name__}"):
        collection.upsert([doc("first"), wrong])


@pytest.mark.parametrize(
    "fields",
    [
        {"id": ""},
        {"id": 5},
        {"text": None},
        {"title": 3},
        {"text": "\ud800"},
        {"id": "\udcff"},
        {"metadata": {"x": float("nan")}},
        {"metadata": {"x": {1, 2}}},
        {"metadata": {"x": "\ud800"}},
        {"metadata": {"\ud800": 1}},
        {"metadata": {1: "a", "b": 2}},
        {"metadata": 5},
    ],
    ids=repr,
)
def test_what_is_no_document(collection, fields):
    with pytest.raises(InputError):
        collection.upsert([Document(**({"id": "a", "text": "x"} | fields))])


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        (None, "document 'a': metadata must be a mapping, .* not None"),
        ([("lang", "en")], "document 'a': metadata must be a mapping"),
        ({"lang": "en", "on": date(2024, 5, 1)}, "metadata 'on' is not JSON.*isoformat"),
        ({"lang": "en", "by": {"name": b"Ann"}}, "metadata 'by' is not JSON.*bytes"),
        ({"lang": "en", 5: 1}, "metadata is not JSON"),
    ],
)
def test_the_field_that_is_no_json_is_named(metadata, told):
    with pytest.raises(InputError, match=told):
        doc("a", metadata=metadata)


@pytest.mark.parametrize(
    "text", ["a\0b lynx", "lynx\r\n\x1b[31m", "👩‍👩‍👧 lynx", "\u202elynx", "\ufeff lynx"]
)
def test_any_unicode_comes_back_as_it_was(collection, text):
    document = Document(id=text, text=text, title=text, metadata={text: text, "n": text})
    collection.upsert([document])
    assert collection.get(text) == document
    [hit] = collection.search("lynx")
    assert (hit.document_id, hit.metadata) == (text, {text: text, "n": text})
    assert text[hit.start : hit.end] == hit.text
    assert {hit.snippet[a:b] for a, b in hit.highlights} == {"lynx"}


def test_a_generator_that_fails_midway_keeps_what_was_committed(collection, encoder):
    def documents():
        for number in range(PENDING_CHUNKS + 50):
            yield doc(f"d{number}", f"text {number}")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        collection.upsert(documents())
    assert len(collection) == PENDING_CHUNKS  # whole batches
    assert len(collection.search("text 7", 5)) == 5
    embedded = len(encoder.documents)
    report = collection.upsert(doc(f"d{n}", f"text {n}") for n in range(PENDING_CHUNKS + 50))
    assert counts(report) == {"added": 50, "unchanged": PENDING_CHUNKS}
    assert len(encoder.documents) == embedded + 50
    assert collection.status().index.vectors == PENDING_CHUNKS + 50


def test_an_encoder_that_fails_midway_keeps_what_was_committed(tmp_path):
    class Failing(CountingEncoder):
        def encode_document(self, texts):
            if len(self.documents) >= PENDING_CHUNKS:
                raise MemoryError
            return super().encode_document(texts)

    with Collection.open(tmp_path / "c", model=Failing()) as collection:
        with pytest.raises(MemoryError):
            collection.upsert(doc(f"d{n}", f"text {n}") for n in range(3 * PENDING_CHUNKS))
        assert len(collection) == PENDING_CHUNKS
        assert collection.delete(["d0"]) == 1  # the lock was let go


def test_documents_may_be_made_from_the_collection_itself(collection):
    collection.upsert([doc("a", "lynx")])
    collection.upsert(Document(id=f"copy of {d.id}", text=d.text + "!") for d in collection)
    assert "copy of a" in collection


def test_delete(collection):
    collection.upsert([doc("a", "lynx"), doc("b", "emu")])
    assert collection.delete(["a", "nowhere", "a", "\ud800"]) == 1
    assert collection.delete([]) == 0
    assert collection.delete(iter(["b"])) == 1
    assert len(collection) == 0
    for wrong in ("ab", None, 3):
        with pytest.raises(InputError, match="list of ids"):
            collection.delete(wrong)


def test_vacuum_erases_what_was_deleted(collection):
    secret = "Xylophonequartz"
    collection.upsert([doc("a", f"the {secret} is hidden", title=secret), doc("b", "emu")])
    collection.upsert([doc(f"d{n}", f"filler {n} " * 50) for n in range(200)])
    collection.delete(["a", *(f"d{n}" for n in range(200))])
    assert collection.vacuum() > 100_000
    for path in collection.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes().lower()
            for word in (secret, secret[:9], secret.lower()):
                assert word.lower().encode() not in data, path
    assert [hit.document_id for hit in collection.search("emu")] == ["b"]
    assert collection.vacuum() == 0 or collection.vacuum() < 50_000


def test_queries_and_questions_may_come_from_a_generator(collection):
    collection.upsert([doc("a", "The lynx is a cat."), doc("b", "The wolf is a dog.")])
    queries = ["lynx", "wolf"]
    found = collection.search_batch(query for query in queries)
    assert found == collection.search_batch(queries)
    assert len(found) == 2
    answers = collection.ask_batch(query for query in queries)
    assert [answer.text for answer in answers] == [collection.ask(q).text for q in queries]
    assert collection.search_batch(iter([])) == collection.ask_batch(iter([])) == []


@pytest.mark.parametrize("queries", ["lynx", None, 3])
def test_queries_that_are_no_list(collection, queries):
    for method in (collection.search_batch, collection.ask_batch):
        with pytest.raises(InputError, match=f"a list of strings, not {queries!r}"):
            method(queries)


# The lock, threads, reading only


def test_a_second_writer_is_told_at_once(tmp_path, collection):
    entered, leave = threading.Event(), threading.Event()

    def documents():
        entered.set()
        assert leave.wait(20)
        yield doc("a")

    with ThreadPoolExecutor(1) as pool, Collection.open(tmp_path / "c") as other:
        writing = pool.submit(collection.upsert, documents())
        assert entered.wait(20)
        try:
            with pytest.raises(LockedError, match="another thread of this process"):
                other.delete(["a"])
            with pytest.raises(LockedError, match="another thread of this process"):
                collection.delete(["a"])
            assert len(other) == 0  # reading goes on
        finally:
            leave.set()
        assert counts(writing.result()) == {"added": 1}
        assert other.delete(["a"]) == 1


def test_threads_share_one_instance(collection):
    collection.upsert(doc(f"d{n}", f"lynx {n}") for n in range(40))
    failures: list[BaseException] = []
    done = threading.Event()

    def read(mode):
        try:
            while not done.is_set():
                hits = collection.search("lynx", 10, mode=mode)
                assert len(hits) == 10
                assert all(hit.text.startswith("lynx") for hit in hits)
                assert len(collection.similar("d0", 5)) == 5
                assert len(collection) >= 40
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=[m]) for m in ("semantic", "keyword", "hybrid")]
    for thread in threads:
        thread.start()
    for number in range(12):
        collection.upsert([doc(f"n{number}", f"lynx new {number}")])
        collection.delete([f"n{number}"] if number % 2 else [])
    collection.vacuum()
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(collection) == 46


FORKING = """
import os, signal, sys
from embedsearch.collection.collection import Collection
from embedsearch.errors import StoreError
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder

parent = Collection.open(sys.argv[1], model=FakeEncoder())
parent.upsert([Document(id="a", text="lynx")])
assert parent.search("lynx")
child = os.fork()
if child == 0:
    signal.alarm(60)
    for use in (lambda: parent.search("lynx"), lambda: parent.delete(["a"])):
        try:
            use()
        except StoreError as error:
            assert "forked" in str(error)
        else:
            os._exit(3)
    own = Collection.open(sys.argv[1], model=FakeEncoder())
    os._exit(len(own.search("lynx")) - 1)
assert os.waitpid(child, 0)[1] == 0
assert parent.search("lynx")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
def test_a_forked_process_opens_the_collection_again(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(tmp_path / "c")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("put_there", ["nothing", "another"])
def test_a_collection_that_is_gone_is_neither_read_nor_written(tmp_path, collection, put_there):
    collection.upsert([doc("a")])
    folder = collection.folder
    folder.rename(tmp_path / "moved")
    if put_there == "another":
        with Collection.open(folder, model=CountingEncoder()) as another:
            another.upsert([doc("b")])
    for use in (
        lambda: collection.search("lynx"),
        lambda: len(collection),
        lambda: collection.upsert([doc("c")]),
        lambda: collection.delete(["a"]),
        lambda: collection.vacuum(),
    ):
        with pytest.raises(StoreError, match="deleted, moved or replaced after it was opened"):
            use()
    if put_there == "another":
        with Collection.open(folder) as another:
            assert texts_of(another) == {"b": "lynx"}
    else:
        assert not folder.exists()


def test_reading_only_refuses_every_write(tmp_path, collection):
    collection.upsert([doc("a", "lynx")])
    docs = write(tmp_path / "docs/b.txt", "emu").parent
    before = database_bytes(collection)
    with Collection.open(tmp_path / "c", model=CountingEncoder(), read_only=True) as reader:
        assert len(reader.search("lynx")) == len(reader) == 1
        for write_something in (
            lambda: reader.upsert([doc("b")]),
            lambda: reader.delete(["a"]),
            lambda: reader.sync([docs]),
            lambda: reader.sync([docs], dry_run=True),
            lambda: reader.reindex(),
            lambda: reader.vacuum(),
        ):
            with pytest.raises(StorageError, match="opened read-only"):
                write_something()
    assert database_bytes(collection) == before


def test_a_reader_loads_no_model_for_words(tmp_path, collection):
    collection.upsert([doc("a", "lynx")])
    with Collection.open(tmp_path / "c", model=Untouchable("fake-32-0")) as reader:
        assert len(reader.search("lynx", mode="keyword")) == 1
        assert reader.similar("a") == []
        assert reader.status().documents == 1


def test_a_long_query_is_told_of(collection, caplog):
    collection.upsert([doc("a", "lynx")])
    with caplog.at_level(logging.WARNING, "embedsearch"):
        assert len(collection.search("lynx " * 500)) == 1
    assert "has 500 tokens; its meaning is that of the first 64" in caplog.text


def test_scores_are_plain_floats(collection):
    collection.upsert([doc("a", "lynx")])
    for mode in ("semantic", "keyword", "hybrid"):
        [hit] = collection.search("lynx", mode=mode)
        assert type(hit.score) is float
        assert type(hit.rank) is type(hit.start) is type(hit.end) is int
    assert np.isclose(collection.search("lynx", mode="semantic")[0].score, 1.0)


@pytest.mark.parametrize("wrong", [None, 3, Document(id="a", text="lynx")])
def test_upsert_takes_a_list(collection, wrong):
    with pytest.raises(InputError, match="upsert takes a list of Documents, not"):
        collection.upsert(wrong)


def test_reindex_checks_what_it_is_given(collection):
    with pytest.raises(InputError, match="3 is no ChunkingConfig"):
        collection.reindex(chunking=3)
    with pytest.raises(InputError, match="a model is a name"):
        collection.reindex(model=3)


def test_a_format_that_no_text_has():
    with pytest.raises(InputError, match=r"document 'a': format must be one of text, .*not 'html'"):
        Document(id="a", text="lynx", format="html")


def test_an_index_file_that_may_not_be_read_does_not_hide_the_rest(collection, monkeypatch):
    collection.upsert([Document(id="a", text="lynx")])

    def refuse(path):
        raise StorageError(f"{path} could not be read: Permission denied")

    monkeypatch.setattr("embedsearch.index.read_measured", refuse)
    status = collection.status()
    assert status.documents == 1
    assert "Permission denied" in status.index.stale


def test_the_index_file_of_a_copied_collection_is_read_whole_once(
    collection, tmp_path, encoder, monkeypatch
):
    """`cp -r` gives files a new time; whether they are whole is seen by their checksums."""
    collection.upsert([Document(id="a", text="lynx"), Document(id="b", text="emu")])
    found = collection.search("lynx", mode="semantic")
    shutil.copytree(collection.folder, tmp_path / "copy", copy_function=shutil.copyfile)
    [file] = (tmp_path / "copy/index").iterdir()
    os.utime(file, ns=(1, 1))
    verify = embedsearch.index.verify
    read: list[Path] = []
    monkeypatch.setattr("embedsearch.index.verify", lambda path: (read.append(path), verify(path)))
    for read_only, times in ((True, 1), (True, 2), (False, 3), (False, 3), (True, 3)):
        with Collection.open(tmp_path / "copy", model=encoder, read_only=read_only) as copy:
            assert copy.search("lynx", mode="semantic") == found
        assert read == [file] * times


def test_an_index_file_that_is_replaced_while_it_is_read(
    collection, tmp_path, encoder, monkeypatch
):
    """A writer that builds the next one takes it away."""
    collection.upsert([Document(id="a", text="lynx"), Document(id="b", text="emu")])
    found = collection.search("lynx", mode="semantic")
    load = embedsearch.index.load

    def take_away(path):
        loaded = load(path)
        path.unlink()
        return loaded

    monkeypatch.setattr("embedsearch.index.load", take_away)
    with Collection.open(collection.folder, model=encoder) as reader:
        assert reader.search("lynx", mode="semantic") == found


def test_a_vacuum_that_frees_nothing_says_so(collection, monkeypatch):
    """The folder may have grown meanwhile."""
    collection.upsert([Document(id="a", text="lynx")])
    sizes = iter([100, 150])
    monkeypatch.setattr("embedsearch.collection.writer.folder_size", lambda _: next(sizes))
    assert collection.vacuum() == 0
