"""The words of a text, as questions, sentences and passages are compared by them."""

from __future__ import annotations

import re
from itertools import pairwise

from embedsearch.store.keyword import parse_query
from embedsearch.store.stems import Stems
from embedsearch.text.words import UNSPACED

_UNSPACED = re.compile(rf"([{UNSPACED}]+)")


class Words:
    """Words by their stems, as in the keyword index. Where a script has no blanks between words,
    pairs of characters take their place, as is usual (Nie et al., "On the Use of Words and N-grams
    for Chinese Information Retrieval", 2000): a whole sentence is never found again."""

    def __init__(self) -> None:
        self._stems = Stems()

    def of(self, text: str) -> set[str]:
        terms = parse_query(text).terms
        return set(self._stems.of([word for term in terms for word in _split(term)]))


def _split(term: str) -> list[str]:
    found: list[str] = []
    for number, part in enumerate(_UNSPACED.split(term)):
        if number % 2 and len(part) > 1:
            found += [one + other for one, other in pairwise(part)]
        elif part:
            found.append(part)
    return found
