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
    from embedsearch.answers.answer import Answer, AnswerConfig, Citation, Problem, Usage
    from embedsearch.collection.collection import Collection
    from embedsearch.collection.plan import SyncConfig
    from embedsearch.collection.status import Status
    from embedsearch.encoder import SentenceEncoder
    from embedsearch.encoder.static import StaticConfig, StaticReport, distil_static
    from embedsearch.encoder.training.config import EncoderTrainingConfig
    from embedsearch.encoder.training.examples import LabelledText, ScoredPair, TrainingPair
    from embedsearch.encoder.training.report import TrainingReport
    from embedsearch.encoder.training.scratch import NewEncoderConfig, new_encoder
    from embedsearch.errors import EmbedSearchError
    from embedsearch.evaluation.tokenizer import TokenizerEvaluationConfig, evaluate_tokenizers
    from embedsearch.finetuning.closed_loop import LoopConfig, improve_encoder
    from embedsearch.finetuning.collection_pairs import CollectionPairsConfig, pairs_from_collection
    from embedsearch.finetuning.data import TrainingDataConfig, read_training_data
    from embedsearch.finetuning.evaluation import EncoderEvaluationConfig, evaluate_encoder
    from embedsearch.finetuning.hard_negatives import MiningConfig, mine_hard_negatives
    from embedsearch.finetuning.promotion import PromotionConfig, try_model
    from embedsearch.finetuning.training import train_encoder
    from embedsearch.finetuning.written_questions import (
        WrittenQuestions,
        WrittenQuestionsConfig,
        write_questions,
    )
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
    from embedsearch.songs import (
        Song,
        SongConfig,
        SongRecommender,
        evaluate_songs,
        read_playlists,
        read_songs,
    )
    from embedsearch.text.chunking import ChunkingConfig
    from embedsearch.text.groups import TextGroup
    from embedsearch.text.inspection import Inspection, inspect_text
    from embedsearch.text.merges import compression_curve
    from embedsearch.text.terms import mine_terms
    from embedsearch.text.tokenizer import Tokenizer
    from embedsearch.text.training import TokenizerConfig
    from embedsearch.tokenizers.comparison import compare_tokenizers
    from embedsearch.tokenizers.costs import ComparisonConfig, TokenizerComparison
    from embedsearch.tokenizers.vectors import compare_word, token_vectors
    from embedsearch.tuning.embeddings import resize_embeddings
    from embedsearch.types import Chunk, Document, Encoder, Hit, SyncReport
    from embedsearch.word2vec import KeyedVectors, Word2VecConfig, read_sequences, train_word2vec
    from embedsearch.words.key_index import KeyIndex

    open = Collection.open  # noqa: A001

__version__ = "0.1.0"

_HOMES = {
    "Answer": "answers.answer",
    "AnswerConfig": "answers.answer",
    "ArchitectureConfig": "generation.training",
    "CausalLM": "generation",
    "Chunk": "types",
    "ChunkingConfig": "text.chunking",
    "Citation": "answers.answer",
    "Collection": "collection.collection",
    "CollectionPairsConfig": "finetuning.collection_pairs",
    "ComparisonConfig": "tokenizers.costs",
    "Document": "types",
    "EmbedSearchError": "errors",
    "Encoder": "types",
    "EncoderEvaluationConfig": "finetuning.evaluation",
    "EncoderTrainingConfig": "encoder.training.config",
    "Generation": "generation",
    "GenerationConfig": "generation",
    "Hit": "types",
    "IndexConfig": "index.config",
    "Inspection": "text.inspection",
    "KeyIndex": "words.key_index",
    "KeyedVectors": "word2vec",
    "LMTrainingConfig": "generation.training",
    "LMTrainingReport": "generation.training",
    "LabelledText": "encoder.training.examples",
    "LanguageModel": "generation",
    "LoopConfig": "finetuning.closed_loop",
    "MiningConfig": "finetuning.hard_negatives",
    "NewEncoderConfig": "encoder.training.scratch",
    "Pair": "generation.training",
    "Problem": "answers.answer",
    "PromotionConfig": "finetuning.promotion",
    "ScoredPair": "encoder.training.examples",
    "SentenceEncoder": "encoder",
    "ServerLM": "generation",
    "ServerLimits": "generation",
    "Song": "songs",
    "SongConfig": "songs",
    "SongRecommender": "songs",
    "StaticConfig": "encoder.static",
    "StaticReport": "encoder.static",
    "Status": "collection.status",
    "SyncConfig": "collection.plan",
    "SyncReport": "types",
    "TextGroup": "text.groups",
    "Tokenizer": "text.tokenizer",
    "TokenizerComparison": "tokenizers.costs",
    "TokenizerConfig": "text.training",
    "TokenizerEvaluationConfig": "evaluation.tokenizer",
    "TrainingDataConfig": "finetuning.data",
    "TrainingPair": "encoder.training.examples",
    "TrainingReport": "encoder.training.report",
    "Usage": "answers.answer",
    "Word2VecConfig": "word2vec",
    "WrittenQuestions": "finetuning.written_questions",
    "WrittenQuestionsConfig": "finetuning.written_questions",
    "compare_tokenizers": "tokenizers.comparison",
    "compare_word": "tokenizers.vectors",
    "compression_curve": "text.merges",
    "distil_static": "encoder.static",
    "evaluate_encoder": "finetuning.evaluation",
    "evaluate_songs": "songs",
    "evaluate_tokenizers": "evaluation.tokenizer",
    "improve_encoder": "finetuning.closed_loop",
    "inspect_text": "text.inspection",
    "mine_hard_negatives": "finetuning.hard_negatives",
    "mine_terms": "text.terms",
    "new_encoder": "encoder.training.scratch",
    "pairs_from_collection": "finetuning.collection_pairs",
    "read_pairs": "generation.training",
    "read_playlists": "songs",
    "read_sequences": "word2vec",
    "read_songs": "songs",
    "read_training_data": "finetuning.data",
    "resize_embeddings": "tuning.embeddings",
    "start_anew": "generation.training",
    "start_from": "generation.training",
    "token_vectors": "tokenizers.vectors",
    "train_encoder": "finetuning.training",
    "train_lm": "generation.training",
    "train_word2vec": "word2vec",
    "try_model": "finetuning.promotion",
    "write_questions": "finetuning.written_questions",
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
    "WrittenQuestions",
    "WrittenQuestionsConfig",
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
    "write_questions",
]


def __getattr__(name: str) -> Any:
    if name == "open":
        return import_module("embedsearch.collection.collection").Collection.open
    if name in _HOMES:
        return getattr(import_module(f"embedsearch.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'embedsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
