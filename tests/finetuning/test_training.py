"""Training from Python into a folder: alone, and leaving nothing behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from embedsearch.encoder.fingerprint import fingerprint_of
from embedsearch.encoder.folder import ModelFolder
from embedsearch.errors import InputError, LockedError, NotFoundError
from embedsearch.finetuning.training import train_encoder
from tests.encoder.test_training import CONFIG, PAIRS, Stops
from tests.encoder.tiny import make_tiny_model

MEASURED = replace(CONFIG, held_out=0.2)
OTHERS = [replace(pair, anchor=f"{pair.anchor} now") for pair in PAIRS]


@pytest.fixture
def base(tmp_path):
    return make_tiny_model(tmp_path / "tiny")


class Meanwhile:
    """Calls `act` once, in the middle of the training."""

    def __init__(self, act):
        self.act, self.stage = act, ""

    def start(self, description, total, unit):
        self.stage = description

    def advance(self, amount):
        if self.stage == "Training" and amount and self.act:
            act, self.act = self.act, None
            act()

    def note(self, message):
        pass


def test_two_trainings_into_one_folder_keep_their_own_weights(tmp_path, base):
    alone = train_encoder(PAIRS, MEASURED, base=base, output=tmp_path / "alone")

    def another():
        with pytest.raises(LockedError, match=r"writing to .*out\.training"):
            train_encoder(OTHERS, MEASURED, base=base, output=tmp_path / "out")

    both = train_encoder(
        PAIRS, MEASURED, base=base, output=tmp_path / "out", progress=Meanwhile(another)
    )
    assert both.fingerprint == alone.fingerprint
    assert fingerprint_of(ModelFolder.read(tmp_path / "out")) == alone.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "out", "tiny"]


def test_what_is_refused_leaves_no_folder(tmp_path, base):
    with pytest.raises(NotFoundError):
        train_encoder(PAIRS, CONFIG, base=tmp_path / "none", output=tmp_path / "new" / "out")
    with pytest.raises(InputError, match="2 layers"):
        train_encoder(
            PAIRS, replace(CONFIG, freeze_layers=3), base=base, output=tmp_path / "new" / "out"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_what_a_killed_training_left_of_the_model_is_replaced(tmp_path, base):
    with pytest.raises(KeyboardInterrupt):
        train_encoder(PAIRS, CONFIG, base=base, output=tmp_path / "out", progress=Stops(3))
    left = tmp_path / ".out.unfinished" / "model"
    left.mkdir(parents=True)
    (left / "half.safetensors").write_bytes(b"half")
    train_encoder(PAIRS, CONFIG, base=base, output=tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tiny"]
    assert not (tmp_path / "out" / "half.safetensors").exists()
