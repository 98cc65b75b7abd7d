"""Documents out of a collection, in the layout that goes in."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from embedsearch.collection.collection import Collection
from embedsearch.store.database import plain_errors
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
    """Writes all documents to a JSON lines file, whole or not at all; returns how many."""
    partial = path.with_name(f"{path.name}.part")
    written = 0
    with plain_errors(path):
        try:
            with partial.open("w", encoding="utf-8") as file:
                for document in collection:
                    file.write(json.dumps(document_json(document), ensure_ascii=False) + "\n")
                    written += 1
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return written
