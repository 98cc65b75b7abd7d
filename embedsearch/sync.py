"""Keeping a collection in step with files: what changed is read, what is new in it is embedded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlite_utils import Database

from embedsearch.errors import EmptyFileError, InputError, ReadError
from embedsearch.ingest import Ingest, StoredCuts
from embedsearch.plan import Plan, SyncConfig
from embedsearch.store import documents as store
from embedsearch.store.sources import Source, drop_source, source_id, stamp_source
from embedsearch.text.files import SourceFile
from embedsearch.text.readers import read_file
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
        self.ingest.progress.start("Indexing", None, "B")
        pending: set[str] = set()
        for document in documents:
            if not isinstance(document, Document):
                raise InputError(f"upsert takes Documents, not {type(document).__name__}")
            if document.id in pending:
                self.ingest.flush()
            self._take(document)
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


@dataclass
class Sync:
    """One sync under way. The counts are of documents; `skipped` says what was passed over."""

    db: Database
    ingest: Ingest
    config: SyncConfig
    plan: Plan
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    _claimed: set[str] = field(default_factory=set)
    _gone: frozenset[int] = frozenset()

    def run(self) -> None:
        """Reads what changed, commits it batch by batch, and removes what is gone."""
        self._gone = frozenset(source.id for source in self.plan.gone)
        self.unchanged = self.plan.unchanged
        self.skipped = list(self.plan.skipped)
        self.ingest.progress.start("Indexing", sum(f.size for f in self.plan.changed.values()), "B")
        for key, file in self.plan.changed.items():
            self._read(key, file)
        self.ingest.flush()
        for source in self.plan.gone:
            self._remove(source)

    def _read(self, key: str, file: SourceFile) -> None:
        known = self.plan.known.get(key)
        rehearsed = known.id if known else -1
        source = rehearsed if self.config.dry_run else source_id(self.db, key)
        seen: set[str] = set()
        problem, complete = None, True
        try:
            for document in read_file(
                file.path,
                key,
                max_bytes=self.config.max_document_mb * 2**20,
                note=lambda place, remark: self._note(key, place, remark),
            ):
                complete &= self._take(document, key, source, seen)
        except ReadError as error:
            problem = str(error)
            # What cannot be read now may have been read before: those documents stay.
            complete = isinstance(error, EmptyFileError)
        except OSError as error:
            self._skip(key, error.strerror or str(error))
            return
        if problem:
            self._skip(key, problem)
        if problem or complete:
            self._finish(file, source, seen, problem, complete=complete)

    def _take(self, document: Document, key: str, source: int, seen: set[str]) -> bool:
        """Takes one document of a file; False when its id belongs to another file."""
        if document.id in seen:
            self._skip(
                key, f"the id {document.id!r} stands in it more than once; the first is taken"
            )
            return True
        stored = store.stored_hash(self.db, document.id)
        if self._is_taken(document.id, stored, source):
            self._skip(key, f"the id {document.id!r} is that of a document of another file")
            return False
        seen.add(document.id)
        digest = store.document_hash(document)
        if stored and stored[0] == digest:
            self.unchanged += 1
            self.ingest.progress.advance(len(document.text))
            if stored[1] != source and not self.config.dry_run:
                self.ingest.then(lambda: store.move_document(self.db, document.id, source))
        else:
            self._put(document, digest, source, is_new=stored is None)
        return True

    def _is_taken(
        self, document_id: str, stored: tuple[bytes, int | None] | None, source: int
    ) -> bool:
        if document_id in self._claimed:
            return True
        return stored is not None and stored[1] not in {None, source, *self._gone}

    def _put(self, document: Document, digest: bytes, source: int, *, is_new: bool) -> None:
        def write(cuts: StoredCuts) -> None:
            store.put_document(self.db, document, digest=digest, source=source, chunks=cuts)

        self._claimed.add(document.id)
        if not self.ingest.put(document, write):
            self._skip(document.id, "empty document")
        elif is_new:
            self.added += 1
        else:
            self.changed += 1
        if self.ingest.is_idle and not self.config.dry_run:
            self._claimed.clear()  # all are in the database now

    def _finish(
        self, file: SourceFile, source: int, seen: set[str], problem: str | None, *, complete: bool
    ) -> None:
        """Once the file's documents are in: drops those it no longer has, and stamps it."""
        vanished: list[str] = []
        if complete and self.config.prune:
            vanished = [i for i in store.documents_of_source(self.db, source) if i not in seen]
            self.removed += len(vanished)

        def finish() -> None:
            store.delete_documents(self.db, vanished)
            stamp_source(self.db, source, size=file.size, mtime_ns=file.mtime_ns, problem=problem)

        self.ingest.then(finish)

    def _remove(self, source: Source) -> None:
        """Removes the documents of a file that is gone, and the file."""
        ids = store.documents_of_source(self.db, source.id)
        self.removed += len(ids)
        if not self.config.dry_run:
            with self.db.atomic():
                store.delete_documents(self.db, ids)
                drop_source(self.db, source.id)

    def _note(self, key: str, place: str, remark: str) -> None:
        """What a reader says: of a line that was passed over, or of the file, which was read."""
        if place == key:
            self.ingest.progress.note(f"{key}: {remark}")
        else:
            self._skip(place, remark)

    def _skip(self, path: str, reason: str) -> None:
        self.skipped.append(Skipped(path=path, reason=reason))
