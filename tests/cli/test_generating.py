"""`generate` as it is typed."""

from __future__ import annotations

import pytest

from tests.cli.test_commands import assert_error
from tests.generation.tiny import make_tiny_lm


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return make_tiny_lm(tmp_path_factory.mktemp("lm") / "tiny", chat=True)


def asked(lm, *options):
    return ("generate", "the cat", "--model", lm, "--max-new-tokens", 4, *options)


def test_a_text_is_continued(cli, lm):
    outcome = cli(*asked(lm, "--json"))
    assert outcome.code == 0
    [generation] = outcome.json["generations"]
    assert generation.keys() == {"text", "finish", "prompt_tokens", "completion_tokens"}
    assert (outcome.json["model"], generation["completion_tokens"]) == (str(lm), 4)
    shown = cli(*asked(lm))
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.endswith("\n")
    sampled = asked(lm, "--temperature", 2, "--num-return-sequences", 3)
    assert len(cli(*sampled, "--json").json["generations"]) == 3
    assert cli(*sampled).out.startswith("1. ")
    chat = cli(*asked(lm, "--chat", "--json")).json["generations"][0]
    assert chat["prompt_tokens"] > generation["prompt_tokens"]


def test_probabilities(cli, lm):
    options = ("--show-probabilities", "--candidates", 3, "--temperature", 0.7, "--top-k", 2)
    outcome = cli(*asked(lm, *options, "--json"))
    assert outcome.code == 0
    assert len(outcome.json["steps"]) == 4
    assert outcome.json["steps"][0]["kept"]["top_k"] == 2
    shown = cli(*asked(lm, *options)).out
    assert "step 4: “" in shown
    assert "temperature" in shown
    assert "tokens possible" in shown
    assert "█" in shown


def test_beams(cli, lm):
    options = ("--show-probabilities", "--num-beams", 3)
    assert len(cli(*asked(lm, *options, "--json")).json["beams"]) == 3
    assert "from 1" in cli(*asked(lm, *options)).out


def test_what_cannot_be(cli, lm, tiny):
    assert_error(cli("generate", "", "--model", lm), "empty")
    assert_error(cli("generate", "x", "--model", "./nowhere"), "nowhere")
    assert_error(cli("generate", "x", "--model", tiny), "no causal language model")
    assert_error(cli("generate", "x", "--model", "http://localhost:1/v1"), "server")
    assert_error(cli("generate", "x", "--model", "none"), "none")
    assert_error(cli(*asked(lm, "--temperature", -1)), "temperature")
    assert_error(cli(*asked(lm, "--stop", "")), "stop")
    assert_error(cli(*asked(lm, "--num-beams", 2, "--temperature", 1)), "num_beams")
    assert_error(cli("generate", "x " * 99, "--model", lm), "64 tokens")
