"""Texts to unit vectors with a sentence encoder, and the fingerprint of what computes them."""

from embedsearch.encoder.engine import EngineName
from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.encoder.sentence import SentenceEncoder, engine_of

__all__ = ["DEFAULT_MODEL", "EngineName", "SentenceEncoder", "engine_of"]
