"""The blend: candidates scored by shared playlists, by regression on them and by vectors.

What no playlist has, a song or a description in words, is scored by the vectors made up for it and
takes its share of the whole. The sum is multiplied by three factors: for songs of the seeds'
artists, for current songs and for songs that first came up when the seeds did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.songs.artists import Artists
from embedsearch.songs.config import SongConfig
from embedsearch.songs.cooccurrence import Cooccurrence
from embedsearch.songs.debuts import Debuts
from embedsearch.songs.query import Query, seed_weights
from embedsearch.songs.regression import Regression
from embedsearch.songs.vectors import SongVectors, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.songs.cooccurrence import Rows, Scores
    from embedsearch.types import Vectors


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Candidates `rows`, ascending, and what each side says of them, shape (rows,).

    `shared`, `regression` and `vectors` are scaled so that the best has its weight in the settings,
    shared playlists 1; `described`, what the unheard seeds say, so that the best has the sum of
    these weights. Then the three count by the heard seeds' share of all weight, `described` by the
    unheard ones'. `artist` is a factor from 1, `standing` one up to 1, `debut` one about 1.
    """

    rows: Rows
    shared: Scores
    regression: Scores
    vectors: Scores
    described: Scores
    artist: Scores
    standing: Scores
    debut: Scores

    @property
    def total(self) -> Scores:
        """The score of each candidate."""
        sides = self.shared + self.regression + self.vectors + self.described
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
            artists=tuple(self.artists.of[row] if self.artists else () for row in places),
        )

    def best(
        self, query: Query, k: int, barred: Sequence[int], songs: Collection[Hashable] = ()
    ) -> tuple[Rows, Scores]:
        """The k best songs, best first, equal ones by row.

        No song comes twice, nor one of those barred, under another id either: a playlist that has
        one release of a song seldom has another. `songs` are identities that are barred as well.
        """
        unwanted = {self.identity(row) for row in barred}.union(songs)
        least = k
        while True:
            rows, scores = self._best(query, k, least, barred, unwanted)
            # Many releases of few songs may fill the candidates: then look at more.
            if len(rows) == k or least >= len(self.vectors):
                return rows, scores
            least = min(max(4 * least, self.config.candidates), len(self.vectors))

    def _best(
        self,
        query: Query,
        k: int,
        least: int,
        barred: Sequence[int],
        unwanted: Collection[Hashable],
    ) -> tuple[Rows, Scores]:
        parts = self.score(query, barred, least)
        rows, scores = top(parts.rows, parts.total, len(parts.rows))
        seen = set(unwanted)
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
        """What the sides say of at least so many candidates, where there are so many.

        `also` are rows that are scored anyway. However many there are, a score is the same: the
        best of those that a short list has is what each side is scaled by.
        """
        config, known = self.config, query.known
        seeds, weights = [query.rows[place] for place in known], query.weights[known]
        shared = np.zeros(len(self.vectors), np.float32)
        found = np.empty(0, np.int64)
        regression: Regression | None = None
        if seeds:
            likeness = self.playlists.likeness(seeds, weights, config)
            found, scores = self.playlists.scores(likeness, config)
            shared[found] = scores
            regression = self.regression(likeness)
        usual = self._candidates(query, barred, found, shared, 0)
        chosen = usual.copy()
        if 2 * least > min(config.candidates, _ENOUGH):
            chosen |= self._candidates(query, barred, found, shared, least)
        chosen[list(also)] = True
        chosen[list(barred)] = False
        rows = np.flatnonzero(chosen)
        first = usual[rows]
        regressed = np.zeros(len(rows), np.float32)
        if regression is not None:
            regressed = regression.scores(seeds, weights, rows)
        alike = self.vectors.affinity(query.inputs, query.outputs, rows)
        described, heard = np.zeros(len(rows), np.float32), np.float32(1)
        unheard = query.unheard
        if len(unheard):
            described = _scaled(alike[:, unheard] @ query.weights[unheard], first)
            heard = np.float32(weights.sum() / query.weights.sum())
            alike = alike[:, known]
        whole = 1 + config.regression_weight + config.vector_weight
        return Parts(
            rows=rows,
            shared=_scaled(shared[rows], first) * heard,
            regression=_scaled(regressed, first) * np.float32(config.regression_weight) * heard,
            vectors=_scaled(alike @ weights, first) * np.float32(config.vector_weight) * heard,
            described=described * np.float32(whole) * (1 - heard),
            artist=self._artist(query, rows),
            standing=self.standing[rows],
            debut=self._debut(seeds, rows, shared[rows] * first),
        )

    def _candidates(
        self, query: Query, barred: Sequence[int], found: Rows, shared: Scores, least: int
    ) -> NDArray[np.bool_]:
        """Which songs are looked at, shape (songs,), for a list of so many.

        Those that share playlists with the seeds, `found`, come first, for they score highest; the
        nearest by vectors are looked up where there are few, and for unheard seeds.
        """
        count, unwanted = max(self.config.candidates, 2 * least), list(barred)
        chosen, free = np.zeros(len(shared), bool), np.ones(len(shared), bool)
        free[unwanted] = False
        chosen[top(found, shared[found] * free[found], count)[0]] = True
        unheard = query.unheard
        if len(unheard) or np.count_nonzero(chosen) < max(_ENOUGH, 2 * least):
            sought = unheard if len(unheard) else query.known
            mean = query.weights[sought] @ unit(query.inputs[sought])
            near, _ = self.vectors.nearest(mean, count + len(barred))
            chosen[near[near >= 0]] = True
        return chosen & free

    def _artist(self, query: Query, rows: Rows) -> Scores:
        """exp(artist_weight * share of the seeds that are by an artist of the song)."""
        if self.artists is None:
            return np.ones(len(rows), np.float32)
        shares = self.artists.shares(query.artists, query.weights)[rows]
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


def _scaled(scores: Scores, among: NDArray[np.bool_] | None = None) -> Scores:
    """1 for the best, or for the best of some."""
    most = float((scores if among is None else scores[among]).max(initial=0.0))
    return scores / np.float32(most) if most > 0 else np.zeros_like(scores)
