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
    from embedsearch.answers import Answer, AnswerConfig, Citation, Problem, Usage
    from embedsearch.collection import Collection
    from embedsearch.encoder import SentenceEncoder
    from embedsearch.encoder.static import StaticConfig, StaticReport, distil_static
    from embedsearch.errors import EmbedSearchError
    from embedsearch.generation import (
        CausalLM,
        Generation,
        GenerationConfig,
        LanguageModel,
        ServerLimits,
        ServerLM,
    )
    from embedsearch.generation.training import (
        ArchitectureConfig,
        LMTrainingConfig,
        LMTrainingReport,
        Pair,
        read_pairs,
        start_anew,
        start_from,
        train_lm,
    )
    from embedsearch.index.config import IndexConfig
    from embedsearch.key_index import KeyIndex
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
    from embedsearch.text.groups import TextGroup
    from embedsearch.text.inspection import Inspection, inspect_text
    from embedsearch.text.merges import compression_curve
    from embedsearch.text.terms import mine_terms
    from embedsearch.text.tokenizer import Tokenizer
    from embedsearch.text.training import TokenizerConfig
    from embedsearch.tokenizer_compare import compare_tokenizers
    from embedsearch.tokenizer_costs import ComparisonConfig, TokenizerComparison
    from embedsearch.tokenizer_evaluate import TokenizerEvaluationConfig, evaluate_tokenizers
    from embedsearch.tokens_to_vectors import compare_word, token_vectors
    from embedsearch.tuning.embeddings import resize_embeddings
    from embedsearch.types import Chunk, Document, Encoder, Hit, SyncReport
    from embedsearch.word2vec import KeyedVectors, Word2VecConfig, read_sequences, train_word2vec

    open = Collection.open  # noqa: A001

__version__ = "0.1.0"

_HOMES = {
    "Answer": "answers",
    "AnswerConfig": "answers",
    "ArchitectureConfig": "generation.training",
    "CausalLM": "generation",
    "Chunk": "types",
    "ChunkingConfig": "text.chunking",
    "Citation": "answers",
    "Collection": "collection",
    "CollectionPairsConfig": "collection_pairs",
    "ComparisonConfig": "tokenizer_costs",
    "Document": "types",
    "EmbedSearchError": "errors",
    "Encoder": "types",
    "EncoderEvaluationConfig": "encoder_evaluate",
    "EncoderTrainingConfig": "encoder.training.config",
    "Generation": "generation",
    "GenerationConfig": "generation",
    "Hit": "types",
    "IndexConfig": "index.config",
    "Inspection": "text.inspection",
    "KeyIndex": "key_index",
    "KeyedVectors": "word2vec",
    "LMTrainingConfig": "generation.training",
    "LMTrainingReport": "generation.training",
    "LabelledText": "encoder.training.examples",
    "LanguageModel": "generation",
    "LoopConfig": "closed_loop",
    "MiningConfig": "hard_negatives",
    "NewEncoderConfig": "encoder.training.scratch",
    "Pair": "generation.training",
    "Problem": "answers",
    "PromotionConfig": "promotion",
    "ScoredPair": "encoder.training.examples",
    "SentenceEncoder": "encoder",
    "ServerLM": "generation",
    "ServerLimits": "generation",
    "Song": "songs",
    "SongConfig": "songs",
    "SongRecommender": "songs",
    "StaticConfig": "encoder.static",
    "StaticReport": "encoder.static",
    "Status": "status",
    "SyncConfig": "plan",
    "SyncReport": "types",
    "TextGroup": "text.groups",
    "Tokenizer": "text.tokenizer",
    "TokenizerComparison": "tokenizer_costs",
    "TokenizerConfig": "text.training",
    "TokenizerEvaluationConfig": "tokenizer_evaluate",
    "TrainingDataConfig": "training_data",
    "TrainingPair": "encoder.training.examples",
    "TrainingReport": "encoder.training.report",
    "Usage": "answers",
    "Word2VecConfig": "word2vec",
    "compare_tokenizers": "tokenizer_compare",
    "compare_word": "tokens_to_vectors",
    "compression_curve": "text.merges",
    "distil_static": "encoder.static",
    "evaluate_encoder": "encoder_evaluate",
    "evaluate_songs": "songs",
    "evaluate_tokenizers": "tokenizer_evaluate",
    "improve_encoder": "closed_loop",
    "inspect_text": "text.inspection",
    "mine_hard_negatives": "hard_negatives",
    "mine_terms": "text.terms",
    "new_encoder": "encoder.training.scratch",
    "pairs_from_collection": "collection_pairs",
    "read_pairs": "generation.training",
    "read_playlists": "songs",
    "read_sequences": "word2vec",
    "read_songs": "songs",
    "read_training_data": "training_data",
    "resize_embeddings": "tuning.embeddings",
    "start_anew": "generation.training",
    "start_from": "generation.training",
    "token_vectors": "tokens_to_vectors",
    "train_encoder": "encoder_training",
    "train_lm": "generation.training",
    "train_word2vec": "word2vec",
    "try_model": "promotion",
}

__all__ = [
    "Answer",
    "AnswerConfig",
    "ArchitectureConfig",
    "CausalLM",
    "Chunk",
    "ChunkingConfig",
    "Citation",
    "Collection",
    "CollectionPairsConfig",
    "ComparisonConfig",
    "Document",
    "EmbedSearchError",
    "Encoder",
    "EncoderEvaluationConfig",
    "EncoderTrainingConfig",
    "Generation",
    "GenerationConfig",
    "Hit",
    "IndexConfig",
    "Inspection",
    "KeyIndex",
    "KeyedVectors",
    "LMTrainingConfig",
    "LMTrainingReport",
    "LabelledText",
    "LanguageModel",
    "LoopConfig",
    "MiningConfig",
    "NewEncoderConfig",
    "Pair",
    "Problem",
    "PromotionConfig",
    "ScoredPair",
    "SentenceEncoder",
    "ServerLM",
    "ServerLimits",
    "Song",
    "SongConfig",
    "SongRecommender",
    "StaticConfig",
    "StaticReport",
    "Status",
    "SyncConfig",
    "SyncReport",
    "TextGroup",
    "Tokenizer",
    "TokenizerComparison",
    "TokenizerConfig",
    "TokenizerEvaluationConfig",
    "TrainingDataConfig",
    "TrainingPair",
    "TrainingReport",
    "Usage",
    "Word2VecConfig",
    "compare_tokenizers",
    "compare_word",
    "compression_curve",
    "distil_static",
    "evaluate_encoder",
    "evaluate_songs",
    "evaluate_tokenizers",
    "improve_encoder",
    "inspect_text",
    "mine_hard_negatives",
    "mine_terms",
    "new_encoder",
    "open",
    "pairs_from_collection",
    "read_pairs",
    "read_playlists",
    "read_sequences",
    "read_songs",
    "read_training_data",
    "resize_embeddings",
    "start_anew",
    "start_from",
    "token_vectors",
    "train_encoder",
    "train_lm",
    "train_word2vec",
    "try_model",
]


def __getattr__(name: str) -> Any:
    if name == "open":
        return import_module("embedsearch.collection").Collection.open
    if name in _HOMES:
        return getattr(import_module(f"embedsearch.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'embedsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
