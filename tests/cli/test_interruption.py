"""Trainings that are interrupted say whether they go on, and do."""

from __future__ import annotations

import json

import pytest

from embedsearch.cli.terminal import TerminalProgress

NOTHING = "embedsearch: interrupted; nothing was saved, the same command begins anew"
TEXT = "the cat sat on the mat and the dog lay in the garden near the oven\n" * 60
PAIRS = [{"prompt": f"the colour {n} is", "response": f"green {n}"} for n in range(6)]
ENCODER = [{"anchor": f"cat {n}", "positive": f"the cat {n} in the oven"} for n in range(12)]
COMMANDS = {
    "word2vec": ("text.txt", "--min-count", 1, "--vector-size", 8, "--epochs", 3, "--workers", 1),
    "lm": ("pairs.jsonl", "--max-tokens", 64, "--vocab-size", 300, "--hidden-size", 16,
           "--layers", 1, "--heads", 2, "--context", 64, "--epochs", 3, "--rows-per-step", 1),
    "encoder": ("encoder.jsonl", "--batch-size", 4, "--epochs", 2, "--held-out", 0),
}  # fmt: skip


@pytest.fixture
def train(cli, tmp_path, tiny):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
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

    for name in ("words", "lm_training", "encoder_training"):
        monkeypatch.setattr(f"embedsearch.cli.{name}.resumable", interrupted)
    outcome = train(kind)
    assert (outcome.code, outcome.err.splitlines()[-1]) == (130, "embedsearch: interrupted")


@pytest.mark.parametrize("kind", ["tokenizer", "songs", "static"])
def test_what_keeps_no_state_promises_nothing(cli, tmp_path, monkeypatch, kind):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    for name in ("training.Tokenizer.train", "songs.train_songs", "static.distil_static"):
        monkeypatch.setattr(f"embedsearch.cli.{name}", interrupted)
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    outcome = cli("train", kind, "text.txt", "--out", "made", *_none(kind))
    assert (outcome.code, outcome.out, outcome.err) == (130, "", f"{NOTHING}\n")


def _none(kind):
    return ("--encoder", "none") if kind == "songs" else ()


def test_what_is_trained_already_is_told(train, tmp_path, monkeypatch):
    """As where the trial that follows is interrupted."""
    assert train("encoder").code == 0

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("embedsearch.cli.encoder_training.train_encoder", interrupted)
    told = f"embedsearch: interrupted; {tmp_path}/made is done, the same command goes on"
    assert train("encoder").err.startswith(told)
