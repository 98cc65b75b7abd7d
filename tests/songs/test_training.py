"""Trainings that are killed, interrupted or met by a full disk, and what goes on from there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from embedsearch.errors import InputError, LockedError, StorageError
from embedsearch.songs import SongRecommender
from embedsearch.songs.training import train_songs
from tests.fake_encoder import FakeEncoder
from tests.songs.playlists import SMALL, playlists, songs
from tests.survival.processes import ENVIRONMENT, ROOT

CONFIG = replace(SMALL, epochs=6, deterministic=True)
EPOCHS = 300


@pytest.fixture
def lists(tmp_path):
    path = tmp_path / "lists.jsonl"
    path.write_text("\n".join(map(json.dumps, playlists())))
    return path


class Told:
    """Progress that remembers; interrupted in an epoch, or at a stage."""

    def __init__(self, epoch=0, stage=""):
        self.notes, self.epoch, self.stage = [], f"epoch {epoch} ", stage

    def start(self, description, total, unit):
        if description == self.stage:
            raise KeyboardInterrupt

    def advance(self, amount):
        pass

    def note(self, message):
        if message.startswith(self.epoch):
            raise KeyboardInterrupt
        self.notes.append(message)

    @property
    def epochs(self):
        return sum(note.startswith("epoch") for note in self.notes)


def _files(folder):
    """All but the checkpoint and the lock."""
    paths = [path for path in folder.rglob("*.*") if path.is_file()]
    return {
        path.relative_to(folder): path.read_bytes()
        for path in paths
        if "checkpoint" not in path.parts and not path.name.startswith("writer")
    }


def _same_vectors(one, other):
    found, expected = (SongRecommender.load(folder).vectors for folder in (one, other))
    assert (found.keys, found.losses) == (expected.keys, expected.losses)
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    np.testing.assert_array_equal(found.output, expected.output)


@pytest.mark.parametrize("after", [1, 40])
def test_a_killed_training_goes_on_to_the_same_vectors(tmp_path, lists, after):
    """In another process, at any moment after an epoch; a recommender was there before."""
    out, config = tmp_path / "out", replace(CONFIG, epochs=EPOCHS)
    train_songs(lists, out, CONFIG)
    before = _files(out)
    train = (
        "import sys; from tests.songs.test_training import *;"
        "from embedsearch.cli.terminal import TerminalProgress;"
        "train_songs(sys.argv[1], sys.argv[2], replace(CONFIG, epochs=EPOCHS),"
        " progress=TerminalProgress())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", train, str(lists), str(out)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any(line.startswith(f"epoch {after + 1} of") for line in process.stderr)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert (out / "checkpoint" / "state.json").is_file()
    assert _files(out) == before
    assert SongRecommender.load(out).recommend(["rock-1"])
    told = Told()
    train_songs(lists, out, config, progress=told)
    begun = EPOCHS - told.epochs
    assert told.notes[0] == f"going on after epoch {begun} of {EPOCHS}"
    assert after <= begun < EPOCHS
    train_songs(lists, tmp_path / "whole", config)
    _same_vectors(out, tmp_path / "whole")
    assert {path.name for path in out.iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()
    }


def test_other_playlists_or_settings_begin_anew(tmp_path, lists):
    with pytest.raises(KeyboardInterrupt):
        train_songs(lists, tmp_path / "out", CONFIG, progress=Told(epoch=4))
    told = Told()
    train_songs(lists, tmp_path / "out", replace(CONFIG, epochs=7), progress=told)
    assert told.notes[0].endswith("of another text or other settings: from the beginning")
    assert told.epochs == 7
    assert not (tmp_path / "out" / "checkpoint").exists()


def test_nothing_stays_of_a_tuning_that_is_given_up(tmp_path, lists):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train_songs(lists, out, CONFIG, tune_seconds=0.0, progress=Told(epoch=4))
    assert list(out.rglob("state.json"))
    told = Told()
    train_songs(lists, out, CONFIG, progress=told)
    assert (told.notes[0][:7], told.epochs) == ("epoch 1", 6)  # those were of fewer playlists
    assert not (out / "checkpoint").exists()


def test_a_training_that_cannot_be_leaves_no_folder(tmp_path, lists):
    lists.write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        train_songs(lists, tmp_path / "out", CONFIG)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("encoder", [FakeEncoder(dim=64), None])
def test_vectors_are_kept_while_titles_are_read(tmp_path, lists, encoder):
    """Titles and their encoder are of no account for them."""
    known = tmp_path / "known.txt"
    known.write_text("".join(f"{s.id}\t{s.title}\t{s.artist}\n" for s in songs()))
    with pytest.raises(KeyboardInterrupt):
        train_songs(
            *(lists, tmp_path / "out", CONFIG),
            songs=known,
            encoder=FakeEncoder(dim=64),
            progress=Told(stage="reading titles"),
        )
    told = Told()
    train_songs(lists, tmp_path / "out", CONFIG, songs=known, encoder=encoder, progress=told)
    assert told.notes == ["going on after epoch 6 of 6"]
    assert (SongRecommender.load(tmp_path / "out").text_map is None) == (encoder is None)


def test_a_second_training_into_the_folder_is_told_to_wait(tmp_path, lists):
    class Second(Told):
        def note(self, message):
            if message.startswith("epoch 2"):
                with pytest.raises(LockedError, match=r"wait|write again"):
                    train_songs(lists, tmp_path / "out", CONFIG)
            super().note(message)

    told = Second()
    train_songs(lists, tmp_path / "out", CONFIG, progress=told)
    assert told.epochs == 6


def test_a_full_disk_costs_no_training(tmp_path, lists, monkeypatch):
    out = tmp_path / "out"
    train_songs(lists, out, replace(CONFIG, epochs=1))
    before = _files(out)

    def no_space(_path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("embedsearch.songs.folder.block_writer", lambda _: no_space)
        with pytest.raises(StorageError, match=r"No space left on device; the same command goes"):
            train_songs(lists, out, CONFIG)
    assert _files(out) == before
    told = Told()
    train_songs(lists, out, CONFIG, progress=told)
    assert told.notes == ["going on after epoch 6 of 6"]
    train_songs(lists, tmp_path / "whole", CONFIG)
    _same_vectors(out, tmp_path / "whole")
