"""Looking for better settings within a time, on playlists held back from the training ones.

The latest playlists are held back (the file's order is taken for the order of time), so what is
chosen is what foretells later playlists from earlier ones. Playlists for testing are never seen.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from embedsearch.errors import InputError
from embedsearch.songs import baselines
from embedsearch.songs.catalogue import Catalogue, Song
from embedsearch.songs.config import SongConfig
from embedsearch.songs.evaluation import Case, continuation_cases, measure_cases
from embedsearch.songs.recommender import SongRecommender
from embedsearch.songs.trials import Trial, Trials, TrialsFile
from embedsearch.text.words import counted
from embedsearch.types import SILENT, Progress

HELD_BACK = 0.12
"""Share of the playlists, the latest ones."""
MOST_CASES, MOST_BY_VECTORS = 200, 100
KEPT_BY_VECTORS = 0.9
"""Of what the vectors of the settings given find alone: the blend may gain by a training that
spoils them, but similar songs, texts and songs in no playlist live on them."""
LEAST_PLAYLISTS = 20
K = 10
_TRAINING: dict[str, tuple[Any, ...]] = {
    "alpha": (0.0075, 0.015, 0.03),
    "epochs": (10, 20, 40),
    "negative": (5, 10, 20),
    "ns_exponent": (-0.5, 0.0, 0.25),
    "sample": (0.0, 1e-4),
    "vector_size": (64, 128, 256),
    "window": (10, 50, 1000),
}
_RANKING: dict[str, tuple[Any, ...]] = {
    "regression_weight": (0.0, 0.25, 0.5, 1.0, 2.0),
    "vector_weight": (0.0, 0.25, 0.45, 1.0, 2.0, 4.0),
    "artist_weight": (0.0, 0.6, 1.2, 2.4),
    "freshness": (0.0, 0.35, 0.7, 1.4),
    "novelty": (0.0, 0.25, 0.5),
    "fame": (0.0, 0.01, 0.05),
    "debut_weight": (0.0, 0.15, 0.3, 0.6),
    "popularity_exponent": (0.0, 0.15, 0.3, 0.5),
    "sharpness": (1.0, 2.0, 3.0, 4.0),
    "penalty": (20.0, 50.0, 100.0, 200.0, 400.0),
    "recency": (0.0, 0.5, 1.0),
    "seed_exponent": (0.25, 0.5, 0.75),
    "length_exponent": (0.0, 0.5, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """`trials[0]` are the settings that were given, `chosen` the ones with the highest nDCG whose
    vectors alone are not much worse than theirs."""

    chosen: Trial
    trials: tuple[Trial, ...]
    training_playlists: int
    held_back: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """What was chosen, why, and all that was tried, by what differs from the first."""
        given = self.trials[0].config

        def shown(trial: Trial) -> dict[str, Any]:
            return {
                "changed": trial.changed(given),
                **trial.measures.as_json(),
                f"ndcg@{K}_by_vectors": trial.by_vectors,
                "seconds": trial.seconds,
            }

        return {
            "why": f"the highest nDCG@{K} of {len(self.trials)} settings on the continuation of "
            f"the latest {self.held_back} playlists, learned from the {self.training_playlists} "
            f"before them, where vectors alone keep {KEPT_BY_VECTORS} of theirs",
            "chosen": shown(self.chosen),
            "given": asdict(given),
            "seconds": self.seconds,
            "trials": [shown(trial) for trial in self.trials],
        }


def tune(
    playlists: Sequence[Sequence[str]],
    config: SongConfig,
    *,
    seconds: float,
    songs: Iterable[Song] | Catalogue = (),
    checkpoint: str | Path | None = None,
    progress: Progress = SILENT,
) -> Tuning:
    """Tries settings for about so many seconds; the ones given are tried however few they are.

    Trainings differ in one setting from the best so far, drawn at random with the config's seed;
    for each, the settings of the ranking are improved one by one. A training whose vectors alone
    find much less than those of the settings given is not taken, see `KEPT_BY_VECTORS`.

    Args:
        playlists: each of two songs or more, the latest last.
        songs: what is known of songs; their artists help to rank.
        checkpoint: a folder that takes the state after each epoch, and after each training what
            was tried. A later tuning with the same playlists, songs, settings and folder goes on
            from there; the seconds count what the trials took. It stays at the end: `remove_trials`
            takes it away.

    Raises InputError for too few playlists, and as `SongRecommender.fit` with the settings given;
    others with which it raises InputError are passed over.
    """
    began = time.perf_counter()
    if len(playlists) < LEAST_PLAYLISTS:
        raise InputError(f"tuning needs {LEAST_PLAYLISTS} playlists or more, not {len(playlists)}")
    known = songs if isinstance(songs, Catalogue) else Catalogue(songs)
    held = max(1, round(len(playlists) * HELD_BACK))
    earlier, later = playlists[:-held], playlists[-held:]
    saved = TrialsFile.of(checkpoint, playlists, known, config) if checkpoint else None
    tried = _restored(saved, progress) if saved else Trials()
    began -= tried.seconds
    best: Trial | None = None
    for number, change in enumerate(_trainings(config)):
        if number == len(tried.of_trainings):
            if best and time.perf_counter() - began + tried.longest > seconds:
                break
            settings = replace(best.config, **change) if best else config
            try:
                until, folder = began + seconds, saved.vectors if saved else None
                found, took = _train(earlier, later, settings, known, until, folder, progress)
            except InputError:
                if best is None:
                    raise
                found, took = (), 0.0
            tried = Trials(
                of_trainings=(*tried.of_trainings, found),
                seconds=time.perf_counter() - began,
                longest=max(tried.longest, took),
            )
            if saved:
                saved.save(tried)
        leader = max(tried.of_trainings[number], key=_ndcg, default=None)
        if leader is None:
            continue
        spoilt = leader.by_vectors < KEPT_BY_VECTORS * tried.of_trainings[0][0].by_vectors
        if best is None or (_ndcg(leader) > _ndcg(best) and not spoilt):
            best = leader
        progress.note(
            f"{change or 'as given'}: nDCG@{K} {_ndcg(leader):.4f}, of vectors alone "
            f"{leader.by_vectors:.4f}{' (too little)' if spoilt else ''}; best {_ndcg(best):.4f}"
        )
    assert best is not None
    return Tuning(
        chosen=best,
        trials=tuple(trial for found in tried.of_trainings for trial in found),
        training_playlists=len(earlier),
        held_back=len(later),
        seconds=time.perf_counter() - began,
    )


def _restored(saved: TrialsFile, progress: Progress) -> Trials:
    tried = saved.restore()
    if tried.of_trainings:
        count = counted(len(tried.of_trainings), "training")
        progress.note(f"going on after {count} of the tuning")
    elif saved.exists():
        progress.note(
            f"{saved.folder} is damaged, or of other playlists or other settings: from the "
            "beginning"
        )
    return tried


def _trainings(config: SongConfig) -> Iterator[dict[str, Any]]:
    """Nothing changed first; then each setting of the training once, at random."""
    yield {}
    changes = [
        {name: value}
        for name, values in _TRAINING.items()
        for value in values
        if value != getattr(config, name)
    ]
    random.Random(config.seed).shuffle(changes)  # noqa: S311 - not for secrets
    yield from changes


def _cases(fitted: SongRecommender, later: Sequence[Sequence[str]]) -> list[Case]:
    places = fitted.vectors.key_to_index
    lists = [[places[song] for song in each if song in places] for each in later]
    known = [each for each in lists if len(each) > 1]
    if not known:
        raise InputError("the latest playlists have no two songs that earlier ones have")
    step = -(-len(known) // MOST_CASES)
    return continuation_cases(known[::step])


def _train(
    earlier: Sequence[Sequence[str]],
    later: Sequence[Sequence[str]],
    settings: SongConfig,
    songs: Catalogue,
    until: float,
    checkpoint: Path | None,
    progress: Progress,
) -> tuple[tuple[Trial, ...], float]:
    """Trials with one training, and how many seconds the first took."""
    began = time.perf_counter()
    fitted = SongRecommender.fit(
        earlier, settings, songs=songs, checkpoint=checkpoint, progress=progress
    )
    cases = _cases(fitted, later)
    first = _trial(fitted, cases, settings, _by_vectors(fitted, cases))
    took = time.perf_counter() - began
    return _ranking(fitted, cases, first, until, progress), took


def _by_vectors(fitted: SongRecommender, cases: Sequence[Case]) -> float:
    some = cases[:: -(-len(cases) // MOST_BY_VECTORS)]
    return measure_cases(fitted.ranker, baselines.vectors_alone(fitted.ranker), some, K).ndcg


def _ranking(
    fitted: SongRecommender,
    cases: Sequence[Case],
    first: Trial,
    until: float,
    progress: Progress,
) -> tuple[Trial, ...]:
    """Trials of the ranking after the first, one setting after the other set to its best value."""
    found = [first]
    progress.start("ranking", None, "settings")
    for name, values in _RANKING.items():
        best = max(found, key=_ndcg).config
        for value in values:
            if value != getattr(best, name) and time.perf_counter() < until:
                settings = replace(best, **{name: value})
                found.append(_trial(fitted, cases, settings, first.by_vectors))
                progress.advance(1)
    return tuple(found)


def _trial(
    fitted: SongRecommender, cases: Sequence[Case], config: SongConfig, by_vectors: float
) -> Trial:
    began = time.perf_counter()
    ranker = fitted.ranker.with_config(config)
    measures = measure_cases(ranker, baselines.ours(ranker), cases, K)
    return Trial(
        config=config,
        measures=measures,
        by_vectors=by_vectors,
        seconds=time.perf_counter() - began,
    )


def _ndcg(trial: Trial) -> float:
    return trial.measures.ndcg
