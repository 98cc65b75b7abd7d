"""To and from gensim's objects in memory. Its files are pickles, which are never read here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.errors import DependencyError, InputError
from embedsearch.word2vec.keyed_vectors import KeyedVectors

if TYPE_CHECKING:
    from embedsearch.types import Vectors
    from embedsearch.word2vec.vocabulary import Counts


def to_gensim(found: KeyedVectors) -> Any:
    """See `KeyedVectors.to_gensim`."""
    try:
        from gensim.models import KeyedVectors as GensimVectors
    except ImportError:
        raise DependencyError("gensim is not installed: pip install gensim") from None
    made = GensimVectors(found.vector_size)
    made.add_vectors(found.keys, np.asarray(found.vectors))
    if found.counts is not None:
        for key, count in zip(found.keys, found.counts.tolist(), strict=True):
            made.set_vecattr(key, "count", count)
    return made


def from_gensim(model: Any) -> KeyedVectors:
    """See `KeyedVectors.from_gensim`."""
    words = getattr(model, "wv", model)
    keys, vectors = getattr(words, "index_to_key", None), getattr(words, "vectors", None)
    if not isinstance(keys, list) or not isinstance(vectors, np.ndarray):
        raise InputError(
            f"a gensim model or its KeyedVectors is needed, not {type(model).__name__}; a file "
            "that gensim saved is loaded with gensim first: KeyedVectors.from_gensim("
            "gensim.models.KeyedVectors.load(path))"
        )
    output: Any = getattr(model, "syn1neg", None)
    return KeyedVectors(
        [str(key) for key in keys],
        _matrix(vectors[: len(keys)]),
        counts=_counts(words, keys),
        output=_matrix(output) if np.shape(output) == vectors.shape else None,
    )


def _matrix(found: Any) -> Vectors:
    return np.array(found, np.float32, order="C")


def _counts(words: Any, keys: list[Any]) -> Counts | None:
    try:
        return np.array([words.get_vecattr(key, "count") for key in keys], np.int64)
    except KeyError:
        return None
