"""`ask` and `evaluate answers` as they are typed."""

from __future__ import annotations

import json

import pytest

from embedsearch.cli.terminal import plain
from tests.cli.test_commands import assert_error
from tests.generation.rude_server import serving
from tests.generation.scripted import ScriptedLM
from tests.generation.tiny import make_tiny_lm

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


def test_how_to_get_a_language_model_is_told_to_who_did_not_refuse_one(cli, home):
    told = "no language model was used: these are the sentences that answer best"
    assert cli("ask", QUESTION).err.startswith(told + ". --llm auto fetches")
    assert cli("ask", QUESTION, "--llm", "none").err == told + "\n"


def test_ask_reads_well(cli, home):
    outcome = cli("ask", QUESTION, "--sentences", 1)
    assert outcome.code == 0
    assert outcome.out.startswith("The reset link is sent by email. [1]\n\n[1] docs/login.md:")


def test_ask_finds_nothing(cli, home):
    outcome = cli("ask", "zqx jvk wfp?", "--json")
    assert outcome.code == 1
    assert outcome.json["abstained"] is True
    assert outcome.json["citations"] == []


def test_ask_without_any_passage_says_why(cli, home):
    outcome = cli("ask", QUESTION, "--where", "lang=xx")
    assert (outcome.code, outcome.err) == (1, "nothing found\n")
    ids = [document["_id"] for document in cli("export", "--json").json]
    assert cli("delete", *ids).code == 0
    outcome = cli("ask", QUESTION)
    assert outcome.code == 1
    assert outcome.err.startswith("nothing found: the collection is empty; `embedsearch index")


@pytest.fixture(scope="session")
def llm(tmp_path_factory):
    return make_tiny_lm(tmp_path_factory.mktemp("llm") / "tiny", context=4096)


def test_ask_with_a_language_model(cli, home, llm):
    asked = ("ask", QUESTION, "--llm", llm, "--max-new-tokens", 12)
    outcome = cli(*asked, "--json")
    assert outcome.code == 0
    answer = outcome.json
    assert answer.keys() >= KEYS
    assert answer["generator"] == str(llm)
    assert answer["usage"]["completion_tokens"] == 12
    assert {problem["kind"] for problem in answer["problems"]} >= {"support", "length"}
    assert "the answer was cut off" in outcome.err
    assert "no source supports" in outcome.err
    assert "first token" in outcome.err
    shown = cli(*asked)
    assert shown.code == 0
    assert plain(answer["answer"]) in plain(shown.out)
    assert cli(*asked, "--temperature", 3, "--seed", 5, "--json").json["answer"] != answer["answer"]
    assert cli(*asked, "--num-beams", 2, "--json").code == 0


def test_what_was_shown_before_the_check_is_not_said_to_be_gone(cli, home, monkeypatch):
    def scripted(*_arguments, **_options):
        return ScriptedLM("<think>Hm.</think>\nIt is sent [99].")

    monkeypatch.setattr("embedsearch.cli.asking.load_language_model", scripted)
    shown = cli("ask", QUESTION)
    assert "<think>Hm.</think>" in shown.out
    assert "It is sent [99]." in shown.out
    assert shown.err.startswith("a marker points to no source: [99]\n")
    assert cli("ask", QUESTION, "--json").json["answer"] == "It is sent."


def test_ask_with_a_language_model_that_cannot_be(cli, home, llm, tiny):
    assert_error(cli("ask", QUESTION, "--temperature", 1), "--llm")
    assert_error(cli("ask", QUESTION, "--llm", "none", "--stop", "x"), "--stop")
    assert_error(cli("ask", QUESTION, "--llm", llm, "--temperature", -1), "temperature")
    assert_error(cli("ask", QUESTION, "--llm", llm, "--llm-model", "x"), "server")
    assert_error(cli("ask", QUESTION, "--llm", llm, "--max-new-tokens", 4096), "no passage fits")
    assert_error(cli("ask", QUESTION, "--llm", tiny), "no causal language model")
    assert_error(cli("ask", QUESTION, "--llm", "./nowhere"), "nowhere")


def test_how_to_get_a_language_model(cli, home, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "--llm auto fetches Qwen/Qwen2.5-0.5B-Instruct" in cli("ask", QUESTION).err
    outcome = cli("ask", QUESTION, "--llm", "auto")
    assert outcome.code == 2
    assert (
        "fetching the language model Qwen/Qwen2.5-0.5B-Instruct (1.0 GB, Apache-2.0)"
        in (outcome.err.splitlines()[0])
    )


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


def test_evaluate_answers_of_a_language_model(cli, tmp_path, tiny, llm):
    qas = [{"question": QUESTION, "answers": [{"text": "email", "answer_start": 0}]}]
    paragraph = {"context": "The reset link is sent by email.", "qas": qas}
    data = {"data": [{"title": "Log in", "paragraphs": [paragraph]}]}
    (tmp_path / "set.json").write_text(json.dumps(data), encoding="utf-8")
    asked = ("evaluate", "answers", "set.json", "--model", tiny, "--max-new-tokens", 4, "--json")
    outcome = cli(*asked, "--llm", llm)
    assert outcome.code == 0
    assert outcome.json["generator"] == str(llm)
    assert_error(cli(*asked), "--max-new-tokens")


def test_a_server_that_breaks_off(cli, home):
    """What came is there once, and said to be incomplete."""

    def half(exchange):
        if exchange.path.endswith("models"):
            exchange.send(200, {"data": [{"id": "m"}]})
            return
        exchange.begin_events()
        exchange.pieces("The reset link", " is sent by email")

    with serving(half) as server:
        outcome = cli("ask", QUESTION, "--llm", server.url)
    assert outcome.code == 2
    assert outcome.out == "The reset link is sent by email\n"
    assert "the answer is not whole" in outcome.err


def test_a_refusal_is_shown_and_is_no_answer(cli, home):
    def refuse(exchange):
        if exchange.path.endswith("models"):
            exchange.send(200, {"data": [{"id": "m"}]})
            return
        exchange.begin_events()
        exchange.event({"choices": [{"delta": {"refusal": "I cannot say."}}]})
        exchange.done()

    with serving(refuse) as server:
        outcome = cli("ask", QUESTION, "--llm", server.url)
        assert (outcome.code, outcome.out) == (1, "I cannot say.\n")
        assert "this is no answer: the model refused" in outcome.err
        answer = cli("ask", QUESTION, "--llm", server.url, "--json").json
    assert (answer["answer"], answer["abstained"]) == ("I cannot say.", False)
    assert [problem["kind"] for problem in answer["problems"]] == ["refusal"]
