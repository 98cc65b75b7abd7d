"""Exporting: every document, in the layout that goes in, whole or not at all."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

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


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("nowhere/out.jsonl", "there is no folder .*nowhere to export to"),
        ("file/out.jsonl", "there is no folder .*file to export to"),
        ("folder", "folder is a folder; name a file"),
    ],
)
def test_a_place_that_cannot_be_written(collection, tmp_path, place, told):
    write(tmp_path / "file", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=told) as caught:
        export_documents(collection, tmp_path / place)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.part"))


def test_what_is_no_file_is_written_to_and_stays(collection, tmp_path):
    """As `/dev/stdout`, which must not be replaced by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_text, encoding="utf-8")
        assert export_documents(collection, pipe) == len(DOCUMENTS)
        assert len(read.result().split("\n")) == len(DOCUMENTS) + 1
    assert pipe.is_fifo()


def test_a_link_leads_to_what_is_written_and_permissions_stay(collection, tmp_path):
    target = write(tmp_path / "target.jsonl", "old")
    target.chmod(0o600)
    link = tmp_path / "link.jsonl"
    link.symlink_to(target)
    export_documents(collection, link)
    assert link.is_symlink()
    assert len(target.read_text(encoding="utf-8").split("\n")) == len(DOCUMENTS) + 1
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_file_of_the_users_is_not_taken_for_ours(collection, tmp_path):
    other = write(tmp_path / "out.jsonl.part", "precious")
    export_documents(collection, tmp_path / "out.jsonl")
    assert other.read_text() == "precious"
