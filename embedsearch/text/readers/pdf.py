"""The text of PDF files."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from embedsearch.errors import ReadError
from embedsearch.text.readers.content import Content, size

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

PAGE_BREAK = "\n\f\n"
# What PDFium writes for a hyphen that only breaks a word at the end of a line.
_BROKEN_WORD = re.compile("[\x02\ufffe](?:\r?\n)?")
_STREAM = re.compile(rb">>\s{0,8}stream\r?\n")
_PIECE = 1 << 16


def read_pdf(data: bytes, max_bytes: int) -> Content:
    """Pages joined by form feeds, so that `text.count("\\f", 0, start)` pages precede a hit."""
    _refuse_bomb(data, max_bytes)
    document = _open(data)
    try:
        pages = list(_pages(document, max_bytes))
        title = document.get_metadata_value("Title")
    finally:
        document.close()
    if not any(page.strip() for page in pages):
        raise ReadError("PDF without text (scanned pages?)")
    return Content(
        text=PAGE_BREAK.join(pages), format="text", title=title, metadata={"pages": len(pages)}
    )


def _refuse_bomb(data: bytes, max_bytes: int) -> None:
    """PDFium unpacks a page whole, whatever its size: look first. Pictures are not unpacked."""
    for stream in _STREAM.finditer(data):
        header = data[max(0, stream.start() - 500) : stream.start()].rpartition(b" obj")[2]
        if b"/Image" in header or b"/Fl" not in header:
            continue
        inflate, total, place = zlib.decompressobj(), 0, stream.end()
        rest = data[place : place + _PIECE]
        try:
            while rest and not inflate.eof:
                total += len(inflate.decompress(rest, max_bytes - total + 1))
                if total > max_bytes:
                    raise ReadError(f"a page unpacks to more than {size(max_bytes)}")
                place += _PIECE
                rest = inflate.unconsumed_tail + data[place : place + _PIECE]
        except zlib.error:
            continue  # encrypted or damaged


def _open(data: bytes) -> PdfDocument:
    from pypdfium2 import PdfDocument, PdfiumError
    from pypdfium2.raw import FPDF_ERR_PASSWORD

    try:
        return PdfDocument(data)
    except PdfiumError as error:
        if getattr(error, "err_code", None) == FPDF_ERR_PASSWORD:
            raise ReadError("password-protected PDF") from None
        raise ReadError("damaged PDF, or none") from None


def _pages(document: PdfDocument, max_bytes: int) -> Iterator[str]:
    from pypdfium2 import PdfiumError

    total = 0
    for number in range(len(document)):
        try:
            page = document[number]
            text = page.get_textpage().get_text_bounded()
            page.close()
        except PdfiumError:
            raise ReadError(f"damaged PDF: page {number + 1} cannot be read") from None
        text = _BROKEN_WORD.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
        total += len(text)
        if total > max_bytes:
            raise ReadError(f"text larger than {size(max_bytes)}")
        yield text.replace("\f", "\n").strip()
