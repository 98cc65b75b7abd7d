"""Measures of recommendations, each song list against the songs that were to be found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import Vectors


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Means over playlists; see `measure`."""

    k: int
    hit_rate: float
    recall: float
    ndcg: float
    mrr: float
    coverage: float
    popularity: float
    diversity: float
    playlists: int

    def as_json(self) -> dict[str, float | int]:
        """By the usual names: `ndcg@10` and so on."""
        names = ("hit_rate", "recall", "ndcg", "mrr", "coverage", "popularity", "diversity")
        return {f"{name}@{self.k}": getattr(self, name) for name in names} | {
            "playlists": self.playlists
        }


def measure(
    recommended: Sequence[Sequence[int]],
    wanted: Sequence[frozenset[int]],
    k: int,
    playlists_of_song: NDArray[np.int64],
    units: Vectors,
) -> Measures:
    """Measures of lists of at most `k` songs, as row numbers, best first.

    - hit rate: share of playlists with at least one wanted song in the list.
    - recall: share of a playlist's wanted songs in the list.
    - nDCG: sum of 1 / log2(rank + 1) over the hits, divided by that of the best possible list,
      which has min(k, wanted songs) hits (Jarvelin and Kekalainen 2002, with gains of 0 and 1).
    - MRR: 1 / rank of the first hit, 0 without one.
    - coverage: share of all songs that are recommended to anybody.
    - popularity: mean playlists of a recommended song, 1 for the most popular song's.
    - diversity: 1 - mean cosine of the vectors of two songs of a list.

    `playlists_of_song` counts for each song, shape (n,), `units` are unit vectors (n, dim).
    """
    discount = 1 / np.log2(np.arange(2, k + 2))
    best = np.cumsum(discount)
    hit, recall, ndcg, mrr, popularity, diversity = [], [], [], [], [], []
    seen: set[int] = set()
    for found, target in zip(recommended, wanted, strict=True):
        hits = [rank for rank, song in enumerate(found[:k]) if song in target]
        hit.append(bool(hits))
        recall.append(len(hits) / len(target))
        ndcg.append(float(discount[hits].sum()) / float(best[min(k, len(target)) - 1]))
        mrr.append(1 / (hits[0] + 1) if hits else 0.0)
        seen.update(found[:k])
        if len(found):
            rows = list(found[:k])
            popularity.append(float(playlists_of_song[rows].mean()))
            diversity.append(_diversity(units[rows]))
    most = max(int(playlists_of_song.max(initial=0)), 1)
    return Measures(
        k=k,
        hit_rate=_mean(hit),
        recall=_mean(recall),
        ndcg=_mean(ndcg),
        mrr=_mean(mrr),
        coverage=len(seen) / max(len(playlists_of_song), 1),
        popularity=_mean(popularity) / most,
        diversity=_mean(diversity),
        playlists=len(wanted),
    )


def _diversity(units: Vectors) -> float:
    count = len(units)
    if count < 2:
        return 0.0
    total = units.sum(axis=0, dtype=np.float64)
    of_itself = float(np.square(units, dtype=np.float64).sum())
    return 1 - (float(total @ total) - of_itself) / (count * (count - 1))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
