"""The comparison of recommenders and the tuner."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from embedsearch.errors import InputError, StorageError
from embedsearch.songs import SongRecommender, evaluate_songs, read_playlists, tuning
from embedsearch.songs.baselines import item_knn, popularity
from embedsearch.songs.cooccurrence import Cooccurrence
from embedsearch.songs.evaluation import NAMES, continuation_cases, next_song_cases
from embedsearch.songs.measures import measure
from embedsearch.songs.training import train_songs
from embedsearch.songs.trials import remove_trials
from embedsearch.songs.tuning import tune
from tests.fake_encoder import FakeEncoder
from tests.songs.playlists import SMALL, playlists, songs

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


class Stops:
    """Progress that remembers, of work that is interrupted in the training after so many: at the
    remark on its epoch, or as it begins."""

    def __init__(self, trainings=1000, epoch=""):
        self.left, self.epoch, self.notes = trainings, epoch, []

    def start(self, description, total, unit):
        self.left -= description == "training"

    def advance(self, amount):
        if self.left < 0 and not self.epoch:
            raise KeyboardInterrupt

    def note(self, message):
        if self.left < 0 and self.epoch and message.startswith(self.epoch):
            raise KeyboardInterrupt
        self.notes.append(message)


def _begun(notes):
    """The notes on trainings as a whole, not those on epochs."""
    return [note for note in notes if not note.startswith("epoch")]


@pytest.mark.parametrize("seconds", [0.0, 60.0, 200.0])
def test_tuning_stops_when_the_time_is_up(clock, seconds):
    found = tune(playlists(), replace(SMALL, epochs=1), seconds=seconds)
    assert found.trials[0].config == replace(SMALL, epochs=1)
    assert (len(found.trials) == 1) == (seconds == 0)
    assert seconds - 10 < found.seconds < seconds + 60


def test_a_tuning_tells_every_trial(clock):
    class Counts(Stops):
        ranked, stage = 0, ""

        def start(self, description, total, unit):
            self.stage = description

        def advance(self, amount):
            self.ranked += amount * (self.stage == "ranking")

    told = Counts()
    found = tune(playlists(), replace(SMALL, epochs=1), seconds=100.0, progress=told)
    assert told.ranked == len(found.trials) - len(_begun(told.notes)) > 0


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


def test_vectors_are_not_spoilt_for_the_blend(clock, monkeypatch):
    """A training that teaches the vectors nothing, where the blend does best with it."""
    trial = tuning._trial

    def praised(fitted, cases, config, by_vectors):
        found = trial(fitted, cases, config, by_vectors)
        return replace(found, measures=replace(found.measures, ndcg=1 - config.alpha))

    monkeypatch.setattr(tuning, "_TRAINING", {"alpha": (1e-9,)})
    monkeypatch.setattr(tuning, "_trial", praised)
    for kept, alpha in ((0.9, SMALL.alpha), (0.0, 1e-9)):
        monkeypatch.setattr(tuning, "KEPT_BY_VECTORS", kept)
        told = Stops()
        found = tune(playlists(), SMALL, seconds=1e5, progress=told)
        assert found.chosen.config.alpha == alpha
        assert ("(too little)" in told.notes[-1]) == (kept > 0)
        given, *_, spoilt = (each["ndcg@10_by_vectors"] for each in found.as_json()["trials"])
        assert spoilt < 0.9 * given


def test_an_interrupted_tuning_goes_on_after_its_last_training(tmp_path, clock):
    """As if nothing had happened: the clock tells the same, for nothing is done meanwhile."""
    config, whole = replace(SMALL, epochs=2, deterministic=True), Stops()
    expected = tune(playlists(), config, seconds=400.0, progress=whole)
    assert len(_begun(whole.notes)) > 3
    with pytest.raises(KeyboardInterrupt):
        tune(
            *(playlists(), config),
            seconds=400.0,
            checkpoint=tmp_path,
            progress=Stops(2, epoch="epoch 2 "),
        )
    told, config = Stops(), replace(config, workers=2)
    found = tune(playlists(), config, seconds=400.0, checkpoint=tmp_path, progress=told)
    assert _begun(told.notes) == [
        "going on after 2 trainings of the tuning",
        *_begun(whole.notes)[:2],
        f"going on after epoch 1 of {expected.trials[-1].config.epochs}",
        *_begun(whole.notes)[2:],
    ]
    assert found.as_json()["trials"] == expected.as_json()["trials"]
    assert {trial.config.workers for trial in found.trials} == {2}
    again = tune(playlists(), config, seconds=400.0, checkpoint=tmp_path, progress=Stops(0))
    assert (again.chosen, again.trials) == (found.chosen, found.trials)
    remove_trials(tmp_path)
    assert not tmp_path.exists()


@pytest.mark.parametrize("error", [InputError, StorageError])
def test_settings_that_burst_are_passed_over_but_no_full_disk(tmp_path, clock, monkeypatch, error):
    monkeypatch.setattr(
        "embedsearch.songs.tuning._TRAINING", {"alpha": (0.9,), "negative": (6,), "window": (9,)}
    )
    fit, config = SongRecommender.fit, replace(SMALL, epochs=1, deterministic=True)

    def refusing(lists, settings, **options):
        if settings.alpha == 0.9:
            raise error("here")
        return fit(lists, settings, **options)

    def run(told):
        return tune(playlists(), config, seconds=1e5, checkpoint=tmp_path, progress=told)

    monkeypatch.setattr(SongRecommender, "fit", refusing)
    if error is StorageError:
        with pytest.raises(StorageError, match="here"):
            run(Stops())
        monkeypatch.setattr(SongRecommender, "fit", fit)
    told = Stops()
    found = run(told)
    tried = {(each.config.alpha, each.config.negative, each.config.window) for each in found.trials}
    assert any(alpha == 0.9 for alpha, _, _ in tried) == (error is StorageError)
    told = Stops()
    assert run(told).trials == found.trials
    assert told.notes[0] == "going on after 4 trainings of the tuning"


@pytest.mark.parametrize("change", ["playlists", "songs", "settings", "damage"])
def test_the_checkpoint_of_another_tuning_is_not_taken(tmp_path, clock, change):
    lists, known, config = playlists(), songs(), replace(SMALL, epochs=1)
    tune(lists, config, seconds=0.0, songs=known, checkpoint=tmp_path)
    if change == "playlists":
        lists = playlists(seed=1)
    elif change == "songs":
        known = [replace(song, artist="Others") for song in known]
    elif change == "settings":
        config = replace(config, sharpness=2.0)
    else:
        (tmp_path / "state.json").write_text("{")
    told = Stops()
    tune(lists, config, seconds=0.0, songs=known, checkpoint=tmp_path, progress=told)
    assert _begun(told.notes)[0].endswith("or other settings: from the beginning")
    assert any(note.startswith("epoch 1") for note in told.notes)
    told = Stops()
    tune(lists, config, seconds=0.0, songs=known, checkpoint=tmp_path, progress=told)
    assert told.notes[0] == "going on after 1 training of the tuning"


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


def test_what_was_chosen_before_an_interruption_is_trained(tmp_path, clock):
    lists, config = tmp_path / "lists.jsonl", replace(SMALL, epochs=2, deterministic=True)
    lists.write_text("\n".join(map(json.dumps, playlists())))
    whole = Stops()
    train_songs(lists, tmp_path / "whole", config, tune_seconds=300.0, progress=whole)
    tried = len(_begun(whole.notes))
    assert 1000 - whole.left == tried + 1
    with pytest.raises(KeyboardInterrupt):
        train_songs(lists, tmp_path / "out", config, tune_seconds=300.0, progress=Stops(tried))
    told = Stops()
    train_songs(lists, tmp_path / "out", config, tune_seconds=300.0, progress=told)
    assert told.notes[0] == f"going on after {tried} trainings of the tuning"
    assert told.left == 999
    found, expected = (
        json.loads((tmp_path / name / "tuning.json").read_text()) for name in ("out", "whole")
    )
    assert (found["trials"], found["chosen"]) == (expected["trials"], expected["chosen"])
    assert found["chosen"]["changed"]
    np.testing.assert_array_equal(
        *(SongRecommender.load(tmp_path / name).vectors.output for name in ("out", "whole"))
    )
    assert not (tmp_path / "out" / "checkpoint").exists()


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
