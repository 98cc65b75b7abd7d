"""Words of running text, and a tokenizer that finds the same ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tokenizers

UNKNOWN = "[UNK]"
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese, which are written without blanks between words:
ranges for a character class."""
_ASCII_WORD = re.compile(r"[a-z0-9_]+")
_WORD = r"[\p{L}\p{M}\p{N}_]+"


def counted(number: int, noun: str) -> str:
    """For messages.

    >>> counted(1, "chunk"), counted(1234, "chunk")
    ('1 chunk', '1,234 chunks')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def split_words(text: str) -> list[str]:
    """Runs of letters, marks, digits and `_`, in lower case and normal form C."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    normalizer, splitter = _parts()
    clean = normalizer.normalize_str(text.encode("utf-8", "replace").decode())
    return [word for word, _ in splitter.pre_tokenize_str(clean)]


def word_tokenizer(words: Sequence[str]) -> tokenizers.Tokenizer:
    """A tokenizer with an id for each of the words, from 1 on; 0 is `[UNK]`, for all others.

    It splits text as `split_words` does.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    ids = {UNKNOWN: 0}
    for word in words:
        ids.setdefault(word, len(ids))
    tokenizer = Tokenizer(WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.normalizer, tokenizer.pre_tokenizer = _parts()
    return tokenizer


@cache
def _parts() -> tuple[tokenizers.normalizers.Normalizer, tokenizers.pre_tokenizers.PreTokenizer]:
    from tokenizers import Regex, normalizers, pre_tokenizers

    return (
        normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]),
        pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True),
    )
