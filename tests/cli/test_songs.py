"""`train songs`, `recommend` and `evaluate songs`: JSON, exit codes, what a person reads."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from embedsearch.errors import StorageError
from tests.cli.test_commands import assert_error
from tests.songs.playlists import playlists, songs
from tests.support import write

KEYS = {"hit_rate@10", "recall@10", "ndcg@10", "coverage@10"}


@pytest.fixture
def trained(cli, tmp_path, tiny):
    write(tmp_path / "train.jsonl", "\n".join(map(json.dumps, playlists())))
    write(tmp_path / "test.jsonl", "\n".join(map(json.dumps, playlists(12, seed=1))))
    rows = "".join(f"{song.id} \t{song.title}\t{song.artist}\n" for song in songs())
    write(tmp_path / "song_hash.txt", rows + "new \tA piano dream\tThe piano players\n")
    outcome = cli(
        *("train", "songs", "train.jsonl", "--songs", "song_hash.txt", "--out", "my-songs"),
        *("--encoder", tiny, "--vector-size", 16, "--epochs", 30, "--workers", 1, "--json"),
    )
    assert outcome.code == 0
    return outcome


def test_train(trained, cli, tmp_path):
    assert trained.json["playlists"] == 90
    assert trained.json["songs"] == 36
    assert trained.json["titles"] == 36
    assert trained.json["tuning"] is None
    assert "epoch 30 of 30" in trained.err
    outcome = cli("train", "songs", "train.jsonl", "--out", "o", "--encoder", "none", "--epochs", 2)
    assert outcome.code == 0
    assert outcome.out.startswith("o: 36 songs of 90 playlists, 0 with a title")
    assert_error(cli("train", "songs", "train.jsonl", "--out", "o", "--tune", "soon"), "'soon'")
    assert_error(cli("train", "songs", "nowhere.txt", "--out", "o"), "nowhere.txt")


def test_recommend(trained, cli):
    outcome = cli("recommend", "--model", "my-songs", "rock-1", "rock tune 2", "-k", 4, "--json")
    assert outcome.code == 0
    assert [entry["rank"] for entry in outcome.json] == [1, 2, 3, 4]
    assert outcome.json[0].keys() == {"rank", "id", "title", "artist", "score"}
    assert all(entry["artist"] == "The rock players" for entry in outcome.json)
    outcome = cli("recommend", "--model", "my-songs", "rock tune 2", "-k", 2, "--why")
    assert "'rock tune 2' is rock-2 (rock tune 2 — The rock players)" in outcome.err
    assert outcome.out.count("from rock tune 2 — The rock players 100%; together in playlists") == 2
    outcome = cli("recommend", "--model", "my-songs", "rock-1", "-k", 1, "--why", "--json")
    assert outcome.json[0]["why"]["seeds"] == [["rock-1", 1.0]]
    lines = Path("train.jsonl").read_text().splitlines()
    for shared in outcome.json[0]["why"]["playlists"]:
        inside = json.loads(lines[int(shared["name"]) - 1])
        assert {"rock-1", outcome.json[0]["id"]} <= set(inside)
    outcome = cli("recommend", "--model", "my-songs", "new", "--diversity", 0.2, "--json")
    assert outcome.json[0]["artist"] == "The piano players"
    outcome = cli("recommend", "--model", "my-songs", "--text", "soft piano", "--json")
    assert len(outcome.json) == 10
    beside = ("rock-1", "--text", "soft piano", "--exclude", "rock-2", "-k", 20, "--why")
    outcome = cli("recommend", "--model", "my-songs", *beside, "--json")
    reasons = [entry["why"] for entry in outcome.json]
    assert max(reason["text"] for reason in reasons) > 0.5
    assert all(reason["text"] + reason["seeds"][0][1] == pytest.approx(1) for reason in reasons)
    outcome = cli("recommend", "--model", "my-songs", *beside)
    assert f"%, the text {reasons[0]['text']:.0%}" in outcome.out


def test_recommend_wrongly(trained, cli):
    assert_error(cli("recommend", "--model", "my-songs"), "at least one song")
    assert_error(cli("recommend", "--model", "my-songs", "rock-99"), "near it")
    assert_error(cli("recommend", "--model", "my-songs", "--text", "x", "--why"), "give songs")
    assert_error(cli("recommend", "--model", "nowhere", "rock-1"), "train songs")
    assert_error(cli("recommend", "--model", "my-songs", "the rock players"), "by id")


def test_nothing_is_measured_without_the_package(trained, cli, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "implicit", None)
    arguments = ("evaluate", "songs", "my-songs", "test.jsonl", "--only", "als")
    outcome = cli(*arguments, "--picture", "x.svg")
    assert (outcome.code, outcome.out) == (1, "")
    assert "embedsearch[baselines]" in outcome.err
    assert not (tmp_path / "x.svg").exists()
    outcome = cli(*arguments, "--json")
    assert (outcome.code, outcome.json) == (1, {})


def test_evaluate(trained, cli, tmp_path):
    names = ("embedsearch", "word2vec", "popularity", "item_knn")
    only = [word for name in names for word in ("--only", name)]
    outcome = cli("evaluate", "songs", "my-songs", "test.jsonl", *only, "--json")
    assert outcome.code == 0
    assert tuple(outcome.json) == names
    assert all(entry.keys() >= KEYS for entry in outcome.json.values())
    assert outcome.json["embedsearch"]["hit_rate@10"] == 1.0
    outcome = cli(
        "evaluate", "songs", "my-songs", "test.jsonl", *only, "-k", 5, "--picture", "bars.svg"
    )
    assert "second half from the first" in outcome.out
    assert "item_knn" in outcome.out
    drawn = (tmp_path / "bars.svg").read_text()
    assert drawn.startswith("<svg")
    assert drawn.count("<rect") == 1 + 7 * len(names)
    outcome = cli(
        "evaluate", "songs", "my-songs", "test.jsonl", "--only", "popularity", "--picture", "x.SVG"
    )
    assert outcome.code == 0
    assert (tmp_path / "x.SVG").read_text().startswith("<svg")
    outcome = cli("evaluate", "songs", "my-songs", "test.jsonl", "-k", 10**11)
    assert_error(outcome, "k must be", str(10**11))
    assert_error(cli("evaluate", "songs", "my-songs", "test.jsonl", "--only", "magic"), "magic")


@pytest.mark.parametrize("picture", ["bars.png", "bars", "nowhere/bars.svg", "folder.svg"])
def test_a_picture_that_cannot_be_is_told_before_measuring(
    trained, cli, tmp_path, monkeypatch, picture
):
    monkeypatch.setattr("embedsearch.cli.songs.evaluate_songs", None)
    (tmp_path / "folder.svg").mkdir()
    outcome = cli("evaluate", "songs", "my-songs", "test.jsonl", "--picture", picture)
    assert_error(outcome, picture)


def test_a_picture_where_nothing_may_be_written(trained, cli, tmp_path, monkeypatch):
    monkeypatch.setattr("embedsearch.cli.songs.evaluate_songs", None)
    system = SimpleNamespace(W_OK=os.W_OK, strerror=os.strerror, access=lambda path, mode: False)
    monkeypatch.setattr("embedsearch.songs.plot.os", system)
    outcome = cli("evaluate", "songs", "my-songs", "test.jsonl", "--picture", "bars.svg")
    assert_error(outcome, "bars.svg: Permission denied")


def test_results_are_printed_where_the_picture_fails_at_last(trained, cli, monkeypatch):
    def fail(*arguments):
        raise StorageError("cannot write bars.svg")

    monkeypatch.setattr("embedsearch.cli.songs.draw_comparison", fail)
    outcome = cli(
        *("evaluate", "songs", "my-songs", "test.jsonl", "--only", "popularity"),
        *("--picture", "bars.svg", "--json"),
    )
    assert outcome.code == 2
    assert outcome.json["popularity"].keys() >= KEYS
    assert "cannot write bars.svg" in outcome.err


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_a_name_is_taken_for_is_told(trained, cli, options):
    outcome = cli(
        *("recommend", "--model", "my-songs", "rock tune 2", "--exclude", "tune jazs 3"),
        *("-k", 3, *options),
    )
    assert outcome.code == 0
    assert outcome.err.splitlines() == [
        "'rock tune 2' is rock-2 (rock tune 2 — The rock players)",
        "'tune jazs 3' is jazz-3 (jazz tune 3 — The jazz players)",
    ]
    assert "tune jazs" not in outcome.out


def test_an_id_that_is_the_title_of_another_song(cli, tmp_path):
    lists = [["1950", "17", "2"], ["2", "1950"], ["17", "2"]]
    write(tmp_path / "train.jsonl", "\n".join(map(json.dumps, lists)))
    rows = ["1950\tHalo\tBeyoncé", "17\t1950\tKing Princess", "2\tYesterday\tThe Beatles"]
    write(tmp_path / "known.txt", "\n".join(rows))
    cli(
        *("train", "songs", "train.jsonl", "--songs", "known.txt", "--out", "m"),
        *("--encoder", "none", "--epochs", 1),
    )
    for options in ((), ("--json",)):
        outcome = cli("recommend", "--model", "m", "1950", *options)
        assert outcome.err.splitlines() == [
            "'1950' is 1950 (Halo — Beyoncé)",
            "'1950' is a title as well, type the id to mean that song: 17 (1950 — King Princess)",
        ]
    assert cli("recommend", "--model", "m", "2").err == "'2' is 2 (Yesterday — The Beatles)\n"


def test_songs_of_other_playlists_are_told_at_once(cli, tmp_path, tiny):
    write(tmp_path / "train.jsonl", "\n".join(map(json.dumps, playlists())))
    write(tmp_path / "known.txt", "17\tHalo\tBeyoncé\n")
    outcome = cli(
        *("train", "songs", "train.jsonl", "--songs", "known.txt", "--out", "m", "--encoder", tiny)
    )
    assert_error(outcome, "none of the playlists' songs is in known.txt", "'17'")
    assert not (tmp_path / "m").exists()


def test_the_example_of_the_help_finds_songs(cli, tmp_path):
    """With the playlists that come with the project."""
    sample = Path(__file__).parents[2] / "data" / "songs"
    cli(
        *("train", "songs", sample / "train.txt", "--songs", sample / "song_hash.txt"),
        *("--out", "my-songs", "--encoder", "none", "--epochs", 1),
    )
    told = " ".join(cli("recommend", "--help").out.replace("│", " ").split())
    example = re.search(r"Example: embedsearch (recommend .*? --why)", told)
    assert example is not None
    outcome = cli(*shlex.split(example[1]))
    assert outcome.code == 0
    assert len(re.findall(r"^ *\d\. ", outcome.out, re.MULTILINE)) == 5
