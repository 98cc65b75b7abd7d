"""The blend: candidates of both sides, scored by shared playlists and by vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.songs.config import SongConfig
from embedsearch.songs.cooccurrence import Cooccurrence
from embedsearch.songs.vectors import SongVectors, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.songs.cooccurrence import Rows, Scores
    from embedsearch.types import Vectors


@dataclass(frozen=True, kw_only=True)
class Query:
    """Seeds: `rows` (-1 for what is in no playlist), weights (n,), two vectors each (n, dim)."""

    rows: tuple[int, ...]
    weights: Scores
    inputs: Vectors
    outputs: Vectors

    @property
    def known(self) -> NDArray[np.intp]:
        """Places of the seeds that playlists have."""
        return np.flatnonzero(np.array(self.rows) >= 0)


def seed_weights(count: int, recency: float) -> Scores:
    """Weights of seeds in order: from exp(-recency) for the first up to 1 for the last."""
    ages = np.arange(count - 1, -1, -1, dtype=np.float32) / max(count - 1, 1)
    return np.exp(-recency * ages)


class Ranker:
    """Scores songs by their rows."""

    def __init__(self, config: SongConfig, vectors: SongVectors, playlists: Cooccurrence) -> None:
        self.config, self.vectors, self.playlists = config, vectors, playlists

    def query(self, rows: Sequence[int]) -> Query:
        """A query of songs that all have vectors."""
        places = list(rows)
        return Query(
            rows=tuple(places),
            weights=seed_weights(len(places), self.config.recency),
            inputs=self.vectors.inputs[places],
            outputs=self.vectors.outputs[places],
        )

    def best(self, query: Query, k: int, barred: Sequence[int]) -> tuple[Rows, Scores]:
        """The k best songs but those barred, best first, equal ones by row."""
        rows, shared, alike = self.score(query, barred)
        return top(rows, shared + alike, k)

    def score(self, query: Query, barred: Sequence[int]) -> tuple[Rows, Scores, Scores]:
        """Candidates, ascending, what shared playlists say of each, and what the vectors say.

        Both are scaled so that the best has 1, the vectors' times `vector_weight`.
        """
        config, known = self.config, query.known
        mean = query.weights @ unit(query.inputs)
        near, _ = self.vectors.nearest(mean, config.candidates + len(barred))
        shared = np.zeros(len(self.vectors), np.float32)
        if len(known):
            seeds = [query.rows[place] for place in known]
            rows, scores = self.playlists.scores(seeds, query.weights[known], config)
            shared[rows] = scores
            scores[np.isin(rows, barred)] = 0
            near = np.concatenate((near, top(rows, scores, config.candidates)[0]))
        near = np.setdiff1d(near[near >= 0], np.array(barred, np.int64))
        alike = self.vectors.affinity(query.inputs, query.outputs, near) @ query.weights
        return near, _scaled(shared[near]), _scaled(alike) * np.float32(config.vector_weight)

    def by_vectors(self, query: Query, k: int, barred: Sequence[int]) -> tuple[Rows, Scores]:
        """The k best songs by vectors alone, among all."""
        scores = self.vectors.scores(query.inputs, query.outputs, query.weights)
        rows = np.setdiff1d(np.arange(len(scores)), np.array(barred, np.int64))
        return top(rows, scores[rows], k)


def top(rows: Rows, scores: Scores, k: int) -> tuple[Rows, Scores]:
    """The k rows of the highest scores, best first, equal ones in the order given."""
    if k < len(rows):
        least = np.partition(scores, len(rows) - k)[len(rows) - k]
        kept = np.flatnonzero(scores >= least)
        rows, scores = rows[kept], scores[kept]
    order = np.argsort(-scores, kind="stable")[:k]
    return rows[order], scores[order]


def diversify(
    rows: Rows, scores: Scores, units: Vectors, k: int, diversity: float
) -> tuple[Rows, Scores]:
    """k of the rows, one by one: (1 - diversity) * score - diversity * likeness to those chosen.

    Scores are scaled to 1 for the best; likeness is the highest cosine with one chosen before.
    """
    relevance = _scaled(scores)
    vectors = units[rows]
    likeness = np.zeros(len(rows), np.float32)
    left = np.ones(len(rows), bool)
    chosen: list[int] = []
    for _ in range(min(k, len(rows))):
        value = np.where(left, (1 - diversity) * relevance - diversity * likeness, -np.inf)
        best = int(value.argmax())
        chosen.append(best)
        left[best] = False
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return rows[chosen], scores[chosen]


def _scaled(scores: Scores) -> Scores:
    most = float(scores.max(initial=0.0))
    return scores / np.float32(most) if most > 0 else np.zeros_like(scores)
