"""After vacuum, what was deleted stands in no byte of the collection's folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedsearch.collection.collection import Collection
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder
from tests.survival.corpus import words
from tests.survival.state import check_health, check_search, read_state

MARKER = "zyxgeheim"
"""One word, which the keyword index keeps as it is: its stem is itself."""


@pytest.fixture(autouse=True)
def _sqlite_that_keeps_what_was_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some builds of SQLite write zeros over deleted rows by themselves; no one may rely on it."""
    connect = sqlite3.connect

    def connect_as_most_builds_do(*arguments: Any, **options: Any) -> sqlite3.Connection:
        conn = connect(*arguments, **options)
        conn.execute("PRAGMA secure_delete = OFF")
        return conn

    monkeypatch.setattr(sqlite3, "connect", connect_as_most_builds_do)


def standing(folder: Path, marker: str = MARKER) -> list[str]:
    """Files that hold the marker, in either encoding or in another case."""
    wanted = [
        form.encode(encoding)
        for form in {marker, marker.upper(), marker.title()}
        for encoding in ("utf-8", "utf-16-le", "utf-16-be")
    ]
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(form in path.read_bytes() for form in wanted)
    ]


def secret(place: str) -> str:
    return f"{words(place, 150)} The word is {MARKER} here. {words(place + 'more', 150)}"


def delete(collection: Collection, docs: Path) -> None:
    collection.delete(["secret"])


def overwrite(collection: Collection, docs: Path) -> None:
    collection.upsert([Document(id="secret", text=words("harmless", 200))])


def prune(collection: Collection, docs: Path) -> None:
    (docs / f"{MARKER}.txt").unlink()
    collection.sync([docs])


def change(collection: Collection, docs: Path) -> None:
    path = docs / "page.md"
    path.write_text(path.read_text().replace(MARKER, "nothing"))
    collection.sync([docs])


def change_title_and_metadata(collection: Collection, docs: Path) -> None:
    collection.upsert([Document(id="described", text=words("same", 200))])


EVERYTHING = (delete, overwrite, prune, change, change_title_and_metadata)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "other.txt").write_text(words("other", 300))
    return docs


def prepare(collection: Collection, docs: Path, job: Callable[..., None]) -> None:
    """Puts in, among other things, what `job` will take out."""
    collection.upsert(Document(id=f"d{n}", text=words(n, 200)) for n in range(50))
    if job in (delete, overwrite):
        collection.upsert([Document(id="secret", text=secret("upsert"))])
    if job is prune:
        (docs / f"{MARKER}.txt").write_text(secret("file"))
    if job is change:
        (docs / "page.md").write_text(f"# About {MARKER}\n\n{secret('page')}")
    if job is change_title_and_metadata:
        metadata = {MARKER: [MARKER]}
        described = Document(
            id="described", text=words("same", 200), title=f"A {MARKER}", metadata=metadata
        )
        collection.upsert([described])
    collection.sync([docs])
    collection.upsert(Document(id=f"e{n}", text=words(f"e{n}", 200)) for n in range(50))


@pytest.mark.parametrize("job", EVERYTHING, ids=lambda job: job.__name__)
def test_nothing_is_left_of_what_was_taken_out(
    job: Callable[[Collection, Path], None], docs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "c.es"
    with Collection.open(folder, model=FakeEncoder()) as collection:
        prepare(collection, docs, job)
        assert standing(folder)
        job(collection, docs)
        assert standing(folder), "there is nothing to erase"
        collection.vacuum()
        assert standing(folder) == []
        assert not collection.search(MARKER, mode="keyword")
    assert standing(folder) == []
    check_health(folder, 0)
    check_search(folder, read_state(folder), ["bada", words("other", 5)], 0)


def test_what_waits_in_an_interrupted_reindex_goes_too(docs: Path, tmp_path: Path) -> None:
    class Tired(FakeEncoder):
        def encode_document(self, texts):
            raise KeyboardInterrupt

    folder = tmp_path / "c.es"
    with Collection.open(folder, model=FakeEncoder()) as collection:
        prepare(collection, docs, delete)
        for encoder in (FakeEncoder(seed=1), Tired(seed=2)):
            with pytest.raises(KeyboardInterrupt):
                interrupt_switch(collection, encoder)
        collection.delete(["secret"])
        collection.vacuum()
        assert standing(folder) == []
    check_health(folder, 0)


def interrupt_switch(collection: Collection, encoder: FakeEncoder) -> None:
    """A reindex that is interrupted once everything is embedded and waits for the switch."""

    class Interrupting:
        def start(self, description: str, total: int | None, unit: str) -> None:
            self.left = total or 0

        def advance(self, amount: int) -> None:
            self.left -= amount
            if self.left <= 0:
                raise KeyboardInterrupt

        def note(self, message: str) -> None:
            pass

    collection.reindex(model=encoder, progress=Interrupting())


def test_one_of_two_documents_with_the_same_text_stays(tmp_path: Path) -> None:
    folder = tmp_path / "c.es"
    with Collection.open(folder, model=FakeEncoder()) as collection:
        collection.upsert([Document(id=id_, text=secret("same")) for id_ in ("one", "two")])
        collection.delete(["one"])
        collection.vacuum()
        assert [hit.document_id for hit in collection.search(MARKER, mode="keyword")] == ["two"]
        collection.delete(["two"])
        collection.vacuum()
        assert standing(folder) == []


def test_a_reader_that_lives_on_does_not_keep_it(tmp_path: Path) -> None:
    folder = tmp_path / "c.es"
    with (
        Collection.open(folder, model=FakeEncoder()) as writer,
        Collection.open(folder, model=FakeEncoder(), read_only=True) as reader,
    ):
        writer.upsert(
            [Document(id="one", text=secret("one")), Document(id="two", text=words(2, 9))]
        )
        assert reader.search(MARKER)[0].document_id == "one"
        writer.delete(["one"])
        writer.vacuum()
        assert standing(folder) == []
        assert [hit.document_id for hit in reader.search(MARKER)] == ["two"]
