"""The markers of an answer, `[1]`: found in what a language model wrote, set anew, taken out."""

from __future__ import annotations

import re
from collections.abc import Container

_ITEM = r"(?:\d{1,3}\s*[-–]\s*\d{1,3}|\d{1,9})"
_WRITTEN = re.compile(
    r"(?P<code>```.*?(?:```|\Z)|`[^`\n]+`)"  # an index in a program is no marker
    rf"|[ \t]*[\[［【]\s*(?P<items>{_ITEM}(?:\s*[,;，、]\s*{_ITEM})*)\s*(?:†[^\]］】\n]*)?[\]］】]",
    re.DOTALL,
)
_OWN = re.compile(r" ?(?<!\S)\[(\d+)\]")
_LEADING = re.compile(r"(?:\s*\[\d+\])+")


def set_markers(text: str, given: Container[int]) -> tuple[str, list[str]]:
    """The text with one marker a number, as ` [1] [2]`, those of `given` alone; and the numbers
    that were taken out, as they were written. Code between backticks stays as it is."""
    unknown: list[str] = []

    def rewrite(found: re.Match[str]) -> str:
        items = re.findall(_ITEM, found["items"] or "")
        ranges = [_range(item) for item in items]
        if not items or not all(ranges):
            return found[0]
        for item, numbers in zip(items, ranges, strict=True):
            if not all(number in given for number in numbers):
                unknown.append(item)
        return "".join(f" [{n}]" for numbers in ranges for n in numbers if n in given)

    return _WRITTEN.sub(rewrite, text).strip(), unknown


def _range(item: str) -> range:
    """The numbers of `2` or `1-3`; none where it is no marker: the first source is 1, the first
    item of an array 0."""
    first, *rest = map(int, re.findall(r"\d+", item))
    return range(first, (rest or [first])[0] + 1) if first else range(0)


def numbers_of(text: str) -> list[int]:
    """The numbers of the markers of a text that has been through `set_markers`."""
    return [int(number) for number in _OWN.findall(text)]


def without_markers(text: str) -> str:
    """A text that has been through `set_markers`, without them."""
    return _OWN.sub("", text).strip()


def markers_before(text: str) -> str:
    """The markers that a text begins with, if it does."""
    found = _LEADING.match(text)
    return found.group() if found else ""
