"""What was passed over, in lines for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from embedsearch.types import Skipped

SHOWN = 20
_UNREMARKABLE = (
    *("hidden", "named in .gitignore", "the collection itself", "excluded"),
    "binary file (",
)
"""Reasons to pass over a file that are as it should be: they are counted. A file of binary content
that no suffix told is worth a line."""


def skipped_lines(skipped: Iterable[Skipped], *, where_all: str = "") -> list[str]:
    """Each thing that went wrong, and the rest as numbers; `where_all` says what lists them all."""
    told, plainly = [], Counter[str]()
    for entry in skipped:
        if entry.reason.startswith(_UNREMARKABLE):
            plainly[entry.reason] += 1
        else:
            told.append(f"skipped {entry.path}: {entry.reason}")
    more = len(told) - SHOWN
    rest = [f"… and {more} more" + (f"; {where_all}" if where_all else "")] if more > 0 else []
    counts = [f"skipped {times} × {reason}" for reason, times in plainly.most_common()]
    return [*told[:SHOWN], *rest, *counts]
