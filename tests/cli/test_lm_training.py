"""`train lm` as it is typed."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_commands import assert_error
from tests.generation.tiny import make_tiny_lm

PAIRS = [
    {"prompt": "the colour of grass is", "response": "green"},
    {"prompt": "the colour of snow is", "response": "white"},
]


@pytest.fixture
def pairs(tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(map(json.dumps, [*PAIRS, {"prompt": "x"}])), encoding="utf-8")
    return file


def test_a_model_goes_on_learning(cli, tmp_path, pairs):
    base = make_tiny_lm(tmp_path / "base")
    outcome = cli(
        "train", "lm", pairs, "--base", base, "--out", "tuned", "--max-tokens", 64,
        "--epochs", 2, "--new-token", "colour", "--json",
    )  # fmt: skip
    assert outcome.code == 0
    report = outcome.json
    assert (report["output"], report["examples"], len(report["losses"])) == ("tuned", 2, 2)
    assert report["skipped"] == [{"path": f"{pairs}:3", "reason": "has no text `response`"}]
    assert "pairs.jsonl:3" in outcome.err
    assert_error(cli("train", "lm", pairs, "--base", base, "--out", "tuned"), "is there already")


def test_a_new_model(cli, tmp_path, pairs):
    (tmp_path / "chat.jinja").write_text("{{ messages[-1].content }} so:")
    options = ["--hidden-size", 32, "--layers", 1, "--heads", 2, "--context", 64]
    outcome = cli(
        "train", "lm", pairs, "--out", "new", "--max-tokens", 64, "--vocab-size", 300,
        "--chat-template", "chat.jinja", "--recall-steps", 3, *options,
    )  # fmt: skip
    assert outcome.code == 0
    assert "parameters" in outcome.out
    assert "recall: loss" in outcome.err
    assert (tmp_path / "new/chat_template.jinja").read_text().endswith("so:")
    asked = ("ask", "green?", "--llm", "new")
    assert_error(cli(*asked), ".embedsearch")


def test_what_cannot_be(cli, tmp_path, pairs):
    assert_error(cli("train", "lm", "nowhere.jsonl", "--out", "new"), "nowhere.jsonl")
    assert_error(cli("train", "lm", pairs, "--out", "new", "--epochs", 0), "epochs")
    assert_error(cli("train", "lm", pairs, "--out", "new", "--base", "./no"), "no")
    wrong = ("--recall-steps", 1, "--method", "lora")
    assert_error(cli("train", "lm", pairs, "--out", "new", *wrong), "recall_steps")
    for wrong in (
        ("--tokenizer", "x"), ("--chat-template", "x"), ("--vocab-size", 300), ("--layers", 2),
        ("--recall-steps", 3), ("--head-dim", 8),
    ):  # fmt: skip
        assert_error(cli("train", "lm", pairs, "--out", "new", "--base", ".", *wrong), wrong[0])
    assert_error(cli("train", "lm", pairs, "--out", "new", "--chat-template", "no.jinja"), "no.")
