"""Where songs are among the vectors, those that no playlist has too."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import InputError
from embedsearch.songs.catalogue import Catalogue, Song
from embedsearch.songs.coldstart import MOST_TEXTS, Relatives, TextMap, vector_of
from embedsearch.types import Encoder, Progress
from embedsearch.word2vec import KeyedVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import Vectors

    Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


class SongSpace:
    """Input and output vectors of songs, made up from their texts where they have none.

    Attributes:
        vectors: of the songs that playlists have.
        catalogue: what is known of songs.
        text_map: from a sentence encoder's space to that of the songs; None without an encoder.
    """

    def __init__(
        self,
        vectors: KeyedVectors,
        catalogue: Catalogue,
        text_map: TextMap | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        if vectors.output is None:
            raise InputError("the output vectors are needed: train_word2vec makes them")
        if encoder is not None and text_map is not None:
            text_map.check(encoder)
        self.vectors, self.catalogue, self.text_map = vectors, catalogue, text_map
        self._encoder = encoder

    def learn_map(self, encoder: Encoder, progress: Progress) -> None:
        """Makes the map from texts. Raises InputError where nothing is known of any song."""
        texts, rows = list[str](), list[int]()
        for row, song_id in enumerate(self.vectors.keys):
            song = self.catalogue.get(song_id)
            if song is not None and song.text and len(texts) < MOST_TEXTS:
                texts.append(song.text)
                rows.append(row)
        if not texts:
            raise InputError("titles are needed to understand texts: give songs=, see read_songs")
        self._encoder = encoder
        self.text_map = TextMap.learn(encoder, texts, self._joined[rows], progress=progress)

    def encode(self, text: str) -> Pair:
        """Of songs that a text describes, each of shape (vector_size,).

        Raises InputError where there is no map, FingerprintError.
        """
        text_map, encoder = self._mapping()
        return self._halves(text_map.apply(encoder.encode_query([text]))[0])

    def pair(self, song: Song) -> Pair:
        """Of a song, each of shape (vector_size,). Raises InputError where nothing is known."""
        row = self.vectors.key_to_index.get(song.id)
        if row is not None:
            return self.vectors.vectors[row], self.vectors.output[row]  # type: ignore[index]
        mapped = None
        if self.text_map is not None and song.text:
            text_map, encoder = self._mapping()
            mapped = text_map.apply(encoder.encode_document([song.text]))[0]
        return self._halves(vector_of(song, self._joined, self._relatives, mapped))

    @cached_property
    def _joined(self) -> Vectors:
        """Both matrices side by side."""
        return np.concatenate((self.vectors.vectors, self.vectors.output), axis=1)  # type: ignore[arg-type]

    @cached_property
    def _relatives(self) -> Relatives:
        return Relatives(self.vectors.keys, self.catalogue)

    def _mapping(self) -> tuple[TextMap, Encoder]:
        if self.text_map is None:
            raise InputError(
                "this recommender knows no texts: train it with titles (--songs) and an encoder"
            )
        if self._encoder is None:
            from embedsearch.encoder import SentenceEncoder

            encoder = SentenceEncoder.load(self.text_map.encoder)
            self.text_map.check(encoder)
            self._encoder = encoder
        return self.text_map, self._encoder

    def _halves(self, joined: NDArray[np.float32]) -> Pair:
        size = self.vectors.vector_size
        return joined[:size], joined[size:]
