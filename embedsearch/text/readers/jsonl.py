"""JSON lines, one document a line, in the layout of the BEIR corpora."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, get_args

from embedsearch.errors import EmptyFileError, InputError
from embedsearch.text.readers.content import Note, loads, size
from embedsearch.text.readers.opening import bounded_lines
from embedsearch.types import Document, Format


def read_jsonl(
    stream: io.BufferedReader, doc_id: str, max_bytes: int, note: Note
) -> Iterator[Document]:
    """Documents from `_id` or `id`, `title`, `text` and `metadata`.

    `format` may say that the text is `markdown`, `rst` or `code`. All other fields that are not
    null join the metadata, where those of `metadata` come first. A line without id is
    `doc_id#line`. A line that cannot be read, or is over `max_bytes`, is noted and passed over.
    """
    empty = True
    for number, line in bounded_lines(stream, max_bytes):
        if line is not None and not line.strip():
            continue
        empty = False
        try:
            if line is None:
                raise InputError(f"line longer than {size(max_bytes)}")
            document = _document(line, f"{doc_id}#{number}")
        except InputError as error:
            note(f"{doc_id}:{number}", str(error))
            continue
        yield document
    if empty:
        raise EmptyFileError("empty")


def _document(line: bytes, fallback_id: str) -> Document:
    record = _object(line)
    identity = next((record[key] for key in ("_id", "id") if record.get(key) not in (None, "")), "")
    if isinstance(identity, bool) or not isinstance(identity, str | int):
        raise InputError("id is neither a string nor an integer")
    title, text = _string(record, "title"), _string(record, "text")
    if record.get("title") is record.get("text") is None:
        raise InputError("it has neither `text` nor `title`")
    if not title.strip() and not text.strip():
        raise InputError("empty document")
    metadata = record.get("metadata")
    if not isinstance(metadata, dict | None):
        raise InputError("metadata is not an object")
    format_: Format = "text"
    if record.get("format") in get_args(Format):
        format_ = record.pop("format")
    others = {
        key: value
        for key, value in record.items()
        if key not in ("_id", "id", "title", "text", "metadata") and value is not None
    }
    return Document(
        id=str(identity) or fallback_id,
        text=text,
        title=" ".join(title.split()),
        metadata={**others, **(metadata or {})},
        format=format_,
    )


def _object(line: bytes) -> dict[str, Any]:
    try:
        record = loads(line.decode().rstrip())
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise InputError("not JSON: nested too deeply") from None
    except ValueError as error:  # an integer of thousands of digits
        raise InputError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise InputError("not a JSON object")
    return record


def _string(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{key} is not a string")
    return value
