"""`train word2vec`, `words` and `evaluate words`: JSON, exit codes, what a person reads."""

from __future__ import annotations

import pytest

from tests.cli.test_commands import assert_error
from tests.support import write
from tests.word2vec.texts import sentences


@pytest.fixture
def trained(cli, tmp_path):
    write(tmp_path / "text.txt", "\n".join(" ".join(sentence) for sentence in sentences(1500)))
    outcome = cli(
        *("train", "word2vec", "text.txt", "--out", "words", "--vector-size", 16),
        *("--epochs", 6, "--min-count", 2, "--sample", 0, "--json"),
    )
    assert outcome.code == 0
    return outcome


def test_train(trained, cli, tmp_path):
    assert trained.json["vocabulary"] > 20
    assert trained.json["words"] == 7500
    assert len(trained.json["losses"]) == 6
    assert "epoch 6 of 6: loss" in trained.err
    assert (tmp_path / "words" / "modules.json").is_file()
    outcome = cli(
        "train", "word2vec", "text.txt", "--out", "more", "--from", "words", "--epochs", 1
    )
    assert_error(outcome, "vector_size=16")
    outcome = cli(
        *("train", "word2vec", "text.txt", "--out", "more", "--from", "words"),
        *("--epochs", 1, "--vector-size", 16),
    )
    assert outcome.code == 0
    assert outcome.out.startswith("more: ")


def test_words(trained, cli):
    outcome = cli("words", "words", "cat + dog", "-k", 3, "--json")
    assert outcome.code == 0
    assert [set(each) for each in outcome.json] == [{"word", "score"}] * 3
    scores = [each["score"] for each in outcome.json]
    assert scores == sorted(scores, reverse=True)
    outcome = cli("words", "words", "cat + dog", "-k", 3)
    assert len(outcome.out.splitlines()) == 3


def test_words_as_a_picture(trained, cli, tmp_path):
    outcome = cli("words", "words", "--picture", "map.html", "-k", 15, "--json")
    assert outcome.code == 0
    assert len(outcome.json) == 15
    assert (tmp_path / "map.html").is_file()
    assert "15 words drawn" in outcome.err


def test_evaluate(trained, cli, tmp_path):
    write(tmp_path / "analogies.txt", ": nouns\ncat dog iron gold\ncat dog x y\n")
    write(tmp_path / "pairs.txt", "cat dog 9\ncat gold 1\ntea milk 8\n")
    outcome = cli("evaluate", "words", "words", "analogies.txt", "pairs.txt", "--json")
    assert outcome.code == 0
    assert outcome.json["analogies"].keys() >= {"accuracy", "questions", "covered"}
    assert outcome.json["similarity"]["pairs"].keys() == {"spearman", "pairs", "covered"}
    outcome = cli("evaluate", "words", "words", "analogies.txt", "pairs.txt")
    assert "nouns" in outcome.out
    assert "pairs" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["words", "words", "catt"], ["'catt'", "near it: cat"]),
        (["words", "words"], ["king - man + woman"]),
        (["words", "words", "cat - cat"], ["nothing is near"]),
        (["words", "words", "cat", "-k", "0"], ["-k must be at least 1"]),
        (["words", "words", "--picture", "map.html", "-k", "-3"], ["-k must be at least 1"]),
        (["words", "w" * 300, "cat"], ["File name too long"]),
        (["evaluate", "words", "words", "w" * 300], ["File name too long"]),
        (["train", "word2vec", "text.txt", "--out", "w" * 300], ["too long"]),
        (["train", "word2vec", "text.txt", "--out", "text.txt/x"], ["Not a directory"]),
        (["words", "words", "cat dog"], ["king - man + woman"]),
        (["words", "none", "cat"], ["none", "train word2vec"]),
        (["words", "words", "cat", "--picture", "map.gif"], ["map.gif"]),
        (["evaluate", "words", "words", "none.txt"], ["none.txt"]),
        (["train", "word2vec", "none.txt", "--out", "x"], ["none.txt"]),
        (["train", "word2vec", "text.txt", "--out", "x", "--window", "0"], ["window"]),
        (["train", "word2vec", "text.txt", "--out", "x", "--min-count", "99999"], ["min_count"]),
        (["train", "word2vec", "text.txt", "--out", "text.txt"], ["--out"]),
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_line(trained, cli, arguments, parts):
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    last = outcome.err.splitlines()[-1]
    assert last.startswith("embedsearch: ")
    assert all(part in last for part in parts)
