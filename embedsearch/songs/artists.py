"""Which songs have an artist in common, and how often artists are played."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.songs.catalogue import Catalogue, Song

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.songs.cooccurrence import Cooccurrence, Scores

PRIOR = 5.0
"""Seeds by nobody that are added to those given: one seed tells little about what is wanted."""


class Artists:
    """The artists of rows: `of` numbers those of each row, none where nothing is known; `numbers`
    are those of names."""

    def __init__(self, of: Sequence[tuple[int, ...]], numbers: Mapping[str, int]) -> None:
        self.of, self.numbers = of, numbers
        rows: dict[int, list[int]] = {}
        for row, artists in enumerate(of):
            for artist in artists:
                rows.setdefault(artist, []).append(row)
        self._rows = {artist: np.array(each) for artist, each in rows.items()}

    @classmethod
    def named(cls, songs: Sequence[str], catalogue: Catalogue) -> Artists:
        """By the names that a catalogue has for songs, several of one song after commas."""
        numbers: dict[str, int] = {}
        of = []
        for song_id in songs:
            names = _names(catalogue.get_song(song_id))
            of.append(tuple(numbers.setdefault(name, len(numbers)) for name in names))
        return cls(of, numbers)

    def of_song(self, song: Song) -> tuple[int, ...]:
        """The numbers of a song's artists, of those that any row has."""
        return tuple(self.numbers[name] for name in _names(song) if name in self.numbers)

    def shares(self, seeds: Sequence[tuple[int, ...]], weights: Scores) -> Scores:
        """How much of the weight of the seeds each song's artist has, shape (songs,).

        `seeds` are the artists of each.
        Of several artists of a song the one with the most counts; `PRIOR` is in the whole.
        """
        found = np.zeros(len(self.of), np.float32)
        sums: dict[int, float] = {}
        for artists, weight in zip(seeds, weights.tolist(), strict=True):
            for artist in artists:
                sums[artist] = sums.get(artist, 0.0) + weight
        for artist in sorted(sums, key=sums.__getitem__):
            found[self._rows[artist]] = sums[artist]
        return found / np.float32(float(weights.sum()) * (1 + PRIOR / max(len(seeds), 1)))

    def common(self, seeds: Sequence[tuple[int, ...]], row: int) -> NDArray[np.bool_]:
        """Which seeds, by their artists, have an artist of a song, shape (seeds,)."""
        own = set(self.of[row])
        return np.array([not own.isdisjoint(artists) for artists in seeds], bool)

    def playlists(self, together: Cooccurrence) -> Scores:
        """How many playlists have an artist of each song, shape (songs,), at least 1.

        Of several artists of a song the most played counts.
        """
        counts = np.array([len(each) for each in self.of], np.int64)
        flat = np.fromiter(chain.from_iterable(self.of), np.int64)
        starts = np.cumsum(counts) - counts
        sizes = counts[together.songs]
        numbers = np.repeat(np.arange(len(together)), np.diff(together.ends, prepend=0))
        first = np.repeat(starts[together.songs] - np.cumsum(sizes) + sizes, sizes)
        played = flat[first + np.arange(len(first))]
        artists = int(flat.max(initial=-1)) + 1
        pairs = np.sort(np.repeat(numbers, sizes) * artists + played)
        once = pairs[np.diff(pairs, prepend=-1) > 0]  # np.unique hashes, which is slower
        frequencies = np.bincount(once % max(artists, 1), minlength=artists)
        found = np.ones(len(self.of), np.float32)
        known = np.flatnonzero(counts)
        if len(known):
            found[known] = np.maximum.reduceat(frequencies[flat], starts[known])
        return np.maximum(found, 1)


def _names(song: Song) -> Iterable[str]:
    """Each artist of a song once, without case."""
    names = (name.strip() for name in song.artist.casefold().split(","))
    return dict.fromkeys(name for name in names if name)
