"""The byte-level alphabet of GPT-2, and the patterns that cut a text into words before BPE."""

from __future__ import annotations

from functools import cache

SPLIT_PATTERNS = {
    "r50k": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
"""By the name of the vocabulary that was trained with it (tiktoken, tiktoken_ext/openai_public.py).

Written with plain quantifiers: the possessive ones there only save time, and mean another thing to
the backend's regular expressions.
"""


@cache
def byte_characters() -> tuple[str, ...]:
    """The character that stands for each of the 256 bytes (GPT-2, encoder.py)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


def is_unicode(token: str) -> bool:
    """Whether it can be written as UTF-8: it has no half of a surrogate pair."""
    return not any("\ud800" <= letter <= "\udfff" for letter in token)


def reads_as_bytes(token: str) -> bool:
    """Whether a token that is added as it stands is decoded as other bytes than its own.

    The backend decodes every token whose characters are all of the alphabet, `<größe>` too.
    """
    return not token.isascii() and set(token) <= set(byte_characters())


def as_characters(data: bytes) -> str:
    """Bytes in the byte-level alphabet, as vocabularies write them."""
    alphabet = byte_characters()
    return "".join([alphabet[byte] for byte in data])
