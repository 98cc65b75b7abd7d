"""`doctor`: content where all is well, and telling what is wrong, each thing by its own check."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from embedsearch.collection.collection import Collection
from embedsearch.collection.health import examine
from embedsearch.errors import StorageError
from embedsearch.store.database import DATABASE_NAME, open_database
from embedsearch.store.shadow import new_shadow, shadow_folder
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder
from tests.support import database_bytes, write

INSTALLATION = ["faiss", "hardware", "engine", "disk"]
COLLECTION = ["database", "chunks", "keyword index", "vectors", "index file", "trial", "model"]


@pytest.fixture
def collection(tmp_path):
    with Collection.open(tmp_path / "c", model=FakeEncoder()) as opened:
        opened.upsert(Document(id=f"d{n}", text=f"lynx {n}. " * 40) for n in range(8))
        opened.upsert([Document(id="later", text="emu")])
        opened.delete(["d3"])
        yield opened


def look(collection, encoder=None):
    return {
        check.check: check for check in examine(collection.folder, model=encoder or FakeEncoder())
    }


def wrong(collection):
    return sorted(name for name, check in look(collection).items() if not check.ok)


def break_by(collection, *statements):
    db = open_database(collection.folder, read_only=False)
    db.execute("PRAGMA foreign_keys = OFF")
    for sql, parameters in statements:
        db.execute(sql, parameters)
    db.close()


def test_a_healthy_collection(collection):
    checks = look(collection)
    assert list(checks) == INSTALLATION + COLLECTION
    assert all(check.ok for check in checks.values())
    assert checks["database"].detail == "8 documents, 15 chunks, no damage"
    assert "15" in checks["vectors"].detail
    assert FakeEncoder().fingerprint[:16] in checks["model"].detail


def test_a_new_collection_is_healthy(tmp_path):
    with Collection.open(tmp_path / "c", model=FakeEncoder()) as collection:
        assert wrong(collection) == []


def test_nothing_is_changed_by_looking(collection):
    before = database_bytes(collection)
    files = sorted(path.name for path in collection.folder.rglob("*"))
    look(collection)
    assert database_bytes(collection) == before
    assert sorted(path.name for path in collection.folder.rglob("*")) == files


def test_while_a_writer_writes(collection):
    def documents():
        assert wrong(collection) == []
        yield Document(id="new", text="zebu")

    collection.upsert(documents())


BROKEN = {
    "database": ("DELETE FROM vectors WHERE id = 1", []),
    "chunks": ("UPDATE chunks SET start = start + 1 WHERE id = 2", []),
    "vectors": ("UPDATE vectors SET vector = ? WHERE id = 2", [np.ones(32, "<f4").tobytes()]),
    "index file": ("UPDATE chunks SET vector = (SELECT max(id) FROM vectors) WHERE id = 1", []),
}


@pytest.mark.parametrize("check", BROKEN)
def test_damage_is_found_by_the_check_made_for_it(collection, check):
    break_by(collection, BROKEN[check])
    found = look(collection)
    assert not found[check].ok
    others = {name for name, one in found.items() if not one.ok} - {check, "index file"}
    assert others == set()
    assert found[check].remedy
    assert "\n" not in found[check].detail + found[check].remedy


@pytest.mark.parametrize(
    ("check", "statement"),
    [
        ("chunks", ("DELETE FROM chunks WHERE document = 2", [])),
        ("chunks", ("UPDATE documents SET text = 'x' || text WHERE id = 2", [])),
        ("vectors", ("UPDATE vectors SET vector = zeroblob(5) WHERE id = 2", [])),
        ("vectors", ("UPDATE vectors SET vector = ? WHERE id = 2", [b"\xff" * 128])),
        ("vectors", ("UPDATE vectors SET model = 7 WHERE id = 2", [])),
    ],
)
def test_more_damage(collection, check, statement):
    break_by(collection, statement)
    assert check in wrong(collection)


def test_a_keyword_index_that_lacks_words(collection):
    break_by(
        collection,
        ("DROP TRIGGER chunks_au", []),
        ("UPDATE chunks SET text = replace(text, 'lynx', 'eyra') WHERE document = 2", []),
        ("UPDATE documents SET text = replace(text, 'lynx', 'eyra') WHERE id = 2", []),
    )
    found = look(collection)
    assert wrong(collection) == ["keyword index"]
    assert "vacuum" in found["keyword index"].remedy
    collection.vacuum()  # the remedy
    assert wrong(collection) == []


@pytest.mark.parametrize("check", ["chunks", "vectors"])
def test_the_remedy_helps(collection, check):
    break_by(collection, BROKEN[check])
    assert "embedsearch reindex" in look(collection)[check].remedy
    collection.reindex()
    assert wrong(collection) == []


def test_another_model_in_the_place_of_the_old(collection):
    found = look(collection, FakeEncoder(seed=5))["model"]
    assert not found.ok
    assert FakeEncoder(seed=5).fingerprint[:16] in found.detail
    assert "reindex --model" in found.remedy


def test_a_model_that_is_gone(tmp_path):
    encoder = FakeEncoder()
    encoder.name = str(tmp_path / "gone")
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        collection.upsert([Document(id="a", text="lynx")])
        found = {check.check: check for check in examine(collection.folder)}
    assert not found["model"].ok
    assert "gone" in found["model"].detail


def test_what_a_killed_trial_left(collection):
    assert look(collection)["trial"].detail == "none"
    with new_shadow(collection.folder) as shadow:
        (shadow / "vectors").write_bytes(b"x" * 1_200_000)
        found = look(collection)["trial"]
        assert (found.ok, found.detail) == (True, "a model is on trial")
        copy = shutil.copytree(shadow, shadow.with_name("copy"))
    assert not shadow.exists()
    copy.rename(shadow)  # no process holds the lock in it
    found = look(collection)["trial"]
    assert not found.ok
    assert str(shadow) in found.detail
    assert "1.2 MB" in found.detail
    shutil.rmtree(shadow)  # the remedy
    assert wrong(collection) == []


def test_looking_at_a_leftover_leaves_it_as_it_is(collection):
    left = shadow_folder(collection.folder)
    left.mkdir()
    assert wrong(collection) == ["trial"]
    assert list(left.iterdir()) == []


def test_no_collection(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "deep/nowhere"):
        *installation, last = examine(folder)
        assert [check.check for check in installation] == INSTALLATION
        assert (last.check, last.ok) == ("collection", False)
        assert "embedsearch index PATH" in last.detail
    assert list(tmp_path.iterdir()) == []


def test_another_programs_database(tmp_path):
    path = write(tmp_path / DATABASE_NAME, "not a database at all" * 100)
    before = path.read_bytes()
    *_, last = examine(tmp_path)
    assert (last.check, last.ok) == ("collection", False)
    assert "backup" in last.detail + last.remedy
    assert path.read_bytes() == before


def test_a_database_that_may_not_be_written_is_no_damage(collection, monkeypatch):
    """In a folder that may be written."""
    allowed = os.access
    monkeypatch.setattr(
        "embedsearch.collection.health.os.access",
        lambda path, mode: Path(path).name != DATABASE_NAME and allowed(path, mode),
    )
    check = look(collection)["keyword index"]
    assert check.ok
    assert "not compared, the collection is read-only" in check.detail


def test_what_kept_a_check_from_looking_is_not_mended_by_its_remedy(collection, monkeypatch):
    def refuse(*_, **__):
        raise StorageError("the disk is failing")

    monkeypatch.setattr("embedsearch.collection.health.read_embeddings", refuse)
    check = look(collection)["vectors"]
    assert (check.ok, check.detail) == (False, "the disk is failing")
    assert "reindex" not in check.remedy
