"""The blend: candidates scored by shared playlists, by regression on them and by vectors.

The sum is multiplied by three factors: for songs of the seeds' artists, for current songs and for
songs that first came up when the seeds did.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.songs.artists import Artists
from embedsearch.songs.config import SongConfig
from embedsearch.songs.cooccurrence import Cooccurrence
from embedsearch.songs.debuts import Debuts
from embedsearch.songs.regression import Regression
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


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Candidates `rows`, ascending, and what each side says of them, shape (rows,).

    `shared`, `regression` and `vectors` are scaled so that the best has its weight in the settings,
    shared playlists 1. `artist` is a factor from 1, `standing` one up to 1, `debut` one about 1.
    """

    rows: Rows
    shared: Scores
    regression: Scores
    vectors: Scores
    artist: Scores
    standing: Scores
    debut: Scores

    @property
    def total(self) -> Scores:
        """The score of each candidate."""
        sides = self.shared + self.regression + self.vectors
        return sides * self.artist * self.standing * self.debut


_ENOUGH = 100
"""Songs that share playlists with the seeds; with fewer the vectors propose some."""


class Ranker:
    """Scores songs by their rows; `identity` is the same for rows that are one song.

    Without `artists` no song is preferred for its artist.
    """

    def __init__(
        self,
        config: SongConfig,
        vectors: SongVectors,
        playlists: Cooccurrence,
        identity: Callable[[int], Hashable] = int,
        artists: Artists | None = None,
    ) -> None:
        self.config, self.vectors, self.playlists = config, vectors, playlists
        self.identity, self.artists = identity, artists

    def with_config(self, config: SongConfig) -> Ranker:
        """The same with other settings of the ranking."""
        return Ranker(config, self.vectors, self.playlists, self.identity, self.artists)

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
        """The k best songs, best first, equal ones by row.

        No song comes twice, nor one of those barred, under another id either: a playlist that has
        one release of a song seldom has another.
        """
        parts = self.score(query, barred, k)
        rows, scores = top(parts.rows, parts.total, len(parts.rows))
        seen = {self.identity(row) for row in barred}
        kept: list[int] = []
        for place, row in enumerate(rows.tolist()):
            song = self.identity(row)
            if song not in seen:
                seen.add(song)
                kept.append(place)
                if len(kept) == k:
                    break
        return rows[kept], scores[kept]

    def score(
        self, query: Query, barred: Sequence[int], least: int = 0, *, also: Sequence[int] = ()
    ) -> Parts:
        """What the three sides say of at least so many candidates, where there are so many.

        Those that share playlists with the seeds come first, for they score highest; the nearest by
        vectors are looked up where there are few. `also` are rows that are scored anyway.
        """
        config, known = self.config, query.known
        seeds, weights = [query.rows[place] for place in known], query.weights[known]
        count = max(config.candidates, 2 * least)
        shared = np.zeros(len(self.vectors), np.float32)
        regression: Regression | None = None
        rows = np.array(also, np.int64)
        if seeds:
            likeness = self.playlists.likeness(seeds, weights, config)
            found, scores = self.playlists.scores(likeness, config)
            shared[found] = scores
            scores[np.isin(found, barred)] = 0
            rows = np.concatenate((rows, top(found, scores, count)[0]))
            regression = self.regression(likeness)
        if len(rows) < max(_ENOUGH, 2 * least):
            mean = query.weights @ unit(query.inputs)
            near, _ = self.vectors.nearest(mean, count + len(barred))
            rows = np.concatenate((rows, near[near >= 0]))
        rows = np.setdiff1d(rows, np.array(barred, np.int64))
        regressed = np.zeros(len(rows), np.float32)
        if regression is not None:
            regressed = regression.scores(seeds, weights, rows)
        alike = self.vectors.affinity(query.inputs, query.outputs, rows) @ query.weights
        return Parts(
            rows=rows,
            shared=_scaled(shared[rows]),
            regression=_scaled(regressed) * np.float32(config.regression_weight),
            vectors=_scaled(alike) * np.float32(config.vector_weight),
            artist=self._artist(seeds, weights, rows),
            standing=self.standing[rows],
            debut=self._debut(seeds, rows, shared[rows]),
        )

    def _artist(self, seeds: Sequence[int], weights: Scores, rows: Rows) -> Scores:
        """exp(artist_weight * share of the seeds that are by an artist of the song)."""
        if self.artists is None or not seeds:
            return np.ones(len(rows), np.float32)
        shares = self.artists.shares(seeds, weights)[rows]
        found: Scores = np.exp(np.float32(self.config.artist_weight) * shares)
        return found

    def _debut(self, seeds: Sequence[int], rows: Rows, shared: Scores) -> Scores:
        """See `Debuts.factors`."""
        if not seeds or not self.config.debut_weight:
            return np.ones(len(rows), np.float32)
        return self.debuts.factors(seeds, rows, shared, self.config.debut_weight)

    @cached_property
    def debuts(self) -> Debuts:
        """When each song came up."""
        return Debuts(self.playlists)

    @cached_property
    def standing(self) -> Scores:
        """The factor of each song, shape (songs,), whatever the seeds: 1 for the best.

        exp(-freshness * time since the last playlist - novelty * time since the first one), times
        playlists of the artist ** fame.
        """
        config = self.config
        since_first, since_last = self.playlists.ages
        exponents = -config.freshness * since_last - config.novelty * since_first
        if self.artists is not None:
            exponents += config.fame * np.log(self.artists.playlists(self.playlists))
        found: Scores = np.exp(exponents - exponents.max(initial=-np.inf), dtype=np.float32)
        return found

    def regression(self, likeness: Scores) -> Regression:
        """On the playlists of the highest likeness."""
        config = self.config
        return Regression(self.playlists, likeness, config.neighbours, config.penalty)

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
