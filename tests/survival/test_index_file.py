"""The index file is a cache: whatever happens to it, a search is right, and it is built again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedsearch.collection.collection import Collection
from embedsearch.types import Document, Hit
from tests.fake_encoder import FakeEncoder
from tests.survival.corpus import QUERIES, words
from tests.survival.processes import ENVIRONMENT, ROOT
from tests.survival.state import check_health, check_search, doctor, read_state

HEADER = 4096
COUNT = 150


def make_collection(folder: Path, seed: str = "") -> Path:
    """An index file, and rows that came and went since it was built."""
    with Collection.open(folder, model=FakeEncoder()) as collection:
        collection.upsert(
            Document(id=f"d{number}", text=words(f"{seed}{number}", 40)) for number in range(COUNT)
        )
        collection.delete(["d3", "d4"])
        collection.upsert([Document(id="new", text=words(f"{seed}new", 40))])
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_collection(tmp_path_factory.mktemp("index_file") / "c.es")


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "c.es")


def index_file(folder: Path) -> Path:
    (path,) = (folder / "index").iterdir()
    return path


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)


def keep_time(path: Path, change: Callable[[], None]) -> None:
    """Does the change as a failing disk does: the file's time stays."""
    status = path.stat()
    change()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def exchange(path: Path) -> None:
    """Puts the file of another collection with as many rows in its place."""
    other = index_file(make_collection(path.parents[2] / "other.es", seed="other"))
    assert other.stat().st_size == path.stat().st_size
    assert other.read_bytes()[:HEADER] != path.read_bytes()[:HEADER]
    shutil.copy(other, path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "folder deleted": lambda path: shutil.rmtree(path.parent),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut by a byte": lambda path: os.truncate(path, path.stat().st_size - 1),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 8),
    "header": lambda path: flip(path, 17),
    "vectors": lambda path: flip(path, HEADER + 1001),
    "ids": lambda path: flip(path, path.stat().st_size - 5),
    "header, by a bad disk": lambda path: keep_time(path, lambda: flip(path, 17)),
    "ids, by a bad disk": lambda path: keep_time(path, lambda: flip(path, path.stat().st_size - 5)),
    "another collection's": exchange,
    "garbage": lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
    "text": lambda path: path.write_text("an index"),
}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    caplog.clear()
    return found


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_is_told_and_mended(
    damage: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = index_file(folder)
    DAMAGES[damage](path)
    named = [str(path.name), "the vectors in the database were searched instead"]

    check_search(folder, read_state(folder), QUERIES, 0)  # read-only
    (message,) = warnings(caplog)
    assert all(part in message for part in named)

    with Collection.open(folder, model=FakeEncoder()) as collection:
        mended = collection.search(QUERIES[0])
        message, built = warnings(caplog)
        assert all(part in message for part in named)
        assert built == "the index file was built again from the database"
        assert collection.search(QUERIES[0]) == mended
    assert index_file(folder).is_file()
    check_health(folder, 0)
    check_search(folder, read_state(folder), QUERIES, 0)
    assert not warnings(caplog)


@pytest.mark.parametrize("damage", DAMAGES)
def test_doctor_minds_damage_and_not_absence(damage: str, folder: Path) -> None:
    DAMAGES[damage](index_file(folder))
    (check,) = [check for check in doctor(folder, 0) if check.check == "index file"]
    assert check.ok == (damage in ("deleted", "folder deleted"))
    if check.ok:
        assert "is missing; until it is built, searches read the database instead" in check.detail
    else:
        assert "delete the folder `index`" in check.remedy
        shutil.rmtree(folder / "index")
        with Collection.open(folder, model=FakeEncoder()) as collection:
            collection.search(QUERIES[0])
        check_health(folder, 0)


def test_what_a_bad_disk_does_to_vectors_is_found_by_doctor(folder: Path) -> None:
    """To find it in every search would be to read everything in every search."""
    path = index_file(folder)
    keep_time(path, lambda: flip(path, HEADER + 1001))
    assert [check.check for check in doctor(folder, 0) if not check.ok] == ["index file"]


@pytest.mark.parametrize("damage", ["deleted", "vectors", "header, by a bad disk"])
def test_a_write_builds_it_again(damage: str, folder: Path) -> None:
    DAMAGES[damage](index_file(folder))
    with Collection.open(folder, model=FakeEncoder()) as collection:
        collection.upsert([Document(id="more", text=words("more", 40))])
    check_health(folder, 0)
    assert index_file(folder).is_file()


def test_the_command_line_tells_it_on_stderr(folder: Path) -> None:
    with Collection.open(folder, model=FakeEncoder()) as collection:
        expected = [hit.document_id for hit in collection.similar("d7")]
    flip(index_file(folder), HEADER + 1001)
    done, again = similar(folder), similar(folder)
    assert done.returncode == again.returncode == 0
    assert len(done.stderr.splitlines()) == 2
    assert "the vectors in the database were searched instead" in done.stderr
    assert "the index file was built again" in done.stderr
    assert again.stderr == ""
    assert done.stdout == again.stdout
    assert all(document_id in done.stdout for document_id in expected)


def similar(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "cli.py", "similar", "d7", "--db", str(folder)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_reader_that_lives_on_takes_up_each_new_file(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def search(collection: Collection) -> list[Hit]:
        return collection.search(QUERIES[0], mode="semantic")

    with (
        Collection.open(folder, model=FakeEncoder(), read_only=True) as reader,
        Collection.open(folder, model=FakeEncoder()) as writer,
    ):
        assert search(reader) == search(writer)
        before = index_file(folder).name
        writer.vacuum()
        assert index_file(folder).name != before
        assert search(reader) == search(writer)
        writer.delete(["d1", "d2"])
        writer.vacuum()  # forgets which rows were deleted before the new file
        every = reader.search(QUERIES[0], k=COUNT, mode="semantic", by="chunk")
        assert every == writer.search(QUERIES[0], k=COUNT, mode="semantic", by="chunk")
        assert len(every) == len(reader) == COUNT - 3
        shutil.rmtree(folder / "index")
        writer.reindex()
        assert search(reader) == search(writer)
    assert not warnings(caplog)
