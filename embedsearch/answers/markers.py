"""The markers of an answer, `[1]`: found in what a language model wrote, set anew, taken out."""

from __future__ import annotations

import re
from collections.abc import Container

_WRITTEN = re.compile(
    r"(?P<code>```.*?(?:```|\Z)|`[^`\n]+`)"  # an index in a program is no marker
    r"|[ \t]*\[\s*(?P<numbers>\d{1,9}(?:\s*[,;]\s*\d{1,9})*)\s*\]",
    re.DOTALL,
)
_OWN = re.compile(r" ?(?<!\S)\[(\d+)\]")
_LEADING = re.compile(r"(?:\s*\[\d+\])+")


def set_markers(text: str, given: Container[int]) -> tuple[str, list[str]]:
    """The text with one marker a number, as ` [1] [2]`, those of `given` alone; and the numbers
    that were taken out, as they were written. Code between backticks stays as it is."""
    unknown: list[str] = []

    def rewrite(found: re.Match[str]) -> str:
        numbers = re.findall(r"\d+", found["numbers"] or "0")
        if 0 in map(int, numbers):  # the first source is 1, the first item of an array 0
            return found[0]
        kept = ""
        for number in numbers:
            if int(number) in given:
                kept += f" [{int(number)}]"
            else:
                unknown.append(number)
        return kept

    return _WRITTEN.sub(rewrite, text).strip(), unknown


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
