"""Measures against judged data: searches, answers, tokenizers."""
