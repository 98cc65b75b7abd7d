"""Keys that are spelt like one that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

_LOOKED_AT = 200_000
"""The first keys, which are the most frequent."""
_LENGTH_MARGIN = 2
_CUTOFF = 0.7


def nearest_spellings(word: str, keys: Sequence[str], count: int = 3) -> list[str]:
    """Up to `count` keys spelt like `word`, nearest first; those that differ in case lead."""
    folded = word.casefold()
    among = keys[:_LOOKED_AT]
    same = [key for key in among if key.casefold() == folded][:count]
    if len(same) == count:
        return same
    letters = set(folded)
    likely = [
        key
        for key in among
        if abs(len(key) - len(word)) <= _LENGTH_MARGIN
        and len(letters & set(key)) >= _CUTOFF * len(letters)
    ]
    close = difflib.get_close_matches(folded, likely, n=count, cutoff=_CUTOFF)
    return list(dict.fromkeys(same + close))[:count]
