"""`questions` as it is typed."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_commands import assert_error
from tests.generation.rude_server import serving
from tests.generation.tiny import make_tiny_lm


def asks(exchange):
    """Two questions in the first words of the passage that was shown."""
    passage = exchange.body["messages"][-1]["content"].removeprefix("<passage>\n")
    words = " ".join(passage.split()[:6])
    exchange.begin_events()
    exchange.pieces("1. what about ", f"{words}\n2. {words} explained")
    exchange.done()


def models(exchange):
    exchange.send(200, {"data": [{"id": "small", "max_model_len": 4096}]})


def test_questions_of_a_server(cli, home):
    with serving(models, asks) as server:
        outcome = cli("questions", "--llm", server.url, "--out", "questions.jsonl", "--json")
    assert outcome.code == 0
    report = outcome.json
    assert report.keys() == {"path", "passages", "kept", "before", "dropped"}
    lines = [json.loads(line) for line in (home / "questions.jsonl").read_text().splitlines()]
    assert report["kept"] == len(lines) > 0
    assert sum(report["dropped"].values()) + report["kept"] == 2 * report["passages"]
    ids = {document["_id"] for document in cli("export", "--json").json}
    assert {line["id"] for line in lines} <= ids
    with serving(models, asks) as server:
        shown = cli("questions", "--llm", server.url, "--out", "questions.jsonl")
    assert shown.code == 0
    assert f"0 questions written, {len(lines)} before" in shown.out
    assert "`embedsearch train encoder questions.jsonl --db " in shown.err


def test_judged_questions_are_avoided(cli, home):
    with serving(models, asks) as server:
        cli("questions", "--llm", server.url, "--out", "questions.jsonl")
        [first, *_] = (home / "questions.jsonl").read_text().splitlines()
        asked = json.loads(first)
        (home / "judged/qrels").mkdir(parents=True)
        query = json.dumps({"_id": "q", "text": asked["anchor"].upper()})
        (home / "judged/queries.jsonl").write_text(query)
        (home / "judged/qrels/test.tsv").write_text(f"q\t{asked['id']}\t1\n")
    arguments = ("questions", "--out", "others.jsonl", "--avoid", "judged", "--max-rank", 0)
    with serving(models, asks) as server:
        drawn = ("--temperature", 0.5, "--max-new-tokens", 300)
        outcome = cli(*arguments, *drawn, "--llm", server.url, "--json")
    body = server.asked[-1].body
    assert (body["temperature"], body["max_tokens"]) == (0.5, 300)
    assert outcome.json["dropped"]["avoided"] == 1
    assert asked["anchor"] not in (home / "others.jsonl").read_text()


def test_questions_of_a_model_on_this_machine(cli, home, tmp_path):
    llm = make_tiny_lm(tmp_path / "llm", context=4096)
    asked = ("questions", "--llm", llm, "--passages", 1, "--json")
    first = cli(*asked, "--out", "first.jsonl")
    assert (first.code, first.json["passages"]) == (0, 1)
    assert cli(*asked, "--out", "same.jsonl").json["kept"] == first.json["kept"]
    assert (home / "same.jsonl").read_text() == (home / "first.jsonl").read_text()


def test_a_model_that_asks_nothing(cli, home):
    def silent(exchange):
        exchange.begin_events()
        exchange.pieces("Here are the questions:\n---\n")
        exchange.done()

    with serving(models, silent) as server:
        outcome = cli("questions", "--llm", server.url, "--out", "questions.jsonl")
    assert outcome.code == 1
    assert "0 questions written" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--llm", "none"), "questions need a language model"),
        (("--llm", "./nowhere"), "nowhere"),
        (("--llm", "none", "--per-passage", 0), "per_passage"),
        (("--llm", "none", "--avoid", "nowhere"), "nowhere"),
        (("--llm", "none", "--db", "nowhere"), "nowhere"),
    ],
)
def test_questions_that_cannot_be(cli, home, arguments, told):
    assert_error(cli("questions", "--out", "questions.jsonl", *arguments), told)
    assert not (home / "questions.jsonl").exists()
