"""Song recommendations on real playlists: quality, songs never seen, time.

Learns from `playlists/train.txt.gz`, asks for the second half of the playlists of `test.txt.gz`
from their first half. Cold start: songs are taken out of the training and their neighbours, told by
the whole of it, are looked for by title, artist and album alone. A warm recommendation is compared
with the product of the song vectors with one vector, by turns. What coverage costs is told by the
same recommender with other exponents of popularity.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from common import Bar, data_folder, parser, report, tell

from embedsearch.cli.terminal import TerminalProgress
from embedsearch.encoder import SentenceEncoder
from embedsearch.songs import SongConfig, SongRecommender, evaluate_songs
from embedsearch.songs.baselines import ours
from embedsearch.songs.catalogue import Catalogue, words_of
from embedsearch.songs.cooccurrence import Cooccurrence
from embedsearch.songs.evaluation import NAMES, continuation_cases, measure_cases
from embedsearch.songs.playlists import Playlists
from embedsearch.songs.reading import read_playlists
from embedsearch.songs.song_files import read_songs

NDCG, HIT_RATE, VECTORS_NDCG = 0.35, 0.90, 0.26
POPULARITY_EXPONENTS = (0.0, 0.15, 0.5, 1.0, 1.5)
COLD_RATIO, MOST_SECONDS, MOST_RATIO = 10.0, 600.0, 2.0
NEIGHBOURS, DEEP = 20, 100
WARM_UP = 20


def main() -> int:
    options = _options()
    folder = data_folder() / "playlists"
    train, test = (read_playlists(folder / f"{name}.txt.gz") for name in ("train", "test"))
    songs = read_songs(folder / "song_hash.txt.gz", albums=folder / "albums.tsv.gz")
    config = SongConfig(seed=options.seed)
    began = time.perf_counter()
    with TerminalProgress() as progress:
        recommender = SongRecommender.fit(train, config, songs=songs, progress=progress)
        seconds = time.perf_counter() - began
        found = evaluate_songs(recommender, test, names=options.recommenders, progress=progress)
    for reason in found.missing.values():
        tell(reason)
    results: dict[str, Any] = found.as_json()
    results["training"] = {"seconds": seconds}
    results["warm"] = _warm(recommender, test, options.queries)
    results["coverage"] = _coverage(recommender, test)
    bars = [*_quality(results), *_speed(results)]
    if options.cold_songs:
        results["cold_start"] = _cold(train, recommender, songs, options.cold_songs)
        bars += _cold_bars(results["cold_start"])
    return report("songs", options, results, bars)


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--queries", type=int, default=200, help="recommendations timed")
    options.add_argument(
        "--cold-songs", type=int, default=500, help="songs taken out of the training; 0 for none"
    )
    options.add_argument("--recommenders", nargs="+", default=list(NAMES), choices=NAMES)
    return options.parse_args()


def _quality(results: dict[str, Any]) -> list[Bar]:
    own = results["embedsearch"]
    bars = [
        _at_least("nDCG@10 of the continuation", own["ndcg@10"], NDCG),
        _at_least("hit rate@10 of the continuation", own["hit_rate@10"], HIT_RATE),
        _at_least("nDCG@10, vectors alone", results["word2vec"]["ndcg@10"], VECTORS_NDCG),
    ]
    bars += [
        _at_least(f"nDCG@10, that of {name}", own["ndcg@10"], results[name]["ndcg@10"])
        for name in ("item_knn", "als", "bpr")
        if name in results
    ]
    if "item_knn" in results:
        bars += [
            _at_least(f"{name}, that of item_knn", own[name], results["item_knn"][name])
            for name in ("hit_rate@10", "coverage@10")
        ]
    return bars


def _speed(results: dict[str, Any]) -> list[Bar]:
    return [
        Bar(
            claim="seconds of training",
            value=results["training"]["seconds"],
            limit=MOST_SECONDS,
            at_most=True,
        ),
        Bar(
            claim="a warm recommendation from one song, in times of the product",
            value=results["warm"]["one_song"]["ratio"],
            limit=MOST_RATIO,
            at_most=True,
        ),
    ]


def _at_least(claim: str, value: float, limit: float) -> Bar:
    return Bar(claim=claim, value=value, limit=limit, at_most=False)


def _coverage(recommender: SongRecommender, test: Playlists) -> dict[str, Any]:
    """The share of songs that so many lists of ten can have at most, and what more of it costs."""
    places, own = recommender.vectors.key_to_index, recommender.ranker
    lists = [[places[song] for song in each if song in places] for each in test]
    cases = continuation_cases([each for each in lists if len(each) > 1])
    found: dict[str, Any] = {"possible": 10 * len(cases) / len(recommender)}
    for exponent in POPULARITY_EXPONENTS:
        config = replace(recommender.config, popularity_exponent=exponent)
        ranker = own.with_config(config)
        measures = measure_cases(ranker, ours(ranker), cases, 10)
        found[f"popularity_exponent_{exponent}"] = {
            "ndcg@10": measures.ndcg,
            "coverage@10": measures.coverage,
        }
    return found


def _warm(recommender: SongRecommender, test: Playlists, queries: int) -> dict[str, Any]:
    """Median milliseconds from one song and from the first half of a playlist, by turns with the
    product of all song vectors and one vector."""
    vectors = np.ascontiguousarray(recommender.vectors.vectors)
    taken: dict[str, list[float]] = {"product": [], "one_song": [], "half_playlist": []}
    known = [[song for song in each if song in recommender] for each in test]
    lists = [each for each in known if len(each) > 1]
    for number in range(queries + WARM_UP):
        songs = lists[number % len(lists)]
        query = vectors[recommender.vectors.index_of(songs[-1])].copy()
        half = songs[: len(songs) // 2]
        jobs: dict[str, Callable[[], object]] = {
            "product": partial(np.matmul, vectors, query),
            "one_song": partial(recommender.recommend, songs[:1]),
            "half_playlist": partial(recommender.recommend, half),
        }
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            taken[name].append(1000 * (time.perf_counter() - began))
    medians = {name: median(each[WARM_UP:]) for name, each in taken.items()}
    return {
        name: {"median_ms": value, "ratio": value / medians["product"]}
        for name, value in medians.items()
    }


def _cold(train: Playlists, whole: SongRecommender, songs: Catalogue, count: int) -> dict[str, Any]:
    """Songs of three playlists or more, taken out; which of their neighbours are found."""
    places = whole.vectors.key_to_index
    frequent = [key for key in whole.vectors.keys if whole.playlists.frequencies[places[key]] >= 3]
    drawn = np.random.default_rng(0).choice(len(frequent), count, replace=False)
    removed = [frequent[at] for at in sorted(drawn)]
    gone = set(removed)
    lists = [[song for song in each if song not in gone] for each in train]
    with TerminalProgress() as progress:
        fitted = SongRecommender.fit(
            lists,
            whole.config,
            songs=songs,
            encoder=SentenceEncoder.load("all-MiniLM-L6-v2"),
            progress=progress,
        )
    by_artist: dict[str, list[str]] = {}
    for key in fitted.vectors.keys:
        for artist in songs[key].artist.split(","):
            by_artist.setdefault(" ".join(words_of(artist)), []).append(key)
    recalls: dict[str, list[float]] = {"embedsearch": [], "artist": []}
    for song in removed:
        true = _true_neighbours(whole.playlists, places[song], whole.vectors.keys, gone)
        if not true:
            continue
        near = [each.id for each in fitted.similar(song, DEEP)]
        artists = [" ".join(words_of(name)) for name in songs[song].artist.split(",")]
        same = dict.fromkeys(key for name in artists for key in by_artist.get(name, ()))
        for name, found in (("embedsearch", near), ("artist", list(same)[:DEEP])):
            recalls[name].append(len(true & set(found)) / len(true))
    return {
        "songs": len(recalls["artist"]),
        "random": DEEP / len(fitted),
        **{name: float(np.mean(values)) for name, values in recalls.items()},
    }


def _true_neighbours(
    playlists: Cooccurrence, row: int, keys: Sequence[str], gone: set[str]
) -> set[str]:
    """The songs of the highest item-to-item cosine in the whole training, without those removed."""
    near = playlists.by_song @ (playlists.matrix @ _one(row, playlists.count))
    cosines = near / np.sqrt(playlists.frequencies)
    order = np.argsort(-cosines, kind="stable")[: 10 * NEIGHBOURS]
    found = [keys[at] for at in order if cosines[at] > 0 and at != row and keys[at] not in gone]
    return set(found[:NEIGHBOURS])


def _one(row: int, count: int) -> Any:
    vector = np.zeros(count, np.float32)
    vector[row] = 1
    return vector


def _cold_bars(cold: dict[str, float]) -> list[Bar]:
    ratio = cold["embedsearch"] / cold["random"]
    return [
        _at_least("cold start, recall@100 in times of chance", ratio, COLD_RATIO),
        _at_least(
            "cold start, recall@100, that of the artist", cold["embedsearch"], cold["artist"]
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
