"""Recommending songs: by shared playlists and by vectors, for songs never seen, with reasons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import InputError
from embedsearch.songs.artists import Artists
from embedsearch.songs.catalogue import Catalogue, Song, identity_of
from embedsearch.songs.coldstart import TextMap
from embedsearch.songs.config import SongConfig
from embedsearch.songs.cooccurrence import Cooccurrence
from embedsearch.songs.explaining import Explanation, explain
from embedsearch.songs.finding import find_song
from embedsearch.songs.playlists import Playlists, collect
from embedsearch.songs.query import Query, seed_weights
from embedsearch.songs.ranking import Ranker, diversify
from embedsearch.songs.space import SongSpace
from embedsearch.songs.vectors import SongVectors
from embedsearch.types import SILENT, Encoder, Progress
from embedsearch.word2vec import KeyedVectors, train_word2vec

if TYPE_CHECKING:
    from numpy.typing import NDArray


MAX_K = 10_000
_POOL = 10
"""Songs for each that is wanted, among which diversity chooses."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """A song; `score` is higher for better, and of one list only."""

    rank: int
    id: str
    title: str
    artist: str
    score: float


class SongRecommender:
    """Songs that go with others, learned from playlists.

    Attributes:
        config: the settings.
        vectors: the song vectors, the most frequent song first.
        playlists: those learned from, as rows of `vectors`.
        playlist_names: what each of them is called, see `Playlists`.
        catalogue: what is known of songs, of ones without a vector too.
    """

    def __init__(
        self,
        config: SongConfig,
        vectors: KeyedVectors,
        playlists: Cooccurrence,
        playlist_names: Sequence[str],
        catalogue: Catalogue,
        text_map: TextMap | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self.config, self.vectors, self.catalogue = config, vectors, catalogue
        self.playlists, self.playlist_names = playlists, playlist_names
        self._space = SongSpace(vectors, catalogue, text_map, encoder)

    @classmethod
    def fit(
        cls,
        playlists: Iterable[Sequence[str]],
        config: SongConfig | None = None,
        *,
        songs: Iterable[Song] | Catalogue = (),
        encoder: Encoder | None = None,
        checkpoint: str | Path | None = None,
        progress: Progress = SILENT,
    ) -> SongRecommender:
        """Learns from playlists, each a list of song ids in order.

        Args:
            playlists: see `read_playlists`. Empty ones, those of one song and repeated songs are
                passed over.
            songs: what is known of songs, see `read_songs`; for titles, and with an encoder for
                songs in no playlist.
            encoder: for songs in no playlist and descriptions in words; None: neither.
            checkpoint: a folder for the state of the vectors, see `train_word2vec`.

        Raises InputError where no playlist of two songs is there, and as `train_word2vec`.
        """
        config = config or SongConfig()
        given = playlists if isinstance(playlists, Playlists) else collect(playlists)
        if not given.lists:
            raise InputError("there is nothing to learn: no playlist has two songs or more")
        described = songs.values() if isinstance(songs, Catalogue) else songs
        catalogue = Catalogue([*described, *given.songs.values()])
        vectors = train_word2vec(
            given.lists, config.word2vec(), checkpoint=checkpoint, progress=progress
        )
        places = vectors.key_to_index
        lists = [[places[song] for song in each if song in places] for each in given.lists]
        kept = [at for at, each in enumerate(lists) if len(each) > 1]
        together = Cooccurrence.of([lists[at] for at in kept], len(vectors))
        names = [given.names[at] for at in kept]
        found = cls(config, vectors, together, names, catalogue)
        if encoder is not None:
            found._space.learn_map(encoder, progress)
        return found

    @property
    def text_map(self) -> TextMap | None:
        """From a sentence encoder's space to that of the songs; None without an encoder."""
        return self._space.text_map

    def __len__(self) -> int:
        return len(self.vectors)

    def __contains__(self, song: object) -> bool:
        return song in self.vectors

    @cached_property
    def ranker(self) -> Ranker:
        """The scores of rows, without names."""
        vectors = SongVectors(self.vectors.vectors, self.vectors.output)  # type: ignore[arg-type]
        artists = Artists.named(self.vectors.keys, self.catalogue)
        return Ranker(self.config, vectors, self.playlists, self._identity, artists)

    def find(self, typed: str) -> Song:
        """The song of an id, or of a title and artist as a person types them.

        Of several releases of a song the one in most playlists is meant. Raises NotFoundError with
        what is near, InputError where several songs fit.
        """
        return find_song(typed, self.vectors, self.catalogue)

    def recommend(
        self,
        seeds: Sequence[str] = (),
        k: int = 10,
        *,
        text: str | None = None,
        exclude: Sequence[str] = (),
        diversity: float = 0.0,
    ) -> list[Recommendation]:
        """Songs that go on from the seeds, best first, without the seeds.

        Args:
            seeds: ids, or titles and artists, in order: later ones count a little more.
            text: a description in words, instead of the seeds or beside them, where it counts as
                much as all of them; needs an encoder.
            exclude: songs that are not wanted.
            diversity: from 0 to 1, how much songs that resemble those before them are put off
                (maximal marginal relevance, Carbonell and Goldstein 1998).

        Raises InputError, NotFoundError as `find`.
        """
        _check(k, diversity)
        songs = self._find_all("seeds", seeds)
        query = self._query(songs, text)
        unwanted = [*songs, *self._find_all("exclude", exclude)]
        pool = min(k * _POOL if diversity else k, len(self))
        unheard = {identity_of(song) for song in unwanted if song.id not in self.vectors}
        rows, scores = self.ranker.best(query, pool, self._rows(unwanted), unheard)
        if diversity:
            rows, scores = diversify(rows, scores, self.ranker.vectors.units, k, diversity)
        return self._named(rows, scores)

    def similar(self, song: str, k: int = 10) -> list[Recommendation]:
        """Songs whose vectors are nearest by cosine. Raises as `find`."""
        _check(k, 0.0)
        found = self.find(song)
        inputs = self._space.pair(found)[0]
        own = self.vectors.key_to_index.get(found.id)
        rows, scores = self.ranker.vectors.nearest(inputs, k + 1)
        kept = np.flatnonzero((rows != own) & (rows >= 0))[:k] if own is not None else slice(k)
        return self._named(rows[kept], scores[kept])

    def explain(
        self,
        seeds: Sequence[str],
        song: str,
        *,
        text: str | None = None,
        exclude: Sequence[str] = (),
        playlists: int = 3,
    ) -> Explanation:
        """Which seeds a recommended song comes from, and playlists in which they meet.

        `text` and `exclude` as they were given to `recommend`. Raises as `find`.
        """
        known = self._find_all("seeds", seeds)
        if not known:
            raise InputError("a recommendation from a text alone comes from no seeds")
        return explain(
            self.ranker,
            self._query(known, text),
            [each.id for each in known],
            self.find(song).id,
            playlists,
            self.vectors,
            self.playlist_names,
            self._rows([*known, *self._find_all("exclude", exclude)]),
        )

    def encode(self, text: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Input and output vector of songs that a text describes, each of shape (vector_size,).

        Raises InputError where the recommender has no map, FingerprintError.
        """
        return self._space.encode(text)

    def save(self, folder: str | Path) -> None:
        """Writes a folder for `load`. Raises StorageError, LockedError where another saving takes
        long."""
        from embedsearch.songs.folder import save_recommender

        save_recommender(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path, *, encoder: Encoder | None = None) -> SongRecommender:
        """Opens what `save` wrote; matrices are mapped.

        `encoder` None loads the one it was trained with when it is needed. Raises NotFoundError,
        IndexFileError, FingerprintError.
        """
        from embedsearch.songs.folder import load_recommender

        return load_recommender(Path(folder), encoder)

    def _find_all(self, what: str, typed: Sequence[str]) -> list[Song]:
        """Each song once. Raises InputError for a text in place of a list, and as `find`."""
        if isinstance(typed, str):
            raise InputError(f"{what} must be a list of songs, not the text {typed!r}")
        return list({song.id: song for song in map(self.find, typed)}.values())

    def _rows(self, songs: Iterable[Song]) -> list[int]:
        """The rows of the songs that playlists have."""
        places = self.vectors.key_to_index
        return [places[song.id] for song in songs if song.id in places]

    def _identity(self, row: int) -> tuple[str, ...]:
        """The same for rows that are one song, see `identity_of`."""
        found = self._identities.get(row)
        if found is None:
            found = identity_of(self.catalogue.get_song(self.vectors.keys[row]))
            self._identities[row] = found
        return found

    @cached_property
    def _identities(self) -> dict[int, tuple[str, ...]]:
        return {}

    def _query(self, songs: Sequence[Song], text: str | None) -> Query:
        pairs = [self._space.pair(song) for song in songs]
        weights = seed_weights(len(songs), self.config.recency)
        rows = [self.vectors.key_to_index.get(song.id, -1) for song in songs]
        known = self.ranker.artists
        artists = [known.of_song(song) if known else () for song in songs]
        if text is not None:
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"the text must say something, not {text!r}")
            pairs.append(self.encode(text))
            rows.append(-1)
            artists.append(())
            weights = np.append(weights, weights.sum() or np.float32(1))
        if not pairs:
            raise InputError("give at least one song, or a text")
        inputs, outputs = (np.stack(side) for side in zip(*pairs, strict=True))
        return Query(
            rows=tuple(rows),
            weights=weights,
            inputs=inputs,
            outputs=outputs,
            artists=tuple(artists),
        )

    def _named(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Recommendation]:
        found = []
        for rank, (row, score) in enumerate(zip(rows.tolist(), scores.tolist(), strict=True), 1):
            song = self.catalogue.get_song(self.vectors.keys[row])
            found.append(
                Recommendation(
                    rank=rank, id=song.id, title=song.title, artist=song.artist, score=score
                )
            )
        return found


def _check(k: int, diversity: float) -> None:
    if type(k) is not int or not 1 <= k <= MAX_K:
        raise InputError(f"k must be a whole number from 1 to {MAX_K}, not {k!r}")
    if not isinstance(diversity, int | float) or not 0 <= diversity <= 1:
        raise InputError(f"diversity is a number from 0 to 1, not {diversity!r}")
