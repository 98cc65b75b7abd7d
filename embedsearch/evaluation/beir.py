"""Reading judged collections in the layout of BEIR: corpus, queries and judgements (qrels)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from embedsearch.errors import InputError, NotFoundError, ReadError
from embedsearch.text.files import list_files, printable
from embedsearch.text.readers import MAX_BYTES, read_file
from embedsearch.text.readers.content import Note
from embedsearch.text.readers.opening import bounded_lines, open_stream, reasons
from embedsearch.types import Document

Qrels = dict[str, dict[str, int]]
"""Judgements: query id to document id to grade. A grade of 1 and more is relevant."""

_SPLIT = re.compile(r"(?P<name>.+)\.tsv(\.gz)?")


def read_corpus(folder: Path, note: Note) -> Iterator[Document]:
    """The documents of `corpus.jsonl[.gz]` or, where there is none, of the files in `corpus/`.

    A file is known by its path below `corpus/`, with `/`. `note(place, remark)` is told of what is
    passed over. Raises NotFoundError where there is neither, InputError for a damaged corpus.jsonl.
    """
    lines = _either(folder, "corpus.jsonl")
    root = folder / "corpus"
    if lines is not None:
        yield from _read_lines(lines, note)
    elif root.is_dir():
        yield from _read_folder(root, note)
    else:
        raise NotFoundError(f"{folder} has neither corpus.jsonl[.gz] nor a folder corpus/")


def read_queries(folder: Path, note: Note) -> dict[str, str]:
    """The texts of `queries.jsonl[.gz]` by query id; `note` as for `read_corpus`.

    Raises NotFoundError where there is none, InputError for a damaged file or an id given twice.
    """
    path = _either(folder, "queries.jsonl")
    if path is None:
        raise NotFoundError(f"{folder} has no queries.jsonl[.gz]")
    queries: dict[str, str] = {}
    for query in _read_lines(path, note):
        if query.id in queries:
            raise InputError(f"{path}: the query id {query.id!r} stands in it more than once")
        queries[query.id] = query.text.strip() or query.title
    return queries


def split_names(folder: Path) -> list[str]:
    """The splits that have judgements, `qrels/<split>.tsv[.gz]`, by name. InputError where
    they cannot be listed."""
    home = folder / "qrels"
    try:
        names = [path.name for path in home.iterdir()] if home.is_dir() else []
    except OSError as error:
        raise InputError(f"cannot read {home}: {error.strerror}") from None
    return sorted({found["name"] for name in names if (found := _SPLIT.fullmatch(name))})


def read_qrels(folder: Path, split: str) -> Qrels:
    """The judgements of a split: lines of query id, document id and grade, tab-separated.

    The first line may be a header. Raises NotFoundError where the split is not there, InputError
    that names the line for one that cannot be read or that contradicts an earlier one.
    """
    path = _either(folder / "qrels", f"{split}.tsv")
    if path is None:
        known = ", ".join(split_names(folder)) or "none"
        raise NotFoundError(f"{folder} has no qrels/{split}.tsv[.gz]; its splits: {known}")
    qrels: Qrels = {}
    try:
        with reasons(), open_stream(path, path.suffix == ".gz", MAX_BYTES) as stream:
            for number, line in bounded_lines(stream, MAX_BYTES):
                _take_judgement(qrels, line, f"{path}:{number}", header=number == 1)
    except ReadError as error:
        raise InputError(f"{path}: {error}") from None
    return qrels


def _take_judgement(qrels: Qrels, line: bytes | None, place: str, *, header: bool) -> None:
    try:
        text = (line or b"").decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError(f"{place}: not UTF-8") from None
    if line is not None and not text.strip():
        return
    fields = text.split("\t")
    if len(fields) != 3 or not all(field.strip() for field in fields):
        raise InputError(
            f"{place}: a judgement is query-id TAB corpus-id TAB score, not {text[:80]!r}"
        )
    query, document, typed = fields
    try:
        grade = int(typed)
    except ValueError:
        if header:
            return
        raise InputError(f"{place}: the score {typed[:80]!r} is no whole number") from None
    if not -(2**31) <= grade < 2**31:
        raise InputError(f"{place}: the score {typed[:80]!r} is out of range")
    if qrels.setdefault(query, {}).setdefault(document, grade) != grade:
        raise InputError(
            f"{place}: document {document!r} was given another score for query {query!r} before"
        )


def _read_lines(path: Path, note: Note) -> Iterator[Document]:
    try:
        yield from read_file(path, path.name, note=note)
    except ReadError as error:
        raise InputError(f"{path}: {error}") from None


def _read_folder(root: Path, note: Note) -> Iterator[Document]:
    listing = list_files([root])
    for skipped in listing.skipped:
        note(skipped.path, skipped.reason)
    home = root.resolve()
    for file in listing.files:
        name = printable(file.path.relative_to(home).as_posix())
        try:
            yield from read_file(file.path, name, note=note)
        except ReadError as error:
            note(name, str(error))


def _either(folder: Path, name: str) -> Path | None:
    """The file of that name, else its gzipped form, else None."""
    candidates = (folder / name, folder / f"{name}.gz")
    try:
        return next((path for path in candidates if path.is_file()), None)
    except OSError as error:
        raise InputError(f"cannot read {folder / name}: {error.strerror}") from None
