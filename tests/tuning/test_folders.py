"""Folders that are made by one process at a time, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from embedsearch.errors import LockedError, StorageError
from embedsearch.tuning.folders import only_training, published

ROOT = Path(__file__).parents[2]


def fill(folder: Path, text: str = "new") -> None:
    for name in ("1_Pooling/config.json", "modules.json", "weights"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def content(home: Path) -> set[str]:
    return {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}


FILES = {"m/1_Pooling/config.json", "m/modules.json", "m/weights"}


def publish(target: Path, then=lambda: None) -> None:
    with published(target) as home:
        fill(home)
        assert "modules.json" not in {path.name for path in target.rglob("*")}
        then()


def train(folder: Path, then=lambda: None) -> None:
    with only_training(folder):
        then()


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("there", [False, True])
def test_a_model_is_whole_or_not_there(tmp_path, there):
    if there:
        (tmp_path / "m").mkdir()
    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path / "m", interrupt)
    assert [path.name for path in tmp_path.iterdir()] == (["m"] if there else [])
    publish(tmp_path / "m")
    assert content(tmp_path) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_nothing_is_overwritten(tmp_path):
    def come_first():
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "mine").touch()

    with pytest.raises(StorageError, match="m cannot be written: "):
        publish(tmp_path / "m", come_first)
    assert content(tmp_path) == {"m/mine"}


def test_what_makes_it_a_model_comes_last(tmp_path, monkeypatch):
    (tmp_path / "m").mkdir()
    moved = []
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda path, to: moved.append(path.name) or replace(path, to)
    )
    publish(tmp_path / "m")
    assert moved[-1] == "modules.json"
    assert content(tmp_path) == FILES


def test_all_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    with published(tmp_path / "m") as home:
        fill(home)
        files = [home, *home.rglob("*")]
        numbers = [path.stat().st_ino for path in files]
    assert set(synced[:-1]) == set(numbers)
    assert synced[-1] == tmp_path.stat().st_ino


def test_what_a_killed_process_left_is_taken_away(tmp_path):
    code = (
        "import sys, signal, os; from pathlib import Path;"
        "from embedsearch.tuning.folders import published;"
        "model = published(Path(sys.argv[1])); (model.__enter__() / 'half').touch();"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "m"], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert ".m.unfinished/model/half" in content(tmp_path)
    publish(tmp_path / "m")
    assert content(tmp_path) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_two_at_once(tmp_path):
    with published(tmp_path / "m") as home:
        with pytest.raises(LockedError, match="another call in this thread"):
            publish(tmp_path / "m")
        fill(home)
    assert content(tmp_path) == FILES


def test_a_folder_that_nothing_came_into_is_gone(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "a" / "b", interrupt)
    assert list(tmp_path.iterdir()) == []
    mine = tmp_path / "mine"
    mine.mkdir()
    with pytest.raises(LockedError, match=rf"is writing to {mine}; write again when it is done$"):
        train(mine, lambda: train(mine))
    assert list(tmp_path.rglob("*")) == [mine]
    train(mine, (mine / "state").touch)
    assert content(mine) == {"state", "writer.lock"}


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    for make in (train, publish):
        with pytest.raises(StorageError, match=r"cannot write to .*Not a directory"):
            make(tmp_path / "file" / "b")
        with pytest.raises(StorageError, match="File name too long"):
            make(tmp_path / ("m" * 300))
