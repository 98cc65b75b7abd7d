"""`train static` and the model that it makes, in use."""

import json

import pytest


def test_a_static_model_serves_everywhere(cli, tiny, home):
    made = cli(
        "train", "static", "--model", tiny, "--out", "fast", "--dims", "16", "docs", "--json"
    )
    assert made.code == 0, made.err
    assert made.json["output"] == "fast"
    assert (made.json["dims"], made.json["passages"] > 3) == (16, True)
    assert "skipped" in made.err  # docs/image.png

    assert cli("index", "docs", "--db", "other", "--model", "fast").code == 0
    hits = cli("search", "log in to my account", "--db", "other", "--mode", "semantic", "--json")
    assert hits.json[0]["document_id"].endswith("login.md")
    status = cli("status", "--db", "other", "--json").json
    assert status["fingerprint"] == made.json["fingerprint"]

    assert cli("reindex", "--model", "fast").code == 0
    assert cli("doctor").code == 0


def test_without_a_corpus(cli, tiny):
    made = cli("train", "static", "--model", tiny, "--out", "fast", "--sif", "1e-3", "--seed", "3")
    assert made.code == 0
    assert "32 dimensions, in" in made.out
    assert "passages" not in made.out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--dims", "0"), "dims must be"),
        (("--sif", "2"), "sif must be"),
        (("--passages", "0"), "passages must be"),
        (("--ridge", "0"), "ridge must be"),
        (("--model", "./nowhere"), "nowhere"),
        (("nowhere.txt",), "nowhere.txt"),
        (("empty.txt",), "no word"),
    ],
)
def test_bad_input(cli, tiny, tmp_path, arguments, part):
    (tmp_path / "empty.txt").write_text("")
    outcome = cli("train", "static", "--model", tiny, "--out", "fast", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert part in outcome.err.splitlines()[-1]
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "fast").exists()


def test_an_output_that_is_there(cli, tiny, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "config.json").write_text(json.dumps({}))
    outcome = cli("train", "static", "--model", tiny, "--out", "full")
    assert outcome.code == 2
    assert "is there already" in outcome.err


def test_titles_are_learned_from(cli, tiny, tmp_path):
    (tmp_path / "songs.jsonl").write_text('{"_id": "1", "title": "guitar", "text": ""}\n')
    assert cli("train", "static", "--model", tiny, "--out", "fast", "songs.jsonl").code == 0
