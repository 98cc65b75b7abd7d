"""A database that is damaged, foreign or newer is refused in one line and left as it is."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from embedsearch.collection.collection import Collection
from embedsearch.collection.health import examine
from embedsearch.errors import CorruptStoreError, NewerStoreError, NotFoundError, StoreError
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder
from tests.survival.corpus import words
from tests.survival.processes import ENVIRONMENT, ROOT, Workers
from tests.survival.state import DATABASE

PAGE = 4096


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("database") / "c.es"
    with Collection.open(folder, model=FakeEncoder()) as collection:
        collection.upsert(Document(id=f"d{n}", text=words(n, 60)) for n in range(100))
    return folder


@pytest.fixture
def database(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "c.es") / DATABASE


def contents(folder: Path) -> dict[str, str]:
    """All files with their hashes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def garble_first_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(PAGE))


def garble_page_behind_magic(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (PAGE - 100))


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def make_foreign(path: Path, journal_mode: str = "DELETE") -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA journal_mode = {journal_mode}")
        db.execute("CREATE TABLE bookmarks (url TEXT)")
        db.execute("INSERT INTO bookmarks VALUES ('https://example.org')")
        db.commit()


def make_foreign_with_our_table(path: Path) -> None:
    make_foreign(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1")
        db.execute("CREATE TABLE documents (id INTEGER PRIMARY KEY)")


def size_of(share: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


CASES: dict[str, tuple[Callable[[Path], object], type[StoreError], str]] = {
    "cut to nothing": (lambda path: os.truncate(path, 0), CorruptStoreError, "missing or empty"),
    "gone": (lambda path: path.unlink(), CorruptStoreError, "missing or empty"),
    "cut to 50 bytes": (lambda path: os.truncate(path, 50), CorruptStoreError, "damaged"),
    "cut in page 1": (lambda path: os.truncate(path, 1000), CorruptStoreError, "damaged"),
    "cut to page 1": (lambda path: os.truncate(path, PAGE), CorruptStoreError, "damaged"),
    "cut to a third": (size_of(0.33), CorruptStoreError, "damaged"),
    "cut by a page": (
        lambda path: os.truncate(path, path.stat().st_size - PAGE),
        CorruptStoreError,
        "damaged",
    ),
    "first page garbage": (garble_first_page, CorruptStoreError, "damaged"),
    "first page garbage but its magic": (garble_page_behind_magic, CorruptStoreError, "damaged"),
    "text": (
        lambda path: path.write_text("my notes\n" * 2000),
        CorruptStoreError,
        "no SQLite database",
    ),
    "short text": (lambda path: path.write_text("notes"), CorruptStoreError, "no SQLite database"),
    "another program's": (make_foreign, CorruptStoreError, "another program"),
    "another program's in WAL mode": (
        lambda path: make_foreign(path, "WAL"),
        CorruptStoreError,
        "another program",
    ),
    "another program's with our names": (
        make_foreign_with_our_table,
        CorruptStoreError,
        "another program",
    ),
    "newer": (make_newer, NewerStoreError, "has schema 99"),
}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_refused_and_left_as_it_is(case: str, read_only: bool, database: Path) -> None:
    change, error, message = CASES[case]
    change(database)
    before = contents(database.parent)
    with pytest.raises(error, match=message) as caught:
        Collection.open(database.parent, model=FakeEncoder(), read_only=read_only)
    assert str(database.parent) in str(caught.value)
    assert contents(database.parent) == before


@pytest.mark.parametrize("case", CASES)
def test_doctor_says_what_to_do(case: str, database: Path) -> None:
    CASES[case][0](database)
    before = contents(database.parent)
    (check,) = [check for check in examine(database.parent) if check.check == "collection"]
    assert not check.ok
    assert check.remedy
    assert contents(database.parent) == before


@pytest.mark.parametrize(
    ("case", "command"),
    [
        ("cut in page 1", "search"),
        ("another program's", "index"),
        ("another program's", "delete"),
        ("text", "vacuum"),
        ("newer", "status"),
    ],
)
def test_the_command_line_says_it_in_one_line(case: str, command: str, database: Path) -> None:
    change, _error, message = CASES[case]
    change(database)
    before = contents(database.parent)
    arguments = {"search": ["word"], "index": [str(ROOT / "docs")], "delete": ["d1"]}
    done = subprocess.run(
        [sys.executable, "cli.py", command, *arguments.get(command, []), "--db", database.parent],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"embedsearch: {database}")
    assert message in line
    assert contents(database.parent) == before


def test_pages_in_the_middle_that_are_garbage(database: Path) -> None:
    with database.open("r+b") as file:
        size = database.stat().st_size // PAGE
        for page in range(2, size, 3):
            file.seek(page * PAGE)
            file.write(os.urandom(PAGE))
    checks = {check.check: check for check in examine(database.parent, model=FakeEncoder())}
    assert not checks["database"].ok

    def read_all() -> None:
        with Collection.open(database.parent, model=FakeEncoder(), read_only=True) as collection:
            for document in collection:
                collection.search(document.text[:200])

    with pytest.raises(CorruptStoreError, match=re.escape(str(database))):
        read_all()


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as running:
        yield running


def test_emptied_beside_the_log_of_a_killed_writer(tmp_path: Path, workers: Workers) -> None:
    """SQLite deletes the log of a database that is empty; much of it could still be saved."""
    folder, docs = tmp_path / "c.es", tmp_path / "docs"
    docs.mkdir()
    (docs / "one.txt").write_text(words(1, 300))
    job = {"action": "sync", "folder": folder, "docs": docs}
    steps = workers.run(job | {"die_at": 0, "folder": tmp_path / "steps.es"}).steps
    assert workers.run(job | {"die_at": steps - 1}).killed
    assert (folder / f"{DATABASE}-wal").stat().st_size > 0
    shutil.rmtree(folder / "index")
    os.truncate(folder / DATABASE, 0)
    before = contents(folder)
    for read_only in (True, False):
        with pytest.raises(CorruptStoreError, match=re.escape(str(folder / DATABASE))):
            Collection.open(folder, model=FakeEncoder(), read_only=read_only)
    assert contents(folder) == before


def test_a_database_that_was_only_begun(tmp_path: Path, workers: Workers) -> None:
    """A process that is killed at once leaves an empty file, or a database without tables."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "one.txt").write_text(words(1, 60))
    begun = 0
    for step in range(2, 60, 4):
        folder = tmp_path / f"{step}.es"
        job = {"action": "sync", "folder": folder, "docs": docs}
        assert workers.run(job | {"die_at": step}).killed
        try:
            with Collection.open(folder, read_only=True) as collection:
                assert len(collection) == 0
        except NotFoundError:
            begun += 1
        assert workers.run(job).status == 0
    assert begun


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(StoreError, match="is not a collection"):
        Collection.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
