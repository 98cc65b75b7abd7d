"""A full disk and a read-only one: a clear error, nothing lost, and on it goes afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedsearch.collection.collection import Collection
from embedsearch.collection.health import examine
from embedsearch.errors import StorageError
from embedsearch.store.database import open_database
from tests.fake_encoder import FakeEncoder
from tests.survival.corpus import QUERIES, change_corpus, write_corpus
from tests.survival.processes import ENVIRONMENT, ROOT, Workers
from tests.survival.state import (
    DATABASE,
    State,
    check_health,
    check_search,
    doctor,
    read_state,
    search_all,
)

SIZE = 8 * 2**20
FREE = (0, 4_096, 50_000, 300_000, 1_000_000)
"""Bytes left when a job begins: it runs out of space in another place each time."""


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as running:
        yield running


class Disk:
    """A small disk of its own, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mount("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs")

    def _mount(self, *arguments: str) -> None:
        done = subprocess.run(
            ["mount", *arguments, self.folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"mounting a small disk is not permitted: {done.stderr.splitlines()[0]}")

    def unmount(self) -> None:
        # lazily: a mapped index file may still be open in this process
        subprocess.run(["umount", "--lazy", self.folder], check=True)

    def read_only(self, on: bool) -> None:
        self._mount("-o", f"remount,{'ro' if on else 'rw'}")

    def fill(self, free: int) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)) == 4096:
                    pass
            except OSError:
                pass
            file.truncate(max(0, file.tell() - free))

    def empty(self) -> None:
        (self.folder / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    (tmp_path / "disk").mkdir()
    try:
        small = Disk(tmp_path / "disk")
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    yield small
    small.unmount()


@pytest.fixture
def job(disk: Disk, tmp_path: Path, workers: Workers) -> dict[str, Any]:
    """A collection on the disk, and files that changed since it was made."""
    write_corpus(tmp_path / "docs", files=30, rows=150)
    job = {"folder": disk.folder / "c.es", "docs": tmp_path / "docs"}
    assert workers.run(job | {"action": "sync"}).status == 0
    change_corpus(tmp_path / "docs")
    return job


@pytest.mark.parametrize("free", FREE)
@pytest.mark.parametrize("action", ["sync", "reindex", "vacuum"])
def test_the_disk_is_full(
    action: str, free: int, disk: Disk, job: dict[str, Any], workers: Workers, tmp_path: Path
) -> None:
    folder, seed = job["folder"], 1 if action == "reindex" else 0
    before = read_state(folder)
    job = job | {"action": action, "seed": seed}
    elsewhere = shutil.copytree(folder, tmp_path / "elsewhere" / "c.es")
    assert workers.run(job | {"folder": elsewhere}).status == 0

    disk.fill(free)
    done = workers.run(job)
    if free <= 50_000:
        assert (done.status, done.error) == (2, "StorageError"), done
        assert str(folder) in done.message
        assert "full" in done.message or "space" in done.message
    disk.empty()

    state = read_state(folder)
    check_between(before, state, read_state(elsewhere))
    seed_now = seed if done.status == 0 else 0
    check_health(folder, seed_now)
    check_search(folder, state, QUERIES[:2], seed_now)
    assert workers.run(job).status == 0
    assert read_state(folder) == read_state(elsewhere)
    assert search_all(folder, QUERIES, seed) == search_all(elsewhere, QUERIES, seed)
    check_health(folder, seed)


def check_between(before: State, state: State, after: State) -> None:
    """Each document is as it was or as it shall be."""
    for id_ in before.keys() | state.keys() | after.keys():
        assert state.get(id_) in (before.get(id_), after.get(id_))


def test_a_new_collection_on_a_full_disk(disk: Disk, workers: Workers, tmp_path: Path) -> None:
    write_corpus(tmp_path / "docs", files=30, rows=150)
    job = {"action": "sync", "folder": disk.folder / "c.es", "docs": tmp_path / "docs"}
    for free in (0, 4_096, 16_384, 40_000, 100_000, 400_000):
        disk.fill(free)
        done = workers.run(job)
        assert (done.status, done.error) == (2, "StorageError"), done
        assert str(disk.folder) in done.message
        disk.empty()
    assert workers.run(job).result[0] > 0
    check_health(disk.folder / "c.es", 0)


def test_an_export_to_a_full_disk(
    disk: Disk, job: dict[str, Any], workers: Workers, tmp_path: Path
) -> None:
    """The export that was there before stays."""
    out = disk.folder / "out.jsonl"
    folder = shutil.copytree(job["folder"], tmp_path / "c.es")
    job = {"action": "export", "folder": folder, "out": out}
    out.write_text("the one before\n")
    disk.fill(20_000)
    done = workers.run(job)
    assert (done.status, done.error) == (2, "StorageError")
    assert str(out) in done.message
    assert "No space left" in done.message
    assert out.read_text() == "the one before\n"
    disk.empty()
    assert {path.name for path in disk.folder.iterdir()} == {"c.es", "out.jsonl"}
    assert workers.run(job).result == len(out.read_text().splitlines())


def test_a_search_that_finds_damage_on_a_full_disk(
    disk: Disk, job: dict[str, Any], workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    """The index file cannot be built again; the results are right all the same."""
    folder = job["folder"]
    (path,) = (folder / "index").iterdir()
    path.write_bytes(os.urandom(path.stat().st_size))
    state = read_state(folder)
    with Collection.open(folder, model=FakeEncoder()) as collection:
        disk.fill(0)
        assert collection.search(QUERIES[0])
        assert "the index file was not built again" in caplog.text
        disk.empty()
    check_search(folder, state, QUERIES, 0)


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "cli.py", *arguments, "--db", folder],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line_on_a_full_disk(disk: Disk, job: dict[str, Any]) -> None:
    disk.fill(50_000)
    done = command(job["folder"], "delete", *(f"row-{number}" for number in range(100)))
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"embedsearch: no space left on the disk of {job['folder']}")
    assert command(job["folder"], "status").returncode == 0


@pytest.mark.parametrize("left", ["closed", "killed", "killed, without its shared memory"])
def test_a_read_only_disk(
    left: str, disk: Disk, job: dict[str, Any], workers: Workers, tmp_path: Path
) -> None:
    folder = job["folder"]
    if left != "closed":
        job |= {"action": "delete", "ids": ["row-1"], "die_at": 0}
        elsewhere = shutil.copytree(folder, tmp_path / "c.es")
        steps = workers.run(job | {"folder": elsewhere}).steps
        assert workers.run(job | {"die_at": steps - 1}).killed
        job.pop("die_at")
        assert (folder / f"{DATABASE}-wal").stat().st_size > 0
    state = read_state(folder)
    if left == "killed, without its shared memory":
        (folder / f"{DATABASE}-shm").unlink()
        disk.read_only(True)
        check_not_closed(folder)
    else:
        disk.read_only(True)
        check_search(folder, state, QUERIES, 0)
        check_health(folder, 0)
        assert command(folder, "status").returncode == 0
        assert command(folder, "search", QUERIES[0], "--mode", "keyword").returncode == 0
        assert command(folder, "similar", "row-2").returncode == 0
    for action in ("sync", "vacuum"):
        done = workers.run(job | {"action": action})
        assert (done.status, done.error) == (2, "StorageError"), done
        assert str(folder) in done.message
    disk.read_only(False)
    assert read_state(folder) == state
    assert workers.run(job | {"action": "sync"}).status == 0
    check_health(folder, 0)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_without_the_right_to_write(tmp_path: Path, workers: Workers) -> None:
    write_corpus(tmp_path / "docs", files=5, rows=20)
    job = {"folder": tmp_path / "c.es", "docs": tmp_path / "docs"}
    assert workers.run(job | {"action": "sync"}).status == 0
    folder, state = job["folder"], read_state(job["folder"])
    (folder / f"{DATABASE}-wal").unlink(missing_ok=True)
    (folder / f"{DATABASE}-shm").unlink(missing_ok=True)
    folder.chmod(0o555)
    try:
        check_search(folder, state, QUERIES, 0)
        check_health(folder, 0)
        assert command(folder, "status").returncode == 0
        assert command(folder, "search", QUERIES[0], "--mode", "keyword").returncode == 0
        done = workers.run(job | {"action": "delete", "ids": ["row-1"]})
        assert (done.status, done.error) == (2, "StorageError"), done
        assert str(folder) in done.message
    finally:
        folder.chmod(0o755)
    assert workers.run(job | {"action": "delete", "ids": ["row-1"]}).result == 1


def check_not_closed(folder: Path) -> None:
    """Nothing can be read here, and the error says where it could be."""
    with pytest.raises(StorageError, match="copy the whole folder to where it can be written"):
        open_database(folder, read_only=True)
    (check,) = [check for check in examine(folder) if not check.ok and check.check != "disk"]
    assert "copy the whole folder" in check.detail
    assert "delete" not in check.remedy


def test_a_lost_index_file_on_a_read_only_disk(disk: Disk, job: dict[str, Any]) -> None:
    folder = job["folder"]
    shutil.rmtree(folder / "index")
    disk.read_only(True)
    check_search(folder, read_state(folder), QUERIES, 0)
    assert all(check.ok for check in doctor(folder, 0))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["export"]])
def test_output_to_a_full_disk(arguments: list[str], tmp_path: Path, workers: Workers) -> None:
    write_corpus(tmp_path / "docs", files=2, rows=2)
    job = {"action": "sync", "folder": tmp_path / "c.es", "docs": tmp_path / "docs"}
    assert workers.run(job).status == 0
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "cli.py", *arguments, "--db", tmp_path / "c.es"],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == "embedsearch: the output could not be written: No space left on device"
