"""One writer and many readers at once; a second writer is told at once who the first is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedsearch.collection.collection import Collection
from embedsearch.errors import LockedError
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder
from tests.survival.corpus import words
from tests.survival.processes import ENVIRONMENT, ROOT, Workers
from tests.survival.together import READERS, run_together

SECONDS = 6
"""`benchmarks/together.py` goes on for a minute."""


def test_one_writer_and_four_readers(tmp_path: Path) -> None:
    done = run_together(tmp_path / "c.es", SECONDS)
    assert done["commits"] > 3
    assert done["searches"] > READERS


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A collection in which another process has begun to write, and that process."""
    folder, docs = tmp_path / "c.es", tmp_path / "docs"
    docs.mkdir()
    (docs / "one.txt").write_text(words(1, 60))
    with Collection.open(folder, model=FakeEncoder()) as collection:
        collection.upsert([Document(id="there", text=words(2, 60))])
    with Workers() as workers:
        pid = workers.start({"action": "sync", "folder": folder, "docs": docs, "delay": 300})
        while not (folder / "writer.pid").exists():
            time.sleep(0.01)
        yield folder, pid
        os.kill(pid, signal.SIGKILL)
        assert workers.finish().killed


def test_a_second_writer_is_told_who_the_first_is(writing: tuple[Path, int]) -> None:
    folder, pid = writing
    with Collection.open(folder, model=FakeEncoder()) as collection:
        for attempt in (
            lambda: collection.upsert([Document(id="x", text="x")]),
            lambda: collection.delete(["there"]),
            lambda: collection.sync([folder.parent / "docs"]),
            collection.reindex,
            collection.vacuum,
        ):
            with pytest.raises(LockedError, match=rf"process {pid}\b.*Searching works meanwhile"):
                attempt()
        assert collection.search("there")
    os.kill(pid, 0)  # the first one is still at it


@pytest.mark.parametrize("command", [["delete", "there"], ["vacuum"], ["index", "docs"]])
def test_the_command_line_tells_it(writing: tuple[Path, int], command: list[str]) -> None:
    folder, pid = writing
    done = subprocess.run(
        [sys.executable, ROOT / "cli.py", *command, "--db", folder],
        cwd=folder.parent,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"embedsearch: another process (process {pid}) is writing to {folder}")


def test_the_lock_of_a_killed_writer_is_free(tmp_path: Path) -> None:
    folder, docs = tmp_path / "c.es", tmp_path / "docs"
    docs.mkdir()
    (docs / "one.txt").write_text(words(1, 60))
    with Workers() as workers:
        job = {"action": "sync", "folder": folder, "docs": docs}
        steps = workers.run(job | {"die_at": 0, "folder": tmp_path / "steps.es"}).steps
        assert workers.run(job | {"die_at": steps - 4}).killed
    assert (folder / "writer.pid").exists()
    with Collection.open(folder, model=FakeEncoder()) as collection:
        assert collection.upsert([Document(id="x", text="x")]).added == 1


def test_two_writers_in_one_process(tmp_path: Path) -> None:
    with (
        Collection.open(tmp_path / "c.es", model=FakeEncoder()) as first,
        Collection.open(tmp_path / "c.es", model=FakeEncoder()) as second,
    ):

        def meanwhile() -> Iterator[Document]:
            yield Document(id="a", text="one")
            with pytest.raises(LockedError, match="another call in this thread, is writing"):
                second.upsert([Document(id="b", text="two")])

        first.upsert(meanwhile())
        second.upsert([Document(id="b", text="two")])
        assert len(first) == 2
