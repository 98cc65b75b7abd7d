"""Jupyter notebooks (nbformat 3 and 4) as Markdown."""

from __future__ import annotations

from typing import Any

from embedsearch.errors import ReadError
from embedsearch.text.decode import decode
from embedsearch.text.readers.content import Content, fence, loads


def read_notebook(data: bytes, _max_bytes: int) -> Content:
    """Markdown cells as they are, code cells fenced; what the cells printed is left out."""
    text, remark = decode(data)
    try:
        notebook = loads(text)
        language = _language(notebook)
        cells = [_cell(cell, language) for cell in _cells(notebook)]
    except (ValueError, RecursionError, AttributeError, TypeError, LookupError):
        raise ReadError("not a Jupyter notebook") from None
    return Content(text="\n\n".join(filter(None, cells)), format="markdown", remark=remark)


def _cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    if "worksheets" in notebook:
        return [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
    cells: list[dict[str, Any]] = notebook["cells"]
    return cells


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata") or {}
    name = (metadata.get("language_info") or {}).get("name")
    return str(name or (metadata.get("kernelspec") or {}).get("language") or "")


def _cell(cell: dict[str, Any], language: str) -> str:
    source = cell.get("source", cell.get("input")) or ""
    text = ("".join(source) if isinstance(source, list) else str(source)).strip("\n")
    if not text.strip():
        return ""
    if cell["cell_type"] == "heading":
        return f"{'#' * int(cell.get('level', 1))} {text}"
    if cell["cell_type"] != "code":
        return text
    mark = fence(text)
    return f"{mark}{cell.get('language') or language}\n{text}\n{mark}"
