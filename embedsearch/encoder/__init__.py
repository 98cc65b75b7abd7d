"""Texts to unit vectors with a sentence encoder, and the fingerprint of what computes them."""

from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.encoder.sentence import SentenceEncoder

__all__ = ["DEFAULT_MODEL", "SentenceEncoder"]
