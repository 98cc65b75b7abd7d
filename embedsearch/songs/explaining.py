"""Why a song was recommended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import NotFoundError
from embedsearch.songs.query import Query
from embedsearch.songs.ranking import Ranker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.word2vec import KeyedVectors


@dataclass(frozen=True, kw_only=True)
class SharedPlaylist:
    """A playlist learned from, by its name, that has the song and these seeds."""

    name: str
    seeds: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Where a recommendation comes from.

    `seeds` are (id, share of the score), the largest first; with `text`, the share of the
    description, they add up to 1 unless the score is 0. `by_playlists`, `by_regression`,
    `by_vectors`, `by_description` (what is written about seeds that no playlist has, and the text)
    and `by_artist` (what the seeds of the same artist add) are the parts of the score. All of them
    have two factors: `standing`, 1 at most, for how lately playlists had the song and how many have
    its artist, and `debut`, above 1 where the song came up when the seeds did. `playlists` are
    those that weigh most.
    """

    song: str
    seeds: tuple[tuple[str, float], ...]
    text: float
    by_playlists: float
    by_regression: float
    by_vectors: float
    by_description: float
    by_artist: float
    standing: float
    debut: float
    playlists: tuple[SharedPlaylist, ...]


def explain(
    ranker: Ranker,
    query: Query,
    seeds: Sequence[str],
    song: str,
    playlists: int,
    vectors: KeyedVectors,
    names: Sequence[str],
    barred: Sequence[int],
) -> Explanation:
    """See `SongRecommender.explain`; `seeds` are the first of the query, a text may follow; `names`
    are those of the playlists. Raises NotFoundError for a song in no playlist."""
    row = vectors.index_of(song)
    found = ranker.score(query, barred, also=(row,))
    at = int(np.searchsorted(found.rows, row))
    if at == len(found.rows) or found.rows[at] != row:
        raise NotFoundError(f"{song!r} is not among the songs that these seeds lead to")
    alike = ranker.vectors.affinity(query.inputs, query.outputs, np.array([row]))[0]
    parts = _share(_only(alike * query.weights, query.known)) * found.vectors[at]
    parts += _share(_only(alike * query.weights, query.unheard)) * found.described[at]
    shares, regressed, numbers = _by_playlists(ranker, query, row)
    parts += _share(shares) * found.shared[at] + _share(regressed) * found.regression[at]
    sides = found.shared[at] + found.regression[at] + found.vectors[at] + found.described[at]
    by_artist = float(sides * (found.artist[at] - 1))
    parts += _share(_of_artist(ranker, query, row) * query.weights) * np.float32(by_artist)
    order = np.argsort(-parts[: len(seeds)], kind="stable")
    standing, debut = float(found.standing[at]), float(found.debut[at])
    factor = standing * debut
    total = float(parts.sum()) or 1.0
    return Explanation(
        song=song,
        seeds=tuple((seeds[place], float(parts[place]) / total) for place in order),
        text=float(parts[len(seeds) :].sum()) / total,
        by_playlists=float(found.shared[at]) * factor,
        by_regression=float(found.regression[at]) * factor,
        by_vectors=float(found.vectors[at]) * factor,
        by_description=float(found.described[at]) * factor,
        by_artist=by_artist * factor,
        standing=standing,
        debut=debut,
        playlists=tuple(
            SharedPlaylist(name=names[number], seeds=_members(ranker, query, seeds, number))
            for number in numbers[:playlists]
        ),
    )


def _by_playlists(
    ranker: Ranker, query: Query, row: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[int]]:
    """Each seed's part in the playlists that have the song and in the regression, and the
    playlists, the likest first."""
    together, config, known = ranker.playlists, ranker.config, query.known
    shares, regressed = np.zeros((2, len(query.rows)), np.float32)
    if not len(known):
        return shares, regressed, []
    rows = [query.rows[place] for place in known]
    weights = query.weights[known] * together.frequencies[rows] ** -config.seed_exponent
    likeness = together.likeness(rows, query.weights[known], config)
    regressed[known] = ranker.regression(likeness).shares(rows, query.weights[known], row)
    of_song = together.playlists_of(row)
    near = of_song[np.argsort(-likeness[of_song], kind="stable")]
    near = near[likeness[near] > 0]
    there = np.stack([np.isin(near, together.playlists_of(seed)) for seed in rows], axis=1)
    parts = there * weights
    sums = parts.sum(axis=1, keepdims=True)
    shares[known] = (likeness[near, None] * parts / np.where(sums > 0, sums, 1)).sum(axis=0)
    return shares, regressed, near.tolist()


def _of_artist(ranker: Ranker, query: Query, row: int) -> NDArray[np.float32]:
    """1 for each seed that has an artist of the song, shape (seeds,)."""
    if ranker.artists is None:
        return np.zeros(len(query.rows), np.float32)
    return ranker.artists.common(query.artists, row).astype(np.float32)


def _members(ranker: Ranker, query: Query, seeds: Sequence[str], number: int) -> tuple[str, ...]:
    inside = set(ranker.playlists.playlist(number).tolist())
    return tuple(seed for seed, row in zip(seeds, query.rows, strict=False) if row in inside)


def _only(parts: NDArray[np.float32], places: NDArray[np.intp]) -> NDArray[np.float32]:
    """The parts at these places, 0 elsewhere."""
    found = np.zeros_like(parts)
    found[places] = parts[places]
    return found


def _share(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shares of the whole; what speaks against the song has none."""
    parts = np.maximum(parts, 0)
    total = parts.sum()
    return parts / total if total > 0 else parts
