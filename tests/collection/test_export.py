"""Exporting: every document, in the layout that goes in, whole or not at all."""

from __future__ import annotations

import json

import pytest

from embedsearch.collection.collection import Collection
from embedsearch.collection.export import document_json, export_documents
from embedsearch.errors import StorageError
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder
from tests.support import write

DOCUMENTS = [
    Document(id="b", text="lynx\nsecond line 🐈", title="Tïtle", metadata={"n": [1, {"k": None}]}),
    Document(id='a "q" \\ ü', text="\u2028emu\x7f\t", metadata={"_id": "not the id", "text": "x"}),
    Document(id="c", text="", title="only a title"),
    Document(id="7", text="zebu", metadata={"title": "in the metadata"}),
]


@pytest.fixture
def collection(tmp_path):
    with Collection.open(tmp_path / "c", model=FakeEncoder()) as opened:
        opened.upsert(DOCUMENTS)
        yield opened


def test_a_line_a_document_in_the_order_they_came(collection, tmp_path):
    path = tmp_path / "out.jsonl"
    assert export_documents(collection, path) == len(DOCUMENTS)
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == [
        {"_id": d.id, "title": d.title, "text": d.text, "metadata": d.metadata} for d in DOCUMENTS
    ]
    assert "🐈" in path.read_text(encoding="utf-8")  # readable, not escaped


def test_what_goes_out_comes_in_again(collection, tmp_path):
    path = tmp_path / "out.jsonl"
    export_documents(collection, path)
    with Collection.open(tmp_path / "again", model=FakeEncoder()) as again:
        report = again.sync([path])
        assert (report.added, report.skipped) == (len(DOCUMENTS), ())
        assert list(again) == DOCUMENTS


def test_documents_of_files_too(tmp_path):
    write(tmp_path / "docs/a.md", "# Lynx\n\nText.")
    with Collection.open(tmp_path / "c", model=FakeEncoder()) as collection:
        collection.sync([tmp_path / "docs"])
        [document] = collection
        export_documents(collection, tmp_path / "out.jsonl")
    assert document_json(document) == {
        "_id": "docs/a.md",
        "title": "Lynx",
        "text": "# Lynx\n\nText.",
        "metadata": {},
        "format": "markdown",
    }
    with Collection.open(tmp_path / "again", model=FakeEncoder()) as again:
        again.sync([tmp_path / "out.jsonl"])
        assert list(again) == [document]  # still Markdown, so cut in the same way


def test_nothing_to_export(tmp_path):
    with Collection.open(tmp_path / "c", model=FakeEncoder()) as collection:
        assert export_documents(collection, tmp_path / "out.jsonl") == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_an_export_that_fails_leaves_the_old_one(collection, tmp_path):
    path = write(tmp_path / "out.jsonl", "precious")

    class Failing:
        def __iter__(self):
            yield DOCUMENTS[0]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        export_documents(Failing(), path)
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("out")] == ["out.jsonl"]
    export_documents(collection, path)
    assert len(path.read_text().splitlines()) >= len(DOCUMENTS)


@pytest.mark.parametrize("place", ["nowhere/out.jsonl", "file/out.jsonl", "folder"])
def test_a_place_that_cannot_be_written(collection, tmp_path, place):
    write(tmp_path / "file", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=place.split("/")[0]) as caught:
        export_documents(collection, tmp_path / place)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.part"))
