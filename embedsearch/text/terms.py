"""Domain terms: words of a corpus that a tokenizer splits into many pieces, often."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from embedsearch.errors import InputError
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.text.words import UNSPACED
from embedsearch.types import SILENT, Progress

_WORD = re.compile(rf"[^\W\d_{UNSPACED}]\w*")
_PRUNE_AT = 2_000_000


@dataclass(frozen=True, kw_only=True)
class TermConfig:
    """Which words are worth a token: at most `limit` of them, seen `min_count` times or more, now
    `min_pieces` tokens or more."""

    limit: int = 500
    min_count: int = 10
    min_pieces: int = 3

    def __post_init__(self) -> None:
        for name, least in (("limit", 1), ("min_count", 1), ("min_pieces", 2)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name} must be a whole number from {least} on, not {value!r}")


@dataclass(frozen=True, kw_only=True)
class Term:
    """A word, how often it occurs, and how many tokens it is now.

    `saved` counts the tokens that a token of its own takes off the corpus, at most: where the blank
    before a word cannot be part of it (bpe, unigram), that stays a token.
    """

    text: str
    count: int
    pieces: int

    @property
    def saved(self) -> int:
        return self.count * (self.pieces - 1)


def mine_terms(
    tokenizer: Tokenizer,
    texts: Iterable[str],
    config: TermConfig | None = None,
    *,
    progress: Progress = SILENT,
) -> list[Term]:
    """The words of a corpus whose own tokens would save most, best first.

    Words begin with a letter, of a script that puts blanks between words, and are counted as they
    are written. `Tokenizer.with_tokens` adds
    them. InputError for a corpus without text.
    """
    chosen = config or TermConfig()
    counts = _count(texts, progress)
    words = [word for word, count in counts.items() if count >= chosen.min_count]
    # Behind another word: most words of a text stand behind a blank, which is part of the token.
    lead = tokenizer.count(["a"])[0]
    pieces = [count - lead for count in tokenizer.count([f"a {word}" for word in words])]
    terms = [
        Term(text=word, count=counts[word], pieces=number)
        for word, number in zip(words, pieces, strict=True)
        if number >= chosen.min_pieces
    ]
    terms.sort(key=lambda term: (-term.saved, term.text))
    return terms[: chosen.limit]


def _count(texts: Iterable[str], progress: Progress) -> Counter[str]:
    """Words with their counts. Beyond two million different ones those seen once are forgotten."""
    counts: Counter[str] = Counter()
    least = 1
    progress.start("Counting words", None, "B")
    for text in texts:
        counts.update(_WORD.findall(text))
        progress.advance(len(text))
        if len(counts) > _PRUNE_AT:
            counts = Counter({word: n for word, n in counts.items() if n > least})
            least += 1
    if not counts:
        raise InputError("there are no words to mine: the corpus is empty")
    return counts
