"""Rows of training data, from JSON lines and from tables, as values by role."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from embedsearch.errors import InputError, ReadError
from embedsearch.text.readers.opening import bounded_lines, open_stream, reasons
from embedsearch.text.words import counted

MAX_LINE_BYTES = 16 << 20
"""Of a line, and of a field of a table, which may have several."""

MAX_FILE_BYTES = 4 << 30

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("anchor", "query", "question"), "anchor"),
    **dict.fromkeys(("positive", "pos", "answer", "document", "passage", "context"), "positive"),
    **dict.fromkeys(("negative", "negatives", "neg"), "negative"),
    **dict.fromkeys(
        ("sentence1", "sentence_1", "text1", "first", "sentence_a", "#1 string"), "first"
    ),
    **dict.fromkeys(
        ("sentence2", "sentence_2", "text2", "second", "sentence_b", "#2 string"), "second"
    ),
    **dict.fromkeys(("score", "similarity", "relatedness"), "score"),
    **dict.fromkeys(("text", "sentence"), "text"),
    **dict.fromkeys(("label", "category", "intent", "class"), "label"),
}
"""What columns and keys are called, in small letters, and what they are."""

_NEEDED = ({"anchor", "positive"}, {"first", "second"}, {"text", "label"})

Fields = dict[str, list[Any]]
"""The values of a row by role."""


def json_rows(path: Path) -> Iterator[tuple[int, Fields]]:
    """Line numbers and values. Raises InputError that names file and line."""
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not JSON: {error}") from None
        if isinstance(value, list):
            yield number, _positional(value)
        elif isinstance(value, dict):
            yield number, _named(value.items())
        else:
            raise InputError(f"{path}:{number}: neither a JSON object nor a list: {line[:60]!r}")


def table_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Fields]]:
    """Line numbers and values, the columns called `columns`, else as a header of known names says,
    else by their places. Raises InputError that names file and line."""
    rows = _cells(path)
    first = next(rows, None)
    if first is None:
        return
    names: Sequence[str] = columns
    if _is_header(first[1], columns):
        names = columns or first[1]
    elif columns:
        _check_score(first[1], columns, f"{path}:{first[0]}")
        rows = chain([first], rows)
    else:
        following = list(filter(None, [next(rows, None)]))
        if following and _looks_like_header(first[1], following[0][1]):
            raise InputError(
                f"{path}:{first[0]}: {', '.join(first[1])[:80]!r} look like the names of columns, "
                "but are not known: call them anchor and positive, or sentence1, sentence2 and "
                "score; if they are texts, say so with --columns anchor,positive"
            )
        rows = chain([first], following, rows)
    _check_names(names, f"{path}:{first[0]}")
    for number, row in rows:
        if not names:
            _check_texts(row, f"{path}:{number}")
            yield number, _positional(row)
            continue
        if len(row) < len(names):
            raise InputError(
                f"{path}:{number}: {counted(len(row), 'column')} where there should be {len(names)}"
            )
        # what goes beyond the names is passed over
        yield number, _named(zip(names, row, strict=False))


def number_of(value: Any) -> float | None:
    """The value as a number; None where it is none."""
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


# Tables


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The last line and the cells of each row that is not blank; tabs in the first part them."""
    lines = _lines(path)
    first = next((each for each in lines if each[1].strip()), None)
    if first is None:
        return
    tabs = "\t" in first[1]
    reader = csv.reader(
        chain([first[1]], (line for _, line in lines)),
        delimiter="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        strict=True,
    )
    while True:
        # the limit belongs to the whole process: it is raised for one row and put back
        usual, before = csv.field_size_limit(MAX_LINE_BYTES), reader.line_num
        try:
            row = next(reader, None)
        except csv.Error as error:
            what = str(error)
            if reader.line_num > before + 1 or what == "unexpected end of data":
                what = (
                    "a quote that opens here is not closed where its field ends; write a quote "
                    "that is part of a field twice"
                )
            raise InputError(f"{path}:{first[0] + before}: {what}") from None
        finally:
            csv.field_size_limit(usual)
        if row is None:
            return
        if len(row) > 1 or "".join(row).strip():
            yield first[0] - 1 + reader.line_num, row


def _is_header(row: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether the row has known names: enough of them, or at all columns that are named, where a
    score may be called anything but a number."""
    roles = [_role(cell) for cell in row]
    if not columns:
        return any(needed <= set(roles) for needed in _NEEDED)
    named = [(_role(name), place) for place, name in enumerate(columns) if name != "-"]
    return all(
        place < len(row) and (roles[place] or (role == "score" and number_of(row[place]) is None))
        for role, place in named
    ) and any(roles)


def _looks_like_header(row: Sequence[str], following: Sequence[str]) -> bool:
    """Single words over texts of several."""
    texts = [cell for cell in following if number_of(cell) is None]
    return (
        len(row) == len(following) > 1
        and all(len(cell.split()) == 1 and number_of(cell) is None for cell in row)
        and bool(texts)
        and all(len(cell.split()) > 1 for cell in texts)
    )


def _check_names(names: Sequence[str], place: str) -> None:
    roles = {_role(name) for name in names}
    if {"first", "second"} <= roles and not {"score", "label"} & roles:
        raise InputError(
            f"{place}: two texts to compare, and no score among the columns "
            f"{', '.join(names)[:200]}: say with --columns which one it is (- for one to pass "
            "over), or call the texts anchor and positive where all of them belong together"
        )


def _check_score(row: Sequence[str], columns: Sequence[str], place: str) -> None:
    """InputError where the first row would be one of data, but for its score."""
    for name, cell in zip(columns, row, strict=False):
        if _role(name) == "score" and number_of(cell) is None:
            raise InputError(
                f"{place}: the score {cell[:40]!r} is no number; if the line is a header of names "
                "that are not known, take it out"
            )


def _check_texts(row: Sequence[str], place: str) -> None:
    """InputError where a number stands for a text in a table that does not say what it holds."""
    texts = row[:2] if _is_scored(row) else row
    number = next((cell for cell in texts if number_of(cell) is not None), None)
    if number is not None:
        raise InputError(
            f"{place}: {number!r} is a number where a text should be, in a table without a header "
            "of known names: say with --columns what its columns are, - for one to pass over"
        )


# Rows


def _role(name: str) -> str:
    return ROLES.get(name.strip().casefold(), "")


def _named(items: Iterable[tuple[str, Any]]) -> Fields:
    fields: Fields = {}
    for name, value in items:
        role = _role(name) or _role(name.strip().rstrip("_0123456789"))
        # an empty score or label is a mistake, an empty negative is none
        if role and value is not None and (value != "" or role in ("score", "label")):
            fields.setdefault(role, []).extend(value if isinstance(value, list) else [value])
    return fields


def _positional(row: Sequence[Any]) -> Fields:
    """Two texts and a number, or two and more texts."""
    if _is_scored(row):
        return {"first": [row[0]], "second": [row[1]], "score": [row[2]]}
    fields: Fields = {"anchor": list(row[:1]), "positive": list(row[1:2])}
    return fields | ({"negative": list(row[2:])} if len(row) > 2 else {})


def _is_scored(row: Sequence[Any]) -> bool:
    return len(row) == 3 and number_of(row[2]) is not None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with reasons(), open_stream(path, path.suffix == ".gz", MAX_FILE_BYTES) as stream:
            for number, line in bounded_lines(stream, MAX_LINE_BYTES):
                if line is None:
                    raise InputError(f"{path}:{number}: longer than {MAX_LINE_BYTES} bytes")
                try:
                    yield number, line.decode()
                except UnicodeDecodeError:
                    raise InputError(f"{path}:{number}: not UTF-8") from None
    except ReadError as error:
        raise InputError(f"{path}: {error}") from None
