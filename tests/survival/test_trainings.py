"""Two trainings into one folder: the second is told so, and both lose nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from embedsearch.encoder.training import EncoderTrainingConfig, TrainingPair, train
from embedsearch.errors import InputError, LockedError
from embedsearch.generation.training import LMTrainingConfig, Pair, start_from, train_lm
from embedsearch.types import SILENT, Progress
from tests.encoder.tiny import make_tiny_model
from tests.generation.tiny import make_tiny_lm
from tests.survival.processes import ENVIRONMENT, ROOT

FIRST = (
    "import sys; from pathlib import Path;"
    "from tests.survival.test_trainings import TRAININGS, Waits;"
    "TRAININGS[sys.argv[1]](Path(sys.argv[2]), Waits())"
)


class Waits:
    """Tells that the training has begun, and goes on when it is told to."""

    waited = False

    def start(self, description: str, total: int | None, unit: str) -> None:
        pass

    def note(self, message: str) -> None:
        pass

    def advance(self, amount: int) -> None:
        if not self.waited:
            self.waited = True
            print("begun", flush=True)
            sys.stdin.readline()


def train_a_language_model(home: Path, progress: Progress = SILENT) -> Any:
    return train_lm(
        [Pair(prompt="grass is", response="green"), Pair(prompt="snow is", response="white")],
        LMTrainingConfig(epochs=2, max_tokens=64, rows_per_step=1),
        start=start_from(home / "lm"),
        output=home / "out",
        device="cpu",
        progress=progress,
    )


def train_an_encoder(home: Path, progress: Progress = SILENT) -> Any:
    return train(
        [TrainingPair(anchor=f"cat {n}", positive=f"the cat {n} in oven") for n in range(12)],
        EncoderTrainingConfig(batch_size=4, epochs=2, held_out=0.0, precision="float32"),
        base=home / "encoder",
        output=home / "out",
        progress=progress,
    )


TRAININGS: dict[str, Callable[..., Any]] = {
    "lm": train_a_language_model,
    "encoder": train_an_encoder,
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("bases")
    make_tiny_lm(home / "lm")
    make_tiny_model(home / "encoder")
    return home


@pytest.fixture
def home(bases: Path, tmp_path: Path) -> Path:
    for name in TRAININGS:
        (tmp_path / name).symlink_to(bases / name)
    return tmp_path


@contextmanager
def begun(kind: str, home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process whose training has begun and waits."""
    with subprocess.Popen(
        [sys.executable, "-c", FIRST, kind, str(home)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        try:
            yield process
        finally:
            process.kill()


def names(home: Path) -> set[str]:
    return {path.name for path in home.iterdir()} - set(TRAININGS)


@pytest.mark.parametrize("kind", TRAININGS)
def test_the_second_training_into_a_folder_is_told_to_wait(home: Path, kind: str) -> None:
    with begun(kind, home) as process:
        with pytest.raises(LockedError, match=rf"process {process.pid}\) is writing to .*out"):
            TRAININGS[kind](home)
        process.communicate("go on\n")
        assert process.returncode == 0
    assert names(home) == {"out"}
    made = {path: path.read_bytes() for path in (home / "out").rglob("*") if path.is_file()}
    assert not [path for path in made if path.name.startswith("writer")]
    if kind == "lm":
        with pytest.raises(InputError, match="is there already"):
            TRAININGS[kind](home)
    else:
        TRAININGS[kind](home)  # gives its report again
    assert {p: p.read_bytes() for p in (home / "out").rglob("*") if p.is_file()} == made
    assert names(home) == {"out"}


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_killed_training_locks_nobody_out(home: Path, kind: str) -> None:
    with begun(kind, home) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    TRAININGS[kind](home)
    assert names(home) == {"out"}
