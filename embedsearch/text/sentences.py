"""A passage as its sentences: exact slices; list items and lines of a table are sentences too."""

from __future__ import annotations

from itertools import pairwise

from embedsearch.text.segments import SENTENCE, breaks

LONGEST = 1000
"""Characters of a sentence. What runs on without a full stop is cut at a blank."""


def sentences(text: str) -> list[tuple[int, int]]:
    """(start, end) character ranges of the sentences of `text`, in order, without white space
    around them. Together they hold every character that is not white space."""
    cuts = [place for place, strength in breaks(text, "text") if strength >= SENTENCE]
    found: list[tuple[int, int]] = []
    for start, stop in pairwise([*cuts, len(text)]):
        found += _short(text, start, start + len(text[start:stop].rstrip()))
    return found


def _short(text: str, start: int, end: int) -> list[tuple[int, int]]:
    pieces: list[tuple[int, int]] = []
    while end - start > LONGEST:
        cut = text.rfind(" ", start + LONGEST // 2, start + LONGEST)
        cut = cut if cut > 0 else start + LONGEST
        pieces.append((start, start + len(text[start:cut].rstrip())))
        start = cut + len(text[cut:end]) - len(text[cut:end].lstrip())
    return [*pieces, (start, end)] if end > start else pieces
