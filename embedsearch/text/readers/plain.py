"""Files whose text is the document as it stands: plain text, Markdown, reStructuredText, code."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

from embedsearch.text.decode import decode
from embedsearch.text.readers.content import Content, loads

_FRONT_MATTER = re.compile(
    r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*\r?$", re.DOTALL | re.MULTILINE
)
_FRONT_MATTER_LENGTH = 16 * 1024
_FRONT_MATTER_DEPTH = 50


def read_text(data: bytes, _max_bytes: int) -> Content:
    """Plain text."""
    text, remark = decode(data)
    return Content(text=text, format="text", remark=remark)


def read_rst(data: bytes, _max_bytes: int) -> Content:
    """reStructuredText."""
    text, remark = decode(data)
    return Content(text=text, format="rst", remark=remark)


def read_code(data: bytes, _max_bytes: int) -> Content:
    """Source code and data formats."""
    text, remark = decode(data)
    return Content(text=text, format="code", remark=remark)


def read_markdown(data: bytes, _max_bytes: int) -> Content:
    """Markdown. YAML front matter, which stays in the text, gives title and metadata."""
    text, remark = decode(data)
    values = front_matter(text)
    title = values.pop("title", "")
    return Content(
        text=text,
        format="markdown",
        title=str(title) if isinstance(title, str | int | float) else "",
        metadata=values,
        remark=remark,
    )


def front_matter(text: str) -> dict[str, Any]:
    """The YAML mapping between `---` lines at the top of a text, as JSON; {} where there is none.

    At most 16 KiB; dates become ISO strings; values that JSON cannot hold are left out. A block
    with anchors or aliases, which can expand without bound, or nested deeply, is taken as none.
    """
    block = _FRONT_MATTER.match(text[:_FRONT_MATTER_LENGTH])
    if not block:
        return {}
    values = _yaml(block[1])
    kept = {}
    for key, value in values.items() if isinstance(values, dict) else ():
        try:
            kept[str(key)] = loads(json.dumps(value, default=_iso))
        except (TypeError, ValueError, RecursionError):
            continue
    return kept


def _yaml(block: str) -> Any:
    import yaml

    try:
        depth = 0
        for event in yaml.parse(block, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if getattr(event, "anchor", None) is not None or depth > _FRONT_MATTER_DEPTH:
                return None
        return yaml.load(block, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # Beyond YAMLError: what the library lets through for `!!int x`, `2024-99-99` and the like.
        return None


def _iso(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError
