"""Documents that the user gives, put in place of those with the same ids."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace

from sqlite_utils import Database

from embedsearch.collection.ingest import Ingest, StoredCuts
from embedsearch.errors import InputError
from embedsearch.store import documents as store
from embedsearch.types import Document, Skipped


@dataclass
class Upsert:
    """Documents given by the user, put in under way. The counts are of documents."""

    db: Database
    ingest: Ingest
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    def run(self, documents: Iterable[Document]) -> None:
        """Puts each document in place of the one with its id; the last of one id stays."""
        if not isinstance(documents, Iterable):
            raise InputError(f"upsert takes a list of Documents, not {type(documents).__name__}")
        self.ingest.progress.start("Indexing", None, "B")
        pending: set[str] = set()
        for document in documents:
            if not isinstance(document, Document):
                raise InputError(f"upsert takes Documents, not {type(document).__name__}")
            if document.id in pending:
                self.ingest.flush()
            # Checked and copied here: the caller may go on with its metadata before the batch is
            # written.
            self._take(replace(document, metadata=deepcopy(dict(document.metadata))))
            pending.add(document.id)
            if self.ingest.is_idle:
                pending.clear()
        self.ingest.flush()

    def _take(self, document: Document) -> None:
        digest = store.document_hash(document)
        stored = store.stored_hash(self.db, document.id)
        if stored and stored[0] == digest:
            self.unchanged += 1
            return

        def write(cuts: StoredCuts) -> None:
            store.put_document(self.db, document, digest=digest, source=None, chunks=cuts)

        if not self.ingest.put(document, write):
            self.skipped.append(Skipped(path=document.id, reason="empty document"))
        elif stored:
            self.changed += 1
        else:
            self.added += 1
