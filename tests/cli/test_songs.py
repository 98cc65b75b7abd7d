"""`train songs`, `recommend` and `evaluate songs`: JSON, exit codes, what a person reads."""

from __future__ import annotations

import json

import pytest

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
    outcome = cli("recommend", "--model", "my-songs", "new", "--diversity", 0.2, "--json")
    assert outcome.json[0]["artist"] == "The piano players"
    outcome = cli("recommend", "--model", "my-songs", "--text", "soft piano", "--json")
    assert len(outcome.json) == 10


def test_recommend_wrongly(trained, cli):
    assert_error(cli("recommend", "--model", "my-songs"), "at least one song")
    assert_error(cli("recommend", "--model", "my-songs", "rock-99"), "near it")
    assert_error(cli("recommend", "--model", "my-songs", "--text", "x", "--why"), "give songs")
    assert_error(cli("recommend", "--model", "nowhere", "rock-1"), "train songs")
    assert_error(cli("recommend", "--model", "my-songs", "the rock players"), "by id")


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
    outcome = cli("evaluate", "songs", "my-songs", "test.jsonl", *only, "--picture", "bars.png")
    assert_error(outcome, "bars.png")
    assert_error(cli("evaluate", "songs", "my-songs", "test.jsonl", "--only", "magic"), "magic")
