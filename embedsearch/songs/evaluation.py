"""Comparing recommenders on playlists that they have not seen: continuation and the next song."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from embedsearch.errors import DependencyError, InputError
from embedsearch.songs import baselines
from embedsearch.songs.measures import Measures, measure
from embedsearch.songs.playlists import collect
from embedsearch.songs.ranking import Ranker
from embedsearch.songs.recommender import MAX_K, SongRecommender
from embedsearch.types import SILENT, Progress

if TYPE_CHECKING:
    from embedsearch.songs.baselines import Recommend

NAMES = ("embedsearch", "word2vec", "popularity", "item_knn", "als", "bpr")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A question: these seeds, in order, are to lead to these songs. All are rows."""

    seeds: tuple[int, ...]
    wanted: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Result:
    """How one recommender did; `seconds` is what preparing and answering took."""

    continuation: Measures
    next_song: Measures
    seconds: float


@dataclass(frozen=True, kw_only=True)
class SongsEvaluation:
    """Results by recommender; `missing` says why some are not there.

    `unknown` counts songs of the test playlists that are in no training playlist: they were left
    out, as playlists were that are shorter than two songs without them.
    """

    results: dict[str, Result]
    missing: dict[str, str] = field(default_factory=dict)
    playlists: int
    unknown: int

    def as_json(self) -> dict[str, Any]:
        """By recommender the measures of the continuation, and `next_song` with its own."""
        return {
            name: {
                **found.continuation.as_json(),
                "next_song": found.next_song.as_json(),
                "seconds": found.seconds,
            }
            for name, found in self.results.items()
        }


def continuation_cases(lists: Iterable[Sequence[int]]) -> list[Case]:
    """The first half of each playlist, rounded down, as seeds; the rest is wanted."""
    halves = ((tuple(each[: len(each) // 2]), each[len(each) // 2 :]) for each in lists)
    return [Case(seeds=seeds, wanted=frozenset(rest)) for seeds, rest in halves]


def next_song_cases(lists: Iterable[Sequence[int]]) -> list[Case]:
    """All but the last song of each playlist as seeds; the last is wanted."""
    return [Case(seeds=tuple(each[:-1]), wanted=frozenset(each[-1:])) for each in lists]


def evaluate_songs(
    recommender: SongRecommender,
    playlists: Iterable[Sequence[str]],
    *,
    k: int = 10,
    names: Sequence[str] = NAMES,
    progress: Progress = SILENT,
) -> SongsEvaluation:
    """Measures recommenders that know the same training playlists; every song is a candidate.

    The seeds of a case are never recommended, whoever recommends.

    Args:
        playlists: not those of the training; a temporal split is the caller's: later ones.
        names: which of `NAMES`; those of a package that is not installed are left out with a note.

    Raises InputError where no playlist has two songs that are known.
    """
    odd = next((name for name in names if name not in NAMES), None)
    if odd is not None:
        raise InputError(f"no recommender is called {odd!r}: {', '.join(NAMES)}")
    if type(k) is not int or not 1 <= k <= MAX_K:
        raise InputError(f"k must be a whole number from 1 to {MAX_K}, not {k!r}")
    places = recommender.vectors.key_to_index
    given = collect(playlists).lists
    known = [[places[song] for song in each if song in places] for each in given]
    lists = [each for each in known if len(each) > 1]
    if not lists:
        raise InputError("no playlist has two songs that the recommender knows")
    results: dict[str, Result] = {}
    missing: dict[str, str] = {}
    for name in names:
        began = time.perf_counter()
        progress.start(name, 2 * len(lists), "playlists")
        try:
            found = compare(recommender.ranker, _named(recommender, name), lists, k, progress)
        except DependencyError as error:
            missing[name] = str(error)
            continue
        results[name] = replace(found, seconds=time.perf_counter() - began)
    return SongsEvaluation(
        results=results,
        missing=missing,
        playlists=len(lists),
        unknown=sum(map(len, given)) - sum(map(len, known)),
    )


def compare(
    ranker: Ranker,
    recommend: Recommend,
    lists: Sequence[Sequence[int]],
    k: int,
    progress: Progress = SILENT,
) -> Result:
    """One recommender on both tasks."""
    began = time.perf_counter()
    both = [
        measure_cases(ranker, recommend, cases, k, progress)
        for cases in (continuation_cases(lists), next_song_cases(lists))
    ]
    return Result(continuation=both[0], next_song=both[1], seconds=time.perf_counter() - began)


def measure_cases(
    ranker: Ranker,
    recommend: Recommend,
    cases: Sequence[Case],
    k: int,
    progress: Progress = SILENT,
) -> Measures:
    """One recommender on one task."""
    found = []
    for case in cases:
        found.append([int(row) for row in recommend(case.seeds, k)])
        progress.advance(1)
    counts = ranker.playlists.frequencies.astype(int)
    wanted = [case.wanted for case in cases]
    return measure(found, wanted, k, counts, ranker.vectors.units)


def _named(recommender: SongRecommender, name: str) -> Recommend:
    ranker, playlists = recommender.ranker, recommender.playlists
    seed = recommender.config.seed
    if name in ("embedsearch", "word2vec"):
        return baselines.ours(ranker) if name == "embedsearch" else baselines.vectors_alone(ranker)
    if name in ("popularity", "item_knn"):
        return getattr(baselines, name)(playlists)  # type: ignore[no-any-return]
    return baselines.als(playlists, seed) if name == "als" else baselines.bpr(playlists, seed)
