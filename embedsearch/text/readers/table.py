"""CSV and its relatives, one document a row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from embedsearch.errors import EmptyFileError, InputError, ReadError
from embedsearch.text.decode import fallback
from embedsearch.text.readers.content import Note, clean, size
from embedsearch.text.readers.opening import bounded_lines
from embedsearch.types import Document

_Quoting = Literal[0, 3]
"""`csv.QUOTE_MINIMAL` or `csv.QUOTE_NONE`."""
_SAMPLE_ROWS = 200
_DELIMITERS = ",;\t|"
_DECLARED = re.compile(rf"sep=([{_DELIMITERS}])[ \t]*\r?\n", re.IGNORECASE)
_ONE_COLUMN = "\x1f"
"""The unit separator: commas in a table of one column are text."""


def read_table(
    stream: io.BufferedReader, doc_id: str, max_bytes: int, note: Note
) -> Iterator[Document]:
    """Documents from rows below a header row; delimited by comma, semicolon, tab or bar.

    A line `sep=;` before the header row, which spreadsheets write, names the delimiter.

    Columns `_id` or `id`, `title` and `text` are known in any case; the others are metadata. Where
    there is no `text`, the text is a line `column: value` for each of the others that is not empty.
    A row without id is `doc_id#row`, counted from 1 below the header. A row with too many or too
    few fields, or over `max_bytes`, is noted and passed over.
    """
    sample = stream.peek(1).decode(errors="replace")
    feed = _Feed(stream, doc_id, max_bytes, note)
    if declared := _DECLARED.match(sample):
        next(feed)
        sample = sample[declared.end() :]
    delimiter, quoting = _dialect(sample, declared[1] if declared else _DELIMITERS)
    rows = _rows(csv.reader(feed, delimiter=delimiter, quoting=quoting), feed, quoting)
    _line, header = next(rows, (0, None))
    if header is None:
        raise EmptyFileError("empty")
    columns = _columns([] if isinstance(header, InputError) else header)
    count = 0
    for count, (line, row) in enumerate(rows, 1):
        try:
            document = _document(columns, row, f"{doc_id}#{count}")
        except InputError as error:
            note(f"{doc_id}:{line}", str(error))
            continue
        yield document
    if not count:
        raise EmptyFileError("empty")


@dataclass(frozen=True, kw_only=True)
class _Columns:
    names: Sequence[str]
    id: int | None
    title: int | None
    text: int | None
    others: Sequence[int]


class _Feed:
    """The table's lines as text for `csv.reader`, with the count of what the present row took."""

    def __init__(self, stream: io.BufferedReader, doc_id: str, max_bytes: int, note: Note) -> None:
        self._stream = stream
        self._lines = bounded_lines(stream, max_bytes)
        self._doc_id = doc_id
        self._note = note
        self._codec = "utf-8"
        self.max_bytes = max_bytes
        self.line = 0
        self.taken = 0
        self.quotes = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        self.line, line = next(self._lines)
        self.taken += len(line) if line is not None else self.max_bytes + 1
        if line is None or self.taken > self.max_bytes:
            raise csv.Error(f"row longer than {size(self.max_bytes)}")
        text = self._decode(line)
        self.quotes += text.count('"')
        return text

    def _decode(self, line: bytes) -> str:
        if self._codec != "utf-8":
            return line.decode(self._codec, "replace")
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            self._codec, remark = fallback(line + self._stream.peek(1), error.start)
        self._note(f"{self._doc_id}:{self.line}", remark)
        return line.decode(self._codec, "replace")


def _rows(
    reader: Iterator[list[str]], feed: _Feed, quoting: _Quoting
) -> Iterator[tuple[int, list[str] | InputError]]:
    """First line and fields of each row that is not blank, or what is wrong with it."""
    while True:
        feed.taken = feed.quotes = 0
        start = feed.line + 1
        # The limit belongs to the whole process: it is raised for one row and put back.
        usual = csv.field_size_limit(feed.max_bytes)
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield start, InputError(str(error))
            continue
        finally:
            csv.field_size_limit(usual)
        if feed.line > start and feed.quotes % 2:
            reason = f"a quotation mark that is never closed, up to line {feed.line}"
            yield start, InputError(reason)
            continue
        if quoting == csv.QUOTE_NONE:
            row = [_unquoted(field) for field in row]
        if any(field.strip() for field in row):
            yield start, row


def _dialect(sample: str, delimiters: str) -> tuple[str, _Quoting]:
    """Of some delimiters that which gives the first rows as many fields as the header, and most.

    Among tabs quotation marks are most often text, and one that opens no field would swallow the
    rows up to the next: they are taken as quoting only where lines are not rows without it.
    """
    best, best_score = _ONE_COLUMN, (0, 0)
    for delimiter in delimiters:
        widths = _widths(sample, delimiter, csv.QUOTE_MINIMAL)
        score = (widths.count(widths[0]), widths[0]) if widths else (0, 0)
        if score[1] > 1 and score > best_score:
            best, best_score = delimiter, score
    if best == "\t" and len(set(_widths(sample, best, csv.QUOTE_NONE)[:-1])) <= 1:
        return best, csv.QUOTE_NONE
    return best, csv.QUOTE_MINIMAL


def _widths(sample: str, delimiter: str, quoting: _Quoting) -> list[int]:
    """Fields of the first rows that are not blank; the last row may be cut."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, quoting=quoting)
    try:
        return [len(row) for row in islice(reader, _SAMPLE_ROWS) if row]
    except csv.Error:
        return []


def _unquoted(field: str) -> str:
    """Without the quotes that a spreadsheet puts around a field on one line."""
    inner = field[1:-1].replace('""', "\0")
    quoted = len(field) > 1 and field[0] == field[-1] == '"' and '"' not in inner
    return inner.replace("\0", '"') if quoted else field


def _columns(header: list[str]) -> _Columns:
    names = [clean(name.strip()) or f"column {number}" for number, name in enumerate(header, 1)]
    lowered = [name.casefold() for name in names]
    places = {
        name: lowered.index(name) for name in ("_id", "id", "title", "text") if name in lowered
    }
    if not header or (not places and any(_is_measure(name) for name in names)):
        raise ReadError("no header row")
    special = {places.get("_id", places.get("id")), places.get("title"), places.get("text")}
    others = [place for place in range(len(names)) if place not in special]
    unique = {names[place] for place in others}
    if len(unique) < len(others):
        raise ReadError("two columns of the header row have the same name")
    return _Columns(
        names=names,
        id=places.get("_id", places.get("id")),
        title=places.get("title"),
        text=places.get("text"),
        others=others,
    )


def _document(columns: _Columns, row: list[str] | InputError, fallback_id: str) -> Document:
    if isinstance(row, InputError):
        raise row
    if len(row) != len(columns.names):
        raise InputError(f"{len(row)} fields where the header row has {len(columns.names)}")
    values = [clean(value) for value in row]
    named = {columns.names[place]: values[place] for place in columns.others if values[place]}
    title = values[columns.title] if columns.title is not None else ""
    if columns.text is not None:
        text = values[columns.text]
    else:
        text = "\n".join(f"{name}: {value}" for name, value in named.items())
    if not title.strip() and not text.strip():
        raise InputError("empty document")
    identity = values[columns.id].strip() if columns.id is not None else ""
    return Document(
        id=identity or fallback_id, text=text, title=" ".join(title.split()), metadata=named
    )


def _is_measure(name: str) -> bool:
    """Whether this is a number, which no column is called unless it is a year."""
    try:
        return not 1000 <= float(name) < 3000
    except ValueError:
        return False
