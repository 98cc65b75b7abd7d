"""Embedding and semantic search: index documents, search them by meaning, on one machine.

    import embedsearch as es

    collection = es.open("notes.es")
    collection.sync(["docs/"])
    for hit in collection.search("how do I log in?"):
        print(hit.score, hit.document_id, hit.text)

Importing this package loads neither torch nor FAISS: names are imported when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedsearch.collection import Collection
    from embedsearch.encoder import SentenceEncoder
    from embedsearch.errors import EmbedSearchError
    from embedsearch.plan import SyncConfig
    from embedsearch.songs import (
        Song,
        SongConfig,
        SongRecommender,
        evaluate_songs,
        read_playlists,
        read_songs,
    )
    from embedsearch.status import Status
    from embedsearch.text.chunking import ChunkingConfig
    from embedsearch.text.tokenizer import Tokenizer
    from embedsearch.types import Chunk, Document, Encoder, Hit, SyncReport
    from embedsearch.word2vec import KeyedVectors, Word2VecConfig, read_sequences, train_word2vec

    open = Collection.open  # noqa: A001

__version__ = "0.1.0"

_HOMES = {
    "Chunk": "types",
    "ChunkingConfig": "text.chunking",
    "Collection": "collection",
    "Document": "types",
    "EmbedSearchError": "errors",
    "Encoder": "types",
    "Hit": "types",
    "KeyedVectors": "word2vec",
    "SentenceEncoder": "encoder",
    "Song": "songs",
    "SongConfig": "songs",
    "SongRecommender": "songs",
    "Status": "status",
    "SyncConfig": "plan",
    "SyncReport": "types",
    "Tokenizer": "text.tokenizer",
    "Word2VecConfig": "word2vec",
    "evaluate_songs": "songs",
    "read_playlists": "songs",
    "read_sequences": "word2vec",
    "read_songs": "songs",
    "train_word2vec": "word2vec",
}

__all__ = [
    "Chunk",
    "ChunkingConfig",
    "Collection",
    "Document",
    "EmbedSearchError",
    "Encoder",
    "Hit",
    "KeyedVectors",
    "SentenceEncoder",
    "Song",
    "SongConfig",
    "SongRecommender",
    "Status",
    "SyncConfig",
    "SyncReport",
    "Tokenizer",
    "Word2VecConfig",
    "evaluate_songs",
    "open",
    "read_playlists",
    "read_sequences",
    "read_songs",
    "train_word2vec",
]


def __getattr__(name: str) -> Any:
    if name == "open":
        return import_module("embedsearch.collection").Collection.open
    if name in _HOMES:
        return getattr(import_module(f"embedsearch.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'embedsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
