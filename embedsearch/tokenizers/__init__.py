"""Tokenizers beside one another, and what becomes of their tokens in a model."""
