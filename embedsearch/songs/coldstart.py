"""Vectors for songs that no playlist has, from what is written about them.

Ridge regression from the space of a sentence encoder into the space of songs, both matrices at
once; where other songs of the artist or the album are known, their mean is mixed in. The same map
takes a description in words to where such songs are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import FingerprintError, InputError
from embedsearch.songs.catalogue import Catalogue, Song, words_of
from embedsearch.types import SILENT, Encoder, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import Vectors

MOST_TEXTS = 20_000
"""Songs that the map is learned from, those in most playlists; more make it little better."""
RIDGE = 3.0
TEXT_SHARE = 0.3
"""Of the map, beside the mean of the songs of an artist."""
ALBUM_SHARE = 0.5
"""Of the album's songs, beside all songs of the artist."""
_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class TextMap:
    """`weights` takes [text vector, 1] to [input vector, output vector] of a song.

    Shape (encoder's dim + 1, 2 * vector_size); `fingerprint` is that of the encoder, `encoder` the
    name under which it was loaded.
    """

    weights: Vectors
    encoder: str
    fingerprint: str

    @classmethod
    def learn(
        cls,
        encoder: Encoder,
        texts: Sequence[str],
        targets: Vectors,
        *,
        progress: Progress = SILENT,
    ) -> TextMap:
        """From texts of songs and their vectors, shape (len(texts), 2 * vector_size)."""
        progress.start("reading titles", len(texts), "songs")
        parts = []
        for at in range(0, len(texts), _BATCH):
            batch = texts[at : at + _BATCH]
            parts.append(encoder.encode_document(batch))
            progress.advance(len(batch))
        known = _with_one(np.concatenate(parts)).astype(np.float64)
        penalty = RIDGE * np.eye(known.shape[1])
        penalty[-1, -1] = 0  # the mean is not to be shortened
        weights = np.linalg.solve(known.T @ known + penalty, known.T @ targets)
        return cls(
            weights=np.ascontiguousarray(weights, np.float32),
            encoder=encoder.name,
            fingerprint=encoder.fingerprint,
        )

    def apply(self, vectors: Vectors) -> Vectors:
        """Text vectors (n, dim) to song vectors (n, 2 * vector_size)."""
        found: Vectors = _with_one(vectors) @ self.weights
        return found

    def check(self, encoder: Encoder) -> None:
        """Raises FingerprintError for another encoder than the map was learned with."""
        if encoder.fingerprint != self.fingerprint:
            raise FingerprintError(
                f"the recommender was made with the encoder {self.encoder!r}, fingerprint "
                f"{self.fingerprint[:16]}, not with {encoder.name!r}, {encoder.fingerprint[:16]}"
            )


class Relatives:
    """Which rows of a model have an artist or an album in common with a song."""

    def __init__(self, songs: Sequence[str], catalogue: Catalogue) -> None:
        self._rows: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for row, song_id in enumerate(songs):
            song = catalogue.get(song_id)
            for key in _keys(song) if song else ():
                self._rows[key].append(row)

    def mean(self, song: Song, vectors: Vectors) -> NDArray[np.float32] | None:
        """The mean vector of the songs of an artist, those of the album twice; None without any."""
        means = []
        for kind in ("artist", "album"):
            rows = [row for key in _keys(song) if key[0] == kind for row in self._rows.get(key, ())]
            means.append(vectors[rows].mean(axis=0) if rows else None)
        artist, album = means
        if artist is None or album is None:
            return album if artist is None else artist
        found: NDArray[np.float32] = ALBUM_SHARE * album + (1 - ALBUM_SHARE) * artist
        return found


def vector_of(
    song: Song, vectors: Vectors, relatives: Relatives, mapped: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """A song's [input, output] vector by its relatives and by the map of its text.

    Raises InputError where neither tells anything.
    """
    near = relatives.mean(song, vectors)
    if near is None and mapped is None:
        raise InputError(
            f"nothing is known of {song.label!r}: it is in no playlist, none of its artist's songs "
            "is, and the recommender was trained without --songs, so titles tell it nothing"
        )
    if near is None or mapped is None:
        return mapped if near is None else near  # type: ignore[return-value]
    found: NDArray[np.float32] = TEXT_SHARE * mapped + (1 - TEXT_SHARE) * near
    return found


def _keys(song: Song) -> list[tuple[str, ...]]:
    """All artists of a song; the album with its first artist, for many are called Greatest Hits."""
    artists = [" ".join(words_of(name)) for name in song.artist.split(",")]
    found: list[tuple[str, ...]] = [("artist", name) for name in artists if name]
    album = " ".join(words_of(song.album))
    return [*found, ("album", album, artists[0])] if album else found


def _with_one(vectors: Vectors) -> Vectors:
    return np.concatenate((vectors, np.ones((len(vectors), 1), np.float32)), axis=1)
