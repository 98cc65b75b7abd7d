"""The song that a person means."""

from __future__ import annotations

from embedsearch.errors import InputError, NotFoundError
from embedsearch.songs.catalogue import Catalogue, Song
from embedsearch.word2vec import KeyedVectors
from embedsearch.word2vec.spelling import nearest_spellings


def find_song(typed: str, vectors: KeyedVectors, catalogue: Catalogue) -> Song:
    """See `SongRecommender.find`."""
    if not isinstance(typed, str):
        raise InputError(f"a song is an id or a title, a text, not {typed!r}")
    if typed in vectors:
        return catalogue.get_song(typed)

    def standing(song: Song) -> int:
        """Higher for songs in more playlists: the vectors have the most frequent song first."""
        return -vectors.key_to_index.get(song.id, len(vectors))

    try:
        return catalogue.resolve(typed, standing)
    except NotFoundError as error:
        titled = catalogue.find(typed, 1)
        near = () if titled else nearest_spellings(typed, vectors.keys)
        if not near:
            raise
        raise NotFoundError(f"{error}; near it: {', '.join(near)}") from None
