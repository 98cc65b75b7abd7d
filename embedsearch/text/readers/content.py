"""What a reader makes of a file, and values made safe to keep."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from embedsearch.types import Format

Note = Callable[[str, str], None]
"""Called with a place (`id` or `id:line`) and a remark on it."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """The text of a file that is one document. `remark` tells how it had to be decoded."""

    text: str
    format: Format
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    remark: str | None = None


def clean(value: Any) -> Any:
    """The JSON value with U+FFFD for lone surrogates, which UTF-8 cannot hold, and for NULs."""
    if isinstance(value, str):
        return _UNSAFE.sub("\ufffd", value)
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    return value


def loads(text: str) -> Any:
    """`json.loads` with null for NaN and for numbers beyond a float, and strings made `clean`.

    ValueError or RecursionError for what is not JSON.
    """
    return clean(json.loads(text, parse_constant=lambda _name: None, parse_float=_finite))


def size(max_bytes: int) -> str:
    """A bound for a message: `32 MiB`, `100 bytes`."""
    return f"{max_bytes / 2**20:.3g} MiB" if max_bytes >= 2**20 else f"{max_bytes} bytes"


def fence(text: str) -> str:
    """What to put around code in Markdown: more backticks than it has in a row, at least three."""
    return "`" * max(3, *(len(run) + 1 for run in re.findall("`{3,}", text)), 3)


def paragraph(text: str) -> str:
    """Text as Markdown in which no line is taken for a heading, a fence or the like: whatever would
    change what the lines after it are."""
    return _STRUCTURE.sub(r"\\", text)


def heading(text: str) -> str:
    """Text as Markdown of a heading, in which `List<E>` is no tag."""
    return _TAG_LIKE.sub(r"\\<", text)


_TAG_LIKE = re.compile(r"<(?=[A-Za-z/!?])")
_STRUCTURE = re.compile(
    r"^(?=#{1,6}(?:\s|$)|`{3}|~{3}|<(?:script|pre|style|textarea)\b|<[!?])"
    r"|(?<=\S\n)(?=(?:=+|-+)[ ]*$)",
    re.MULTILINE | re.IGNORECASE,
)
_UNSAFE = re.compile("[\ud800-\udfff\0]")


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None
