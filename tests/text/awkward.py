"""Files that are hard to read, written where a test wants them. Plain functions, for all tests."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

DATA = Path(__file__).parents[2] / "data" / "awkward"
FOX = "The quick brown fox jumps over the lazy dog."


def build_awkward(folder: Path) -> dict[str, str]:
    """Fills `folder`; for each name why it is skipped (a part of the reason), "" if it is read.

    What the system at hand cannot hold (FIFOs, names that are not UTF-8) is left out of both.
    """
    expected = {**_texts(folder), **_formats(folder), **_links(folder)}
    with contextlib.suppress(OSError, AttributeError, NotImplementedError):
        os.mkfifo(folder / "fifo.txt")
        expected["fifo.txt"] = "neither a file nor a folder"
    for name in ("two\nlines.txt", os.fsdecode(b"caf\xe9.txt")):
        with contextlib.suppress(OSError, ValueError):
            (folder / name).write_text(FOX)
            expected[name] = ""
    return expected


def make_pdf(pages: Sequence[Sequence[str]], *, bomb: int = 0, title: str = "") -> bytes:
    """A PDF of pages of lines (ASCII, no parentheses); `bomb` adds as many bytes to each page."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>"
        % (len(pages), b" ".join(b"%d 0 R" % (5 + 2 * page) for page in range(len(pages)))),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title (%s) >>" % title.encode(),
    ]
    for number, lines in enumerate(pages):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 400] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (6 + 2 * number)
        )
        shown = b" ".join(b"(%s) Tj T*" % line.encode() for line in lines)
        drawing = zlib.compress(b"BT /F1 12 Tf 20 370 Td 14 TL %s ET" % shown + b" " * bomb)
        objects.append(
            b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream"
            % (len(drawing), drawing)
        )
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    entries = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return out + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R /Info 4 0 R >>\n"
        b"startxref\n%d\n%%%%EOF\n" % (len(objects) + 1, entries, len(objects) + 1, len(out))
    )


def make_docx(*paragraphs: tuple[str, str]) -> bytes:
    """A Word file of (style, text) paragraphs."""
    from docx import Document

    document = Document()
    for style, text in paragraphs:
        document.add_paragraph(text, style=style)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def zip_bomb_docx(size: int) -> bytes:
    """A Word file whose body claims a few bytes and unpacks to `size` of them."""
    source = io.BytesIO(make_docx(("Normal", FOX)))
    bomb = io.BytesIO()
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(bomb, "w") as target:
        for entry in archive.infolist():
            body = archive.read(entry)
            if entry.filename == "word/document.xml":
                body += b" " * size
            target.writestr(entry.filename, body, zipfile.ZIP_DEFLATED)
    return bomb.getvalue()


def _texts(folder: Path) -> dict[str, str]:
    rtl = "שלום עולם، مرحبا بالعالم"
    files = {
        "empty.txt": (b"", "empty"),
        "blank.md": (b" \n\t\r\n", "empty"),
        "nul.txt": (b"text\0text", "binary file"),
        "noise.txt": (bytes(range(1, 256)) * 20, "binary file"),
        "latin1.txt": ("Le café est fermé.".encode("cp1252"), ""),
        "damaged.txt": (("żółw " * 20).encode()[1:] + b"\xc5", ""),
        "bom8.txt": (b"\xef\xbb\xbf" + FOX.encode(), ""),
        "bom16.txt": (FOX.encode("utf-16"), ""),
        "bom32.txt": (FOX.encode("utf-32"), ""),
        "crlf.md": (b"# Title\r\n\r\nText\r\n", ""),
        "rtl.txt": (rtl.encode(), ""),
        "emoji.txt": ("👩‍👩‍👧 🏳️‍🌈 e\u0301".encode(), ""),
        "no_suffix": (FOX.encode(), ""),
        "one_line.txt": (b"word " * 200_000, ""),
        "picture.png": (b"\x89PNG\r\n\x1a\n\0", "binary file (.png)"),
        ".hidden.txt": (FOX.encode(), "hidden"),
        "bad.jsonl": (b'{"text": "one"}\n{"text": \n[1]\n\xff\n{"text": "two"}\n', ""),
        "no_header.csv": (b"1,2\n3,4\n", "no header row"),
    }
    for name, (data, _reason) in files.items():
        (folder / name).write_bytes(data)
    return {name: reason for name, (_data, reason) in files.items()}


def _formats(folder: Path) -> dict[str, str]:
    lines = json.dumps({"text": FOX}).encode() + b"\n"
    files = {
        "password.pdf": ((DATA / "password_aes256.pdf").read_bytes(), "password-protected PDF"),
        "scanned.pdf": (make_pdf([[]]), "PDF without text"),
        "damaged.pdf": (make_pdf([[FOX]])[:200], "damaged PDF"),
        "bomb.pdf": (make_pdf([[FOX]], bomb=40 * 2**20), "unpacks to more than"),
        "bomb.docx": (zip_bomb_docx(40 * 2**20), "unpacks to more than"),
        "encrypted.docx": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "password-protected"),
        "not.docx": (FOX.encode(), "not a Word file"),
        "damaged.docx": (make_docx(("Normal", FOX))[:2000], "damaged Word file"),
        "old.doc": (b"\xd0\xcf\x11\xe0", ".doc is not read"),
        "not.ipynb": (b"{}", "not a Jupyter notebook"),
        "deep.html": (b"<div>" * 5000 + FOX.encode(), "nested too deeply"),
        "bomb.txt.gz": (gzip.compress(b" " * (40 * 2**20)), "larger than"),
        "bomb.jsonl.gz": (gzip.compress(b" " * (40 * 2**20)), "far more than its size"),
        "cut.jsonl.gz": (gzip.compress(lines * 50)[:-12], "cut short"),
        "not.txt.gz": (FOX.encode(), "damaged gzip file"),
        "good.md.gz": (gzip.compress(b"# Title\n"), ""),
    }
    for name, (data, _reason) in files.items():
        (folder / name).write_bytes(data)
    return {name: reason for name, (_data, reason) in files.items()}


def _links(folder: Path) -> dict[str, str]:
    """A folder linked into itself, a link to a file, and links to nothing."""
    below = folder / "below"
    below.mkdir()
    (below / "real.txt").write_text(FOX)
    expected = {"below/real.txt": ""}
    try:
        (folder / "link.txt").symlink_to(below / "real.txt")
    except (OSError, NotImplementedError):
        return expected
    (below / "up").symlink_to(folder)
    (folder / "again").symlink_to(below)
    (folder / "broken.txt").symlink_to(folder / "gone.txt")
    (folder / "itself.txt").symlink_to(folder / "itself.txt")
    return {
        **expected,
        "link.txt": "",
        "below/up": "the same folder as",
        "again": "the same folder as",
        "broken.txt": "broken link",
        "itself.txt": "link that leads to itself",
    }
