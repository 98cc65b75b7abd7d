"""Trainings that are interrupted say whether they go on, and do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import embedsearch
from embedsearch.cli.terminal import TerminalProgress

NOTHING = "embedsearch: interrupted; nothing was saved, the same command begins anew"
TEXT = "the cat sat on the mat and the dog lay in the garden near the oven\n" * 60
PAIRS = [{"prompt": f"the colour {n} is", "response": f"green {n}"} for n in range(6)]
LISTS = [[str(n), str(n + 1), str(n + 2)] for n in range(40)]
ENCODER = [{"anchor": f"cat {n}", "positive": f"the cat {n} in the oven"} for n in range(12)]
COMMANDS = {
    "word2vec": ("text.txt", "--min-count", 1, "--vector-size", 8, "--epochs", 3, "--workers", 1),
    "songs": ("lists.jsonl", "--encoder", "none", "--vector-size", 8, "--epochs", 3,
              "--workers", 1),
    "lm": ("pairs.jsonl", "--max-tokens", 64, "--vocab-size", 300, "--hidden-size", 16,
           "--layers", 1, "--heads", 2, "--context", 64, "--epochs", 3, "--rows-per-step", 1),
    "encoder": ("encoder.jsonl", "--batch-size", 4, "--epochs", 2, "--held-out", 0),
}  # fmt: skip


@pytest.fixture
def train(cli, tmp_path, tiny):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "lists.jsonl").write_text("\n".join(map(json.dumps, LISTS)), encoding="utf-8")
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, PAIRS)), encoding="utf-8")
    (tmp_path / "encoder.jsonl").write_text("\n".join(map(json.dumps, ENCODER)), encoding="utf-8")

    def run(kind):
        more = ("--model", tiny) if kind == "encoder" else ()
        return cli("train", kind, *COMMANDS[kind], *more, "--out", "made")

    return run


def interrupt(monkeypatch, advances):
    """At the call of `advance` of that number since the training began."""
    left = [advances]

    def advance(progress, amount):
        if progress._description.lower() == "training":
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

    monkeypatch.setattr(TerminalProgress, "advance", advance)


@pytest.mark.parametrize(
    ("kind", "advances", "state"),
    [
        ("word2vec", 2, "made/checkpoint"),
        ("songs", 2, "made/checkpoint"),
        ("lm", 1, "made/checkpoint"),
        ("encoder", 1, "made.training"),
    ],
)
def test_a_training_says_whether_it_goes_on(train, tmp_path, monkeypatch, kind, advances, state):
    with monkeypatch.context() as patch:
        interrupt(patch, advances)
        first = train(kind)
    assert (first.code, first.out, first.err.splitlines()[-1]) == (130, "", NOTHING)
    assert "Traceback" not in first.err
    assert not (tmp_path / "made").exists()
    with monkeypatch.context() as patch:
        interrupt(patch, advances + 2)
        later = train(kind)
    told = "embedsearch: interrupted; the same command goes on from the state in "
    assert later.code == 130
    assert later.err.splitlines()[-1].startswith(told)
    assert later.err.splitlines()[-1].endswith(state)
    assert list((tmp_path / state).rglob("state.json"))
    done = train(kind)
    assert done.code == 0
    if kind != "lm":
        assert "going on after" in done.err


@pytest.mark.parametrize("kind", COMMANDS)
def test_before_the_training_begins_nothing_is_said_of_its_state(train, monkeypatch, kind):
    """There may be one, of a run before."""

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    for name in ("words", "lm_training", "encoder_training", "songs"):
        monkeypatch.setattr(f"embedsearch.cli.{name}.resumable", interrupted)
    outcome = train(kind)
    assert (outcome.code, outcome.err.splitlines()[-1]) == (130, "embedsearch: interrupted")


@pytest.mark.parametrize("kind", ["tokenizer", "static"])
def test_what_keeps_no_state_promises_nothing(cli, tmp_path, monkeypatch, kind):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    for name in ("training.Tokenizer.train", "static.distil_static"):
        monkeypatch.setattr(f"embedsearch.cli.{name}", interrupted)
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    outcome = cli("train", kind, "text.txt", "--out", "made")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", f"{NOTHING}\n")


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_a_training_in_the_midst_of_a_block(tmp_path, workers):
    """Its 65,536 songs take minutes with settings like these; a window of it takes no time."""
    songs = [[str(n) for n in range(at, at + 500)] for at in range(0, 20_000, 500)]
    (tmp_path / "lists.jsonl").write_text("\n".join(map(json.dumps, songs * 4)), encoding="utf-8")
    tells = (
        "import sys; from embedsearch.cli import main; from embedsearch.cli import terminal;"
        "terminal.TerminalProgress.start = lambda *told: print(told[1], flush=True);"
        "sys.exit(main())"
    )
    command = ("train", "songs", "lists.jsonl", "--encoder", "none", "--out", "made")
    with subprocess.Popen(
        [sys.executable, "-c", tells, *command, "--workers", str(workers), "--negative", "900"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(embedsearch.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background of a shell hand down that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert "training\n" in iter(process.stdout.readline, "")
        time.sleep(0.5)  # within the block
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, f"{NOTHING}\n")
    assert not (tmp_path / "made").exists()


def test_what_is_trained_already_is_told(train, tmp_path, monkeypatch):
    """As where the trial that follows is interrupted."""
    assert train("encoder").code == 0

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("embedsearch.cli.encoder_training.train_encoder", interrupted)
    told = f"embedsearch: interrupted; {tmp_path}/made is done, the same command goes on"
    assert train("encoder").err.startswith(told)
