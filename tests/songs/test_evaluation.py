"""The comparison of recommenders and the tuner."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from embedsearch.errors import InputError
from embedsearch.songs import SongRecommender, evaluate_songs, read_playlists
from embedsearch.songs.baselines import item_knn, popularity
from embedsearch.songs.cooccurrence import Cooccurrence
from embedsearch.songs.evaluation import NAMES, continuation_cases, next_song_cases
from embedsearch.songs.measures import measure
from embedsearch.songs.training import train_songs
from embedsearch.songs.tuning import tune
from tests.fake_encoder import FakeEncoder
from tests.songs.playlists import SMALL, playlists

LATER = playlists(12, seed=1)
KEYS = {"hit_rate@10", "recall@10", "ndcg@10", "mrr@10", "coverage@10"}


@pytest.fixture(scope="module")
def recommender():
    return SongRecommender.fit(playlists(), SMALL)


def test_the_halves():
    (odd, even) = continuation_cases([[1, 2, 3], [4, 5, 6, 7]])
    assert (odd.seeds, odd.wanted) == ((1,), frozenset({2, 3}))
    assert (even.seeds, even.wanted) == ((4, 5), frozenset({6, 7}))
    (case,) = next_song_cases([[1, 2, 3]])
    assert (case.seeds, case.wanted) == ((1, 2), frozenset({3}))


def test_recommenders_beat_popularity(recommender):
    names = ("embedsearch", "word2vec", "popularity", "item_knn")
    lists = [*LATER, ["rock-1", "never seen"], ["x", "y"]]
    found = evaluate_songs(recommender, lists, names=names)
    assert (found.playlists, found.unknown) == (12, 3)
    assert tuple(found.results) == names
    for name in ("embedsearch", "word2vec", "item_knn"):
        measures = found.results[name].continuation
        assert measures.hit_rate == 1.0
        assert measures.ndcg > 2 * found.results["popularity"].continuation.ndcg
    entry = found.as_json()["embedsearch"]
    assert entry.keys() >= KEYS
    assert entry["next_song"].keys() >= KEYS


@pytest.mark.parametrize("package", [True, False])
def test_als_and_bpr(recommender, package, monkeypatch):
    if package:
        pytest.importorskip("implicit", reason="implicit is not installed")
    else:
        monkeypatch.setitem(sys.modules, "implicit", None)
    found = evaluate_songs(recommender, LATER, names=("als", "bpr"))
    if package:
        assert min(each.continuation.hit_rate for each in found.results.values()) > 0.9
    else:
        assert found.results == {}
        assert set(found.missing) == {"als", "bpr"}
        assert "embedsearch[baselines]" in found.missing["als"]


@pytest.mark.parametrize(
    ("lists", "options", "part"),
    [
        (LATER, {"names": ["magic"]}, "magic"),
        (LATER, {"k": 0}, "k must be"),
        (LATER, {"k": 10_001}, "from 1 to 10000, not 10001"),
        (LATER, {"k": 10**20}, "k must be"),
        ([["x", "y"], ["rock-1", "z"]], {}, "no playlist has two songs"),
        ([], {}, "no playlist has two songs"),
    ],
)
def test_wrong_use(recommender, lists, options, part):
    with pytest.raises(InputError, match=part):
        evaluate_songs(recommender, lists, **options)


def test_names_are_those_of_the_results():
    assert NAMES == ("embedsearch", "word2vec", "popularity", "item_knn", "als", "bpr")


@pytest.fixture
def clock(monkeypatch):
    """A clock for the tuner that is a second later whenever it is looked at."""
    monkeypatch.setattr(
        "embedsearch.songs.tuning.time", SimpleNamespace(perf_counter=count().__next__)
    )


@pytest.mark.parametrize("seconds", [0.0, 60.0, 200.0])
def test_tuning_stops_when_the_time_is_up(clock, seconds):
    found = tune(playlists(), replace(SMALL, epochs=1), seconds=seconds)
    assert found.trials[0].config == replace(SMALL, epochs=1)
    assert (len(found.trials) == 1) == (seconds == 0)
    assert seconds - 10 < found.seconds < seconds + 60


def test_tuning_keeps_to_the_training(clock):
    lists = [tuple(each) for each in playlists()]
    config = replace(SMALL, epochs=3, vector_weight=0.5)
    found = tune(lists, config, seconds=150.0)
    assert (found.training_playlists, found.held_back) == (79, 11)
    assert found.trials[0].config == config
    best = max(trial.measures.ndcg for trial in found.trials)
    assert found.chosen.measures.ndcg == best
    assert len(found.trials) > 5
    told = json.loads(json.dumps(found.as_json()))
    assert told["trials"][0]["changed"] == {}
    assert told["chosen"]["ndcg@10"] == best
    assert "latest 11 playlists" in told["why"]
    with pytest.raises(InputError, match="20 playlists"):
        tune(lists[:10], config, seconds=1.0)


def test_files_to_folder(tmp_path, clock):
    (tmp_path / "lists.jsonl").write_text("\n".join(map(json.dumps, playlists())))
    report = train_songs(tmp_path / "lists.jsonl", tmp_path / "out", SMALL, tune_seconds=150.0)
    assert (report.playlists, report.songs, report.titles) == (90, 36, 0)
    tuning = json.loads((tmp_path / "out" / "tuning.json").read_text())
    assert tuning == json.loads(json.dumps(report.tuning))
    loaded = SongRecommender.load(tmp_path / "out")
    assert loaded.config == replace(SMALL, **tuning["chosen"]["changed"])
    train_songs(tmp_path / "lists.jsonl", tmp_path / "out", SMALL)
    assert not (tmp_path / "out" / "tuning.json").exists()
    with pytest.raises(InputError, match="is a file"):
        train_songs(tmp_path / "lists.jsonl", tmp_path / "lists.jsonl", SMALL)
    with pytest.raises(InputError, match="give the file of songs"):
        train_songs(tmp_path / "lists.jsonl", tmp_path / "o", SMALL, tags=tmp_path / "t")


class NotYet(FakeEncoder):
    def encode_document(self, texts):
        raise AssertionError("it was trained")


@pytest.mark.parametrize("encoder", [None, NotYet()])
def test_songs_of_other_playlists(tmp_path, encoder):
    lists, known = tmp_path / "lists.jsonl", tmp_path / "known.txt"
    lists.write_text("\n".join(map(json.dumps, playlists())))
    known.write_text("17 \tHalo\tBeyoncé\n18 \tYesterday\tThe Beatles\n")
    with pytest.raises(InputError) as raised:
        train_songs(lists, tmp_path / "out", SMALL, songs=known, encoder=encoder)
    for part in ("known.txt", "'17'", repr(playlists()[0][0])):
        assert part in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_titles_are_counted_of_songs_that_were_learned(tmp_path):
    """Not those of songs in no playlist, nor songs without a title, nor those too rare."""
    lists, known = tmp_path / "lists.jsonl", tmp_path / "known.txt"
    lists.write_text("\n".join(map(json.dumps, [*playlists(), ["rare", "rock-1"]])))
    known.write_text(
        "rock-1 \tHalo\tBeyoncé\nrock-2 \t\tBeyoncé\nnew \tNew\tBeyoncé\nrare \tRare\tBeyoncé\n"
    )
    config = replace(SMALL, epochs=1, min_count=2)
    assert train_songs(lists, tmp_path / "out", config, songs=known).titles == 1


def test_no_titles_of_what_is_learned_need_no_encoder(tmp_path):
    lists, known = tmp_path / "lists.jsonl", tmp_path / "known.txt"
    lists.write_text("\n".join(map(json.dumps, [*playlists(), ["rare", "rock-1"]])))
    known.write_text("rock-1 \t\t-\nnew \tNew\tBeyoncé\nrare \tRare\tBeyoncé\n")
    config = replace(SMALL, epochs=1, min_count=2)
    report = train_songs(lists, tmp_path / "out", config, songs=known, encoder=NotYet())
    assert report.titles == 0
    assert SongRecommender.load(tmp_path / "out").text_map is None


@pytest.mark.data
def test_baselines_on_the_public_playlists(public_set):
    """The protocol of the figures in the guide."""
    folder = public_set("playlists")
    train = read_playlists(folder / "train.txt.gz")
    test = read_playlists(folder / "test.txt.gz")
    together = Cooccurrence.of([[int(song) for song in each] for each in train], 52_433)
    cases = continuation_cases([int(song) for song in each] for each in test)
    expected = {popularity: (0.1579, 0.0187), item_knn: (0.8971, 0.3347)}
    for recommender, (hit_rate, ndcg) in expected.items():
        recommend = recommender(together)
        found = [recommend(case.seeds, 10).tolist() for case in cases]
        units = np.zeros((52_433, 1), np.float32)
        counts = together.frequencies.astype(np.int64)
        result = measure(found, [case.wanted for case in cases], 10, counts, units)
        assert result.hit_rate == pytest.approx(hit_rate, abs=0.005)
        assert result.ndcg == pytest.approx(ndcg, abs=0.003)
