"""Word's .docx as Markdown."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from embedsearch.errors import ReadError
from embedsearch.text.readers.content import Content, heading, paragraph, size

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_DEFLATE_OR_STORED = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)
_HEADING = re.compile(r"heading ([1-9])\b", re.I)
_LEFT_OUT = frozenset({"Fallback", "moveFrom", "del", "pPr", "rPr"})
"""Copies for old versions of Word, what was moved away or deleted, and properties."""
_CHARACTERS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/")
"""Names in a file saved as Strict Open XML, which python-docx knows in the usual form only."""


def read_docx(data: bytes, max_bytes: int) -> Content:
    """Headings, list items and tables of the body; headers, footers and notes are left out."""
    if data.startswith(_OLE):
        raise ReadError("password-protected, or an old .doc: save it as .docx without a password")
    if not data.startswith(_ZIP):
        raise ReadError("not a Word file")
    from docx import Document

    try:
        document = Document(_xml_parts(data, max_bytes))
        styles = _styles(document.styles.element)
        blocks = list(_blocks(document.element.body, styles))
        title = document.core_properties.title or ""
    except ReadError:
        raise
    except Exception as error:  # a dozen kinds, from zipfile, lxml and python-docx
        raise ReadError(f"damaged Word file: {' '.join(str(error).split())[:200]}") from None
    return Content(text=_join(blocks), format="markdown", title=title)


def _xml_parts(data: bytes, max_bytes: int) -> io.BytesIO:
    """A copy of the archive with nothing but its XML, so that pictures do not count as text.

    Counted while it is unpacked, since the sizes in the archive's own table may be false.
    """
    copy, total, names = io.BytesIO(), 0, set()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(copy, "w") as target:
        for entry in archive.infolist():
            if entry.filename in names:
                continue
            names.add(entry.filename)
            body = b""
            if entry.filename.endswith((".xml", ".rels")):
                if entry.compress_type not in _DEFLATE_OR_STORED:
                    raise ReadError("not a Word file")
                with archive.open(entry) as part:
                    body = part.read(max_bytes - total + 1)
                total += len(body)
                if total > max_bytes:
                    raise ReadError(f"unpacks to more than {size(max_bytes)}")
                body = _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006/", body)
            target.writestr(entry.filename, body)
    copy.seek(0)
    return copy


def _styles(root: Any) -> dict[str, str]:
    """For each style id: `#` to `######` of a heading, `-` or `1.` of a list, else "".

    A style without a meaning of its own has that of the style it is based on.
    """
    from docx.oxml.ns import qn

    names, bases = {}, {}
    for style in root.iter(qn("w:style")):
        identity = style.get(qn("w:styleId"), "")
        name, base = style.find(qn("w:name")), style.find(qn("w:basedOn"))
        names[identity] = "" if name is None else name.get(qn("w:val"), "")
        bases[identity] = "" if base is None else base.get(qn("w:val"), "")
    markers = {}
    for identity in names:
        ancestor, marker = identity, ""
        for _ in range(20):  # a chain that does not end is a damaged file's
            marker = marker or _marker(names.get(ancestor, ""))
            ancestor = bases.get(ancestor, "")
        markers[identity] = marker
    return markers


def _marker(style: str) -> str:
    if style.casefold() == "title":
        return "#"
    if level := _HEADING.match(style):
        return "#" * min(int(level[1]), 6)
    if style.startswith("List Number"):
        return "1."
    return "-" if style.startswith("List Bullet") else ""


def _blocks(parent: Any, styles: dict[str, str]) -> Iterator[tuple[str, str]]:
    """("list" or "", Markdown) of each paragraph and table, those in content controls too; the
    text boxes of a paragraph come after it."""
    for child in _nearest(parent, "p", "tbl"):
        if _name(child) == "tbl":
            yield "", _table(child)
        else:
            yield _paragraph(child, styles)
            for box in _nearest(child, "txbxContent"):
                yield from _blocks(box, styles)


def _nearest(parent: Any, *names: str) -> Iterator[Any]:
    """The elements of these names below `parent`, but not those within one another."""
    for child in parent:
        name = _name(child)
        if name in names:
            yield child
        elif name not in _LEFT_OUT:
            yield from _nearest(child, *names)


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _paragraph(element: Any, styles: dict[str, str]) -> tuple[str, str]:
    from docx.oxml.ns import qn

    text = _text(element)
    marker = styles.get(element.style or "", "")
    numbering = element.find(f"{qn('w:pPr')}/{qn('w:numPr')}")
    if marker.startswith("#"):
        return "", f"{marker} {heading(' '.join(text.split()))}" if text else ""
    if not text or (numbering is None and not marker) or _is_unnumbered(numbering):
        return "", paragraph(text)
    level = None if numbering is None else numbering.find(qn("w:ilvl"))
    depth = 0 if level is None else min(int(level.get(qn("w:val"), 0)), 8)
    return "list", f"{'  ' * depth}{marker or '-'} {' '.join(text.split())}"


def _is_unnumbered(numbering: Any) -> bool:
    """Whether the paragraph takes back the numbering of its style: list 0 is none."""
    from docx.oxml.ns import qn

    identity = None if numbering is None else numbering.find(qn("w:numId"))
    return identity is not None and identity.get(qn("w:val")) == "0"


def _table(element: Any) -> str:
    rows = [[_cell(cell) for cell in _nearest(row, "tc")] for row in _nearest(element, "tr")]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if rows:
        lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)


def _cell(element: Any) -> str:
    words = " ".join(_text(each) for each in _paragraphs(element)).split()
    return " ".join(words).replace("|", "\\|")


def _paragraphs(parent: Any) -> Iterator[Any]:
    """All paragraphs, those of nested tables and of text boxes too."""
    for child in _nearest(parent, "p"):
        yield child
        for box in _nearest(child, "txbxContent"):
            yield from _paragraphs(box)


def _text(element: Any) -> str:
    """The runs of a paragraph, those in links, fields and inserted passages too."""
    return "".join(
        _CHARACTERS.get(_name(part), part.text or "") for part in _parts(element)
    ).strip()


def _parts(element: Any) -> Iterator[Any]:
    """What the runs of a paragraph hold, but for text boxes."""
    in_run = _name(element) == "r"
    for child in element:
        name = _name(child)
        if in_run and (name == "t" or name in _CHARACTERS):
            yield child
        elif name not in _LEFT_OUT and name != "txbxContent":
            yield from _parts(child)


def _join(blocks: list[tuple[str, str]]) -> str:
    """Blank lines between blocks, none between the items of a list."""
    text, previous = "", ""
    for kind, block in blocks:
        if block:
            text += ("\n" if kind == previous == "list" else "\n\n") + block
            previous = kind
    return text.strip("\n")
