"""Documents out of a collection, in the layout that goes in."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, TextIO

from embedsearch.collection.collection import Collection
from embedsearch.errors import StorageError
from embedsearch.store.database import plain_errors
from embedsearch.text.paths import typed_path
from embedsearch.types import Document


def document_json(document: Document) -> dict[str, Any]:
    """A document as a line of a BEIR corpus; `format` says how its text is marked up, if it is."""
    line: dict[str, Any] = {
        "_id": document.id,
        "title": document.title,
        "text": document.text,
        "metadata": dict(document.metadata),
    }
    return line if document.format == "text" else {**line, "format": document.format}


def export_documents(collection: Collection, path: Path) -> int:
    """Writes all documents to a JSON lines file; returns how many.

    The file is there whole or not at all, and keeps its permissions. What is no file, such as a
    pipe, is written to as it is. Raises StorageError, and InputError for what is no path.
    """
    path = typed_path(path)
    with plain_errors(path):
        if path.is_dir():
            raise StorageError(f"{path} is a folder; name a file to export to")
        if not path.parent.is_dir():
            raise StorageError(f"there is no folder {path.parent} to export to")
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8") as pipe:
                return write_documents(collection, pipe)
        return _replace(collection, path.resolve())


def _replace(collection: Collection, path: Path) -> int:
    """Through a file of this process beside it: two exports do not mix, and no other is lost."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    file = partial.open("x", encoding="utf-8")
    try:
        with file:
            written = write_documents(collection, file)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return written


def write_documents(collection: Collection, file: TextIO) -> int:
    """Writes all documents, a line of JSON each; returns how many."""
    written = 0
    for document in collection:
        file.write(json.dumps(document_json(document), ensure_ascii=False) + "\n")
        written += 1
    return written
