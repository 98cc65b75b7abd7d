"""Reading files into documents: one function a format, chosen by the suffix."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

from embedsearch.errors import EmptyFileError, ReadError
from embedsearch.text.readers.content import Content, Note, clean
from embedsearch.text.readers.html import read_html
from embedsearch.text.readers.jsonl import read_jsonl
from embedsearch.text.readers.mail import read_mail
from embedsearch.text.readers.notebook import read_notebook
from embedsearch.text.readers.opening import (
    Told,
    open_stream,
    read_bytes,
    reasons,
    untold,
    with_line_feeds,
)
from embedsearch.text.readers.pdf import read_pdf
from embedsearch.text.readers.plain import read_code, read_markdown, read_rst, read_text
from embedsearch.text.readers.table import read_table
from embedsearch.text.readers.word import read_docx
from embedsearch.text.structure import title_of
from embedsearch.text.suffixes import split_suffix
from embedsearch.types import Document

MAX_BYTES = 32 * 2**20

_Reader = Callable[[bytes, int], Content]
_StreamReader = Callable[[io.BufferedReader, str, int, Note], Iterator[Document]]

_READERS: dict[str, _Reader] = {
    **dict.fromkeys((".md", ".markdown", ".mdx"), read_markdown),
    **dict.fromkeys((".rst", ".rest"), read_rst),
    **dict.fromkeys((".html", ".htm", ".xhtml"), read_html),
    ".pdf": read_pdf,
    ".docx": read_docx,
    ".ipynb": read_notebook,
    ".eml": read_mail,
}
"""By suffix. Code, below, is `read_code`; everything else is read as plain text if it is text."""

_STREAM_READERS: dict[str, _StreamReader] = {
    **dict.fromkeys((".jsonl", ".ndjson"), read_jsonl),
    **dict.fromkeys((".csv", ".tsv"), read_table),
}
"""Many documents a file, read one at a time."""

_CODE = (
    ".py .pyi .pyx .pxd .js .mjs .cjs .jsx .ts .mts .cts .tsx .vue .svelte .java .kt .kts .scala "
    ".groovy .gradle .c .h .cc .cpp .cxx .hh .hpp .hxx .inl .cu .cuh .m .mm .cs .fs .fsx .vb .go "
    ".rs .swift .rb .php .pl .pm .lua .r .jl .dart .ex .exs .erl .hrl .hs .lhs .ml .mli .clj .cljs "
    ".edn .el .lisp .scm .rkt .nim .zig .d .v .sv .vhd .vhdl .f .f90 .f95 .for .pas .asm .s .sol "
    ".sh .bash .zsh .fish .ps1 .psm1 .bat .cmd .awk .tcl .sql .graphql .gql .proto .thrift .cmake "
    ".mk .make .tf .hcl .nix .bzl .bazel .css .scss .sass .less .xml .xsd .xsl .xslt .json .json5 "
    ".jsonc .geojson .yaml .yml .toml .ini .cfg .conf .properties .env .lock .diff .patch"
)
_READERS.update(dict.fromkeys(_CODE.split(), read_code))

_SAVE_AS = {
    **dict.fromkeys((".doc", ".docm", ".dot", ".dotx", ".rtf", ".odt", ".pages"), ".docx or .pdf"),
    **dict.fromkeys((".ppt", ".pptx", ".odp", ".key", ".epub", ".mobi", ".ps", ".eps"), ".pdf"),
    **dict.fromkeys((".xls", ".xlsx", ".xlsm", ".ods", ".numbers"), ".csv"),
    ".msg": ".txt",
    ".svg": ".pdf",
}
"""Formats that are not read, with one that is."""


def read_file(
    path: Path, doc_id: str, *, max_bytes: int = MAX_BYTES, note: Note, told: Told = untold
) -> Iterator[Document]:
    """The documents of a file: one called `doc_id`, or one for each row of .csv, .tsv, .jsonl.

    `.gz` is undone. `max_bytes` bounds one document: a file, what a packed file holds, a line of
    .jsonl, a row of a table. `note(place, remark)` is told of every row passed over, where place is
    `doc_id:line`, and of text that had to be decoded by guess. `told` gets the bytes of the file,
    packed or not, as they are read.

    ReadError, while iterating, for a file that cannot be read; with .jsonl and tables documents may
    have been given before the damaged place.
    """
    suffix, gzipped = split_suffix(path.name)
    if suffix in _SAVE_AS:
        raise ReadError(f"{suffix} is not read: save it as {_SAVE_AS[suffix]}")
    with reasons():
        if suffix in _STREAM_READERS:
            with open_stream(path, gzipped, max_bytes, told) as stream:
                lines = with_line_feeds(stream)
                yield from _STREAM_READERS[suffix](lines, doc_id, max_bytes, note)
            return
        data = read_bytes(path, gzipped, max_bytes, told)
    if not data or data.isspace():
        raise EmptyFileError("empty")
    content = _READERS.get(suffix, read_text)(data, max_bytes)
    if content.remark:
        note(doc_id, content.remark)
    if not content.text or content.text.isspace():
        raise EmptyFileError("empty")
    yield _document(doc_id, content)


def _document(doc_id: str, content: Content) -> Document:
    title = " ".join(clean(content.title).split())
    text = clean(content.text)
    if not title and content.format != "code":
        title = title_of(text, content.format)
    return Document(
        id=doc_id,
        text=text,
        title=title,
        metadata=clean(dict(content.metadata)),
        format=content.format,
    )
