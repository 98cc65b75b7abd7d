"""Tokenizer files of all kinds to the one backend: a module a format, chosen by what is there."""

from embedsearch.text.formats.reading import TokenizerParts, read_tokenizer

__all__ = ["TokenizerParts", "read_tokenizer"]
