"""`ask` and `evaluate answers` as they are typed."""

from __future__ import annotations

import json

from tests.cli.test_commands import assert_error

KEYS = {"answer", "citations", "hits", "generator", "abstained"}
EVALUATION_KEYS = {
    "questions",
    "exact_match",
    "f1",
    "answer_contained",
    "gold_passage_cited_first",
    "abstention",
}
QUESTION = "how is the reset link sent?"


def test_ask_as_json(cli, home):
    outcome = cli("ask", QUESTION, "--json")
    assert outcome.code == 0
    assert "no language model was used" in outcome.err
    answer = outcome.json
    assert answer.keys() >= KEYS
    assert (answer["generator"], answer["abstained"]) == ("extractive", False)
    first = answer["citations"][0]
    assert first.keys() >= {"marker", "document_id", "start", "end"}
    text = (home / "docs/login.md").read_text(encoding="utf-8")
    assert first["document_id"] == "docs/login.md"
    assert text[first["start"] : first["end"]] == "The reset link is sent by email."
    assert first["marker"] in answer["answer"]


def test_ask_reads_well(cli, home):
    outcome = cli("ask", QUESTION, "--sentences", 1)
    assert outcome.code == 0
    assert outcome.out.startswith("The reset link is sent by email. [1]\n\n[1] docs/login.md:")


def test_ask_finds_nothing(cli, home):
    outcome = cli("ask", "zqx jvk wfp?", "--json")
    assert outcome.code == 1
    assert outcome.json["abstained"] is True
    assert outcome.json["citations"] == []


def test_ask_that_cannot_be(cli, home):
    assert_error(cli("ask", "  "), "empty")
    assert_error(cli("ask", QUESTION, "--sentences", 0), "sentences")
    assert_error(cli("ask", QUESTION, "--least-support", 2), "least_support")
    assert_error(cli("ask", QUESTION, "--db", "nowhere"), "nowhere")


def test_evaluate_answers(cli, tmp_path, tiny):
    qas = [
        {"question": QUESTION, "answers": [{"text": "email", "answer_start": 0}]},
        {"question": "zqx jvk wfp?", "answers": [], "is_impossible": True},
    ]
    paragraph = {"context": "The reset link is sent by email.", "qas": qas}
    data = {"data": [{"title": "Log in", "paragraphs": [paragraph]}]}
    (tmp_path / "set.json").write_text(json.dumps(data), encoding="utf-8")
    outcome = cli("evaluate", "answers", "set.json", "--model", tiny, "--json")
    assert outcome.code == 0
    assert outcome.json.keys() >= EVALUATION_KEYS
    assert outcome.json["questions"] == 2
    assert outcome.json["answer_contained"] == outcome.json["gold_passage_cited_first"] == 1
    assert outcome.json["abstention"].keys() == {"precision", "recall"}
    shown = cli("evaluate", "answers", "set.json", "--model", tiny)
    assert "gold passage cited first   1.0000" in shown.out
    assert_error(cli("evaluate", "answers", "none.json"), "none.json")
