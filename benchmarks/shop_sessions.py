"""Recommendations in a shop: sessions of clicks instead of playlists, nothing known of the items.

Learns from the training clicks of `yoochoose_clicks_100k`, asks for the second half of later
sessions from their first half and for the last click from those before it; once with the settings
as they are, once with those that the tuner finds within `--tune` minutes on the training sessions.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from common import Bar, data_folder, parser, report, tell

from embedsearch.cli.terminal import TerminalProgress
from embedsearch.songs import SongConfig, SongRecommender, evaluate_songs
from embedsearch.songs.evaluation import NAMES
from embedsearch.songs.reading import read_playlists
from embedsearch.songs.tuning import KEPT_BY_VECTORS, tune

OURS = ("embedsearch", "word2vec")


def main() -> int:
    options = _options()
    folder = data_folder() / "yoochoose_clicks_100k"
    train, test = (
        read_playlists(folder / f"yoochoose-clicks-100k_{name}.txt.gz")
        for name in ("train_full", "test")
    )
    config = SongConfig(seed=options.seed)
    results: dict[str, Any] = {"sessions": len(train), "later_sessions": len(test)}
    with TerminalProgress() as progress:
        began = time.perf_counter()
        given = SongRecommender.fit(train, config, progress=progress)
        results["training_seconds"] = time.perf_counter() - began
        found = evaluate_songs(given, test, names=options.recommenders, progress=progress)
        results |= found.as_json()
        if options.tune:
            tuning = tune(train.lists, config, seconds=60 * options.tune, progress=progress)
            tuned = SongRecommender.fit(train, tuning.chosen.config, progress=progress)
            results["tuned"] = {
                "changed": tuning.chosen.changed(config),
                "settings_tried": len(tuning.trials),
                **evaluate_songs(tuned, test, names=OURS, progress=progress).as_json(),
            }
    for reason in found.missing.values():
        tell(reason)
    return report("shop_sessions", options, results, _bars(results))


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--tune", type=float, default=5.0, help="minutes of tuning; 0 for none")
    options.add_argument("--recommenders", nargs="+", default=list(NAMES), choices=NAMES)
    return options.parse_args()


def _bars(results: dict[str, Any]) -> list[Bar]:
    own, bars = results["embedsearch"], []
    for name in ("item_knn", "als", "bpr"):
        if name in results:
            other = results[name]
            bars += [
                _at_least(f"nDCG@10 of the continuation, that of {name}", own, other),
                _at_least(
                    f"nDCG@10 of the last click, that of {name}",
                    own["next_song"],
                    other["next_song"],
                ),
            ]
    if "tuned" in results:
        tuned = results["tuned"]
        bars += [
            _at_least("nDCG@10 of the continuation, tuned", tuned["embedsearch"], own),
            Bar(
                claim="nDCG@10 by vectors alone, of that before the tuning",
                value=tuned["word2vec"]["ndcg@10"] / results["word2vec"]["ndcg@10"],
                limit=KEPT_BY_VECTORS,
                at_most=False,
            ),
        ]
    return bars


def _at_least(claim: str, own: dict[str, float], other: dict[str, float]) -> Bar:
    return Bar(claim=claim, value=own["ndcg@10"], limit=other["ndcg@10"], at_most=False)


if __name__ == "__main__":
    sys.exit(main())
