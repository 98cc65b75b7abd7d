"""Songs by the playlists they share with the seeds.

Playlists like the seeds are looked up, and their songs counted: session-based nearest neighbours
(Jannach and Ludewig 2017, "When recurrent neural networks meet the neighborhood for session-based
recommendation"). Item-to-item cosine is the case of seed_exponent = popularity_exponent = 0.5,
length_exponent = 0 and sharpness = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.songs.config import SongConfig

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

    Scores = NDArray[np.float32]
    Rows = NDArray[np.int64]


class Cooccurrence:
    """Playlists as rows of songs: `songs` (int32) are those of one after the other, `ends` (int64)
    where each ends; `count` is the number of songs that there are."""

    def __init__(self, songs: NDArray[np.int32], ends: NDArray[np.int64], count: int) -> None:
        self.songs, self.ends, self.count = songs, ends, count

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]], count: int) -> Cooccurrence:
        """Of playlists of rows, each row once in a playlist."""
        ends = np.cumsum([len(each) for each in lists], dtype=np.int64)
        flat = np.fromiter((row for each in lists for row in each), np.int32)
        return cls(flat, ends, count)

    def __len__(self) -> int:
        return len(self.ends)

    def playlist(self, number: int) -> NDArray[np.int32]:
        """The rows of a playlist in their order, counted from 0."""
        begin = int(self.ends[number - 1]) if number else 0
        return self.songs[begin : int(self.ends[number])]

    @cached_property
    def lengths(self) -> Scores:
        """Songs of each playlist."""
        return np.diff(self.ends, prepend=0).astype(np.float32)

    @cached_property
    def frequencies(self) -> Scores:
        """Playlists of each song, at least 1."""
        counts = np.bincount(self.songs, minlength=self.count)
        return np.maximum(counts, 1).astype(np.float32)

    @cached_property
    def ages(self) -> tuple[Scores, Scores]:
        """Of each song the share of the playlists that came after its first and after its last one.

        Shape (songs,) each; 1 for a song in none.
        """
        numbers = np.repeat(np.arange(len(self)), np.diff(self.ends, prepend=0))
        first, last = np.full((2, self.count), -1, np.int64)
        last[self.songs] = numbers
        first[self.songs[::-1]] = numbers[::-1]
        most = np.float32(len(self))
        since_first, since_last = (np.float32(len(self) - 1) - each for each in (first, last))
        return since_first / most, since_last / most

    @cached_property
    def matrix(self) -> sp.csr_array:
        """1 where a playlist (row) has a song (column)."""
        import scipy.sparse as sp

        starts = np.concatenate(([0], self.ends))
        ones = np.ones(len(self.songs), np.float32)
        shape = (len(self), self.count)
        return sp.csr_array((ones, self.songs, starts), shape)

    @cached_property
    def by_song(self) -> sp.csr_array:
        """The same turned: a row for each song."""
        return self.matrix.T.tocsr()

    def likeness(self, seeds: Sequence[int], weights: Scores, config: SongConfig) -> Scores:
        """How like the seeds each playlist is, shape (playlists,); 0 without a common song."""
        rows = list(seeds)
        each = weights * self.frequencies[rows] ** -config.seed_exponent
        found = np.zeros(len(self), np.float32)
        for row, weight in zip(rows, each, strict=True):
            found[self.playlists_of(row)] += weight
        touched = np.flatnonzero(found)
        found[touched] *= self.lengths[touched] ** -config.length_exponent
        found[touched] **= config.sharpness
        return found

    def scores(self, likeness: Scores, config: SongConfig) -> tuple[Rows, Scores]:
        """The songs of all playlists that have a likeness, ascending, and their scores."""
        near = np.flatnonzero(likeness)
        sizes = self.lengths[near].astype(np.int64)
        ends = np.cumsum(sizes)
        first = np.repeat(self.ends[near] - ends, sizes)
        members = self.songs[first + np.arange(len(first))]
        total = np.bincount(members, np.repeat(likeness[near], sizes), self.count)
        there = np.zeros(self.count, bool)
        there[members] = True
        rows = np.flatnonzero(there)
        popularity = self.frequencies[rows] ** -config.popularity_exponent
        return rows, (total[rows] * popularity).astype(np.float32)

    def playlists_of(self, row: int) -> NDArray[np.int32]:
        """Numbers of the playlists that have a song, ascending."""
        turned = self.by_song
        found: NDArray[np.int32] = turned.indices[turned.indptr[row] : turned.indptr[row + 1]]
        return found
