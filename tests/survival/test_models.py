"""Vectors of one model are never compared with those of another, whoever changes over when."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from embedsearch.collection.collection import Collection
from embedsearch.errors import FingerprintError
from embedsearch.types import Document
from tests.encoder.tiny import make_tiny_model
from tests.fake_encoder import FakeEncoder
from tests.survival.corpus import QUERIES, words
from tests.survival.processes import ENVIRONMENT, ROOT
from tests.survival.state import check_health, check_search, read_state

OLD, NEW = FakeEncoder(seed=0), FakeEncoder(seed=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Collection.open(tmp_path / "c.es", model=OLD) as collection:
        collection.upsert(Document(id=f"d{n}", text=words(n, 150)) for n in range(60))
    return tmp_path / "c.es"


def check_refused(error: FingerprintError) -> None:
    for part in (OLD.name, OLD.fingerprint[:16], NEW.name, NEW.fingerprint[:16]):
        assert part in str(error)
    assert f"embedsearch reindex --model {NEW.name}" in str(error)


def renamed(encoder: FakeEncoder, name: str) -> FakeEncoder:
    other = FakeEncoder(dim=encoder.dim, seed=encoder.seed)
    other.name = name
    return other


@pytest.mark.parametrize("read_only", [True, False])
def test_another_model_of_the_same_size_is_refused(folder: Path, read_only: bool) -> None:
    before = read_state(folder)
    with pytest.raises(FingerprintError) as caught:
        Collection.open(folder, model=NEW, read_only=read_only)
    check_refused(caught.value)
    assert read_state(folder) == before


def test_another_model_under_the_same_name_is_refused(folder: Path, tmp_path: Path) -> None:
    """The name is the collection's, so it is found out when the model is used."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one.txt").write_text(words("one", 50))
    before = read_state(folder)
    with Collection.open(folder, model=renamed(NEW, OLD.name)) as collection:
        for attempt in (
            lambda: collection.search(QUERIES[0]),
            lambda: collection.search(QUERIES[0], mode="semantic"),
            lambda: collection.upsert([Document(id="x", text="x")]),
            lambda: collection.sync([tmp_path / "docs"]),
            collection.reindex,
        ):
            with pytest.raises(FingerprintError) as caught:
                attempt()
            assert NEW.fingerprint[:16] in str(caught.value)
            assert OLD.fingerprint[:16] in str(caught.value)
            assert "embedsearch reindex --model" in str(caught.value)
        assert collection.search(QUERIES[0], mode="keyword")
    assert read_state(folder) == before


def test_the_same_model_under_another_name_will_do(folder: Path) -> None:
    with Collection.open(folder, model=renamed(OLD, "another name")) as collection:
        assert collection.upsert([Document(id="x", text=words("x", 50))]).added == 1
        assert collection.search(QUERIES[0])


def test_changing_over_and_back(folder: Path) -> None:
    before = read_state(folder)
    for seed, encoder in ((1, NEW), (0, OLD)):
        with Collection.open(folder) as collection:
            report = collection.reindex(model=encoder)
            assert report.changed == 60
            assert collection.search(QUERIES[0])
        check_health(folder, seed)
        check_search(folder, read_state(folder), QUERIES, seed)
    assert read_state(folder) == before


def test_a_model_of_another_size(folder: Path) -> None:
    larger = FakeEncoder(dim=48, seed=0)
    with pytest.raises(FingerprintError):
        Collection.open(folder, model=larger)
    with Collection.open(folder) as collection, Collection.open(folder, model=OLD) as reader:
        reader.search(QUERIES[0])
        collection.reindex(model=larger)
        assert len(collection.search(QUERIES[0])[0].text) > 0
        with pytest.raises(FingerprintError):
            reader.search(QUERIES[0])


@pytest.mark.parametrize("read_only", [True, False])
def test_a_reader_that_lives_on_is_right_or_is_told(folder: Path, read_only: bool) -> None:
    with (
        Collection.open(folder, model=OLD, read_only=read_only) as reader,
        Collection.open(folder) as writer,
    ):
        for mode in ("semantic", "hybrid", "keyword"):
            reader.search(QUERIES[0], mode=mode)
        writer.reindex(model=NEW)
        for mode in ("semantic", "hybrid"):
            with pytest.raises(FingerprintError) as caught:
                reader.search(QUERIES[0], mode=mode)
            assert OLD.fingerprint[:16] in str(caught.value)
        assert reader.search(QUERIES[0], mode="keyword") == writer.search(
            QUERIES[0], mode="keyword"
        )
        assert reader.similar("d1") == writer.similar("d1")
        writer.reindex(model=OLD)
        assert reader.search(QUERIES[0]) == writer.search(QUERIES[0])
        check_search(folder, read_state(folder), QUERIES, 0)


def test_a_change_during_a_search(folder: Path) -> None:
    """The query's vector is of the old model, the collection's are of the new one already."""
    with Collection.open(folder) as writer:

        class Slow(FakeEncoder):
            def encode_query(self, texts):
                vectors = super().encode_query(texts)
                writer.reindex(model=NEW)
                return vectors

        slow = Slow(seed=0)
        with (
            Collection.open(folder, model=slow) as reader,
            pytest.raises(FingerprintError, match=NEW.fingerprint[:16]),
        ):
            reader.search(QUERIES[0])


@pytest.mark.slow
def test_the_command_line(tmp_path: Path) -> None:
    """A model's folder whose weights were exchanged is another model."""
    model, other = make_tiny_model(tmp_path / "a"), make_tiny_model(tmp_path / "b", seed=1)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one.txt").write_text("the cat sat on the mat")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, ROOT / "cli.py", *arguments, "--db", tmp_path / "c.es"],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("index", tmp_path / "docs", "--model", model).returncode == 0
    shutil.copy(other / "model.safetensors", model / "model.safetensors")
    (tmp_path / "docs" / "two.txt").write_text("the dog ran after the ball")
    refused = [run("search", "a cat"), run("index", tmp_path / "docs", "--model", other)]
    for done in refused:
        assert done.returncode == 2
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.count("fingerprint") == 2
        assert "embedsearch reindex --model" in line
