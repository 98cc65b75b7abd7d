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
    from embedsearch.answers import Answer, AnswerConfig, Citation, Usage
    from embedsearch.collection import Collection
    from embedsearch.encoder import SentenceEncoder
    from embedsearch.encoder.static import StaticConfig, StaticReport, distil_static
    from embedsearch.errors import EmbedSearchError
    from embedsearch.plan import SyncConfig
    from embedsearch.status import Status
    from embedsearch.text.chunking import ChunkingConfig
    from embedsearch.text.tokenizer import Tokenizer
    from embedsearch.types import Chunk, Document, Encoder, Hit, SyncReport

    open = Collection.open  # noqa: A001

__version__ = "0.1.0"

_HOMES = {
    "Answer": "answers",
    "AnswerConfig": "answers",
    "Chunk": "types",
    "ChunkingConfig": "text.chunking",
    "Citation": "answers",
    "Collection": "collection",
    "Document": "types",
    "EmbedSearchError": "errors",
    "Encoder": "types",
    "Hit": "types",
    "SentenceEncoder": "encoder",
    "StaticConfig": "encoder.static",
    "StaticReport": "encoder.static",
    "Status": "status",
    "SyncConfig": "plan",
    "SyncReport": "types",
    "Tokenizer": "text.tokenizer",
    "Usage": "answers",
    "distil_static": "encoder.static",
}

__all__ = [
    "Answer",
    "AnswerConfig",
    "Chunk",
    "ChunkingConfig",
    "Citation",
    "Collection",
    "Document",
    "EmbedSearchError",
    "Encoder",
    "Hit",
    "SentenceEncoder",
    "StaticConfig",
    "StaticReport",
    "Status",
    "SyncConfig",
    "SyncReport",
    "Tokenizer",
    "Usage",
    "distil_static",
    "open",
]


def __getattr__(name: str) -> Any:
    if name == "open":
        return import_module("embedsearch.collection").Collection.open
    if name in _HOMES:
        return getattr(import_module(f"embedsearch.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'embedsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
