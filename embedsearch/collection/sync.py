"""Keeping a collection in step with files: what changed is read, what is new in it is embedded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from gzip import BadGzipFile

from sqlite_utils import Database

from embedsearch.collection.ingest import Ingest, StoredCuts
from embedsearch.collection.plan import Plan, SyncConfig
from embedsearch.errors import EmptyFileError, ReadError
from embedsearch.store import documents as store
from embedsearch.store.sources import Source, drop_source, source_id, stamp_source
from embedsearch.text.files import SourceFile
from embedsearch.text.readers import read_file
from embedsearch.text.readers.content import Note
from embedsearch.types import Document, Skipped

_Stored = tuple[bytes, int | None]
"""Hash and source of a document in the collection."""


@dataclass(kw_only=True)
class _Reading:
    """A file that was read. `whole` says that all it holds is known, `conflict` that one of its
    ids is that of another file's document. `contested` are ids whose file changed as well and may
    give them up; `vanished` those of the documents that it has in the collection and no longer in
    itself."""

    key: str
    file: SourceFile
    source: int
    whole: bool = True
    conflict: bool = False
    problem: str | None = None
    seen: set[str] = field(default_factory=set)
    contested: set[str] = field(default_factory=set)
    vanished: list[str] = field(default_factory=list)
    _read: int = 0
    _shared: int = 0

    def told(self, size: int) -> None:
        """Bytes were read. What came to the file after it was listed is not counted."""
        self._read = min(self._read + size, self.file.size)

    def share(self) -> int:
        """The bytes that were read since the last call: those of the document at hand, for the
        progress."""
        share, self._shared = self._read - self._shared, self._read
        return share

    def rest(self) -> int:
        """The bytes that are no document's."""
        self._read = self.file.size
        return self.share()


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
    """Ids taken in this run and not yet committed."""
    _vanished: set[str] = field(default_factory=set)
    """Ids that their file no longer has: any other file may take them."""
    _awaited: set[str] = field(default_factory=set)
    """Ids that wait until all files are read: see `_Reading.contested`."""
    _gone: frozenset[int] = frozenset()
    _changing: frozenset[int] = frozenset()
    _unsettled: list[_Reading] = field(default_factory=list)

    def run(self) -> None:
        """Reads what changed, commits it batch by batch, and removes what is gone."""
        plan = self.plan
        self._gone = frozenset(source.id for source in plan.gone)
        self._changing = frozenset(plan.known[key].id for key in plan.changed if key in plan.known)
        self.unchanged = plan.unchanged
        self.skipped = list(plan.skipped)
        self.ingest.progress.start("Indexing", sum(f.size for f in plan.changed.values()), "B")
        sources = self._sources()
        for key, file in plan.changed.items():
            reading = _Reading(key=key, file=file, source=sources[key])
            self._read(reading)
            self.ingest.progress.advance(reading.rest())
        # Now it is known which documents every file has lost, and whether another has them.
        for reading in self._unsettled:
            if reading.contested:
                self._read_again(reading)
        self.ingest.flush()
        for reading in self._unsettled:
            self._settle(reading)
        for source in plan.gone:
            self._remove(source)

    def _sources(self) -> dict[str, int]:
        """Rows of the files to read; -1 for a new one in a rehearsal."""
        if self.config.dry_run:
            known = self.plan.known
            return {key: known[key].id if key in known else -1 for key in self.plan.changed}
        with self.db.atomic():  # one commit, not one for each file
            return {key: source_id(self.db, key) for key in self.plan.changed}

    def _read(self, reading: _Reading) -> None:
        key = reading.key
        try:
            for document in self._documents(
                reading, lambda place, why: self._note(key, place, why)
            ):
                self._look_at(document, reading)
        except ReadError as error:
            if _may_pass(error):
                self._skip(key, str(error))
                return
            reading.problem = str(error)
            # What cannot be read now may have been read before: those documents stay.
            reading.whole = isinstance(error, EmptyFileError)
            self._skip(key, reading.problem)
        except OSError as error:
            self._skip(key, error.strerror or str(error))
            return
        if reading.whole:
            ids = store.documents_of_source(self.db, reading.source)
            reading.vanished = [id_ for id_ in ids if id_ not in reading.seen]
            self._vanished.update(reading.vanished)
        if reading.contested or reading.vanished:
            self._unsettled.append(reading)
        elif not reading.conflict or reading.problem:
            self.ingest.then(lambda: self._stamp(reading))

    def _read_again(self, reading: _Reading) -> None:
        """Takes, in a second reading, what the file that had it has given up."""
        try:
            for document in self._documents(reading, lambda *_: None):
                if document.id in reading.contested:
                    reading.contested.discard(document.id)
                    self._take(document, reading, store.stored_hash(self.db, document.id))
        except (ReadError, OSError):
            reading.conflict = True  # it is changing at this moment: the next sync reads it

    def _documents(self, reading: _Reading, note: Note) -> Iterator[Document]:
        limit = self.config.max_document_mb * 2**20
        return read_file(
            reading.file.path, reading.key, max_bytes=limit, note=note, told=reading.told
        )

    def _look_at(self, document: Document, reading: _Reading) -> None:
        """Takes one document of a file, unless that cannot be decided yet."""
        if document.id in reading.seen or document.id in reading.contested:
            why = f"the id {document.id!r} stands in it more than once; the first is taken"
            self._skip(reading.key, why)
            return
        stored = store.stored_hash(self.db, document.id)
        if self._must_wait(document.id, stored, reading.source):
            reading.contested.add(document.id)
            self._awaited.add(document.id)
        else:
            self._take(document, reading, stored)

    def _must_wait(self, document_id: str, stored: _Stored | None, source: int) -> bool:
        """Whether the document's file changed too, so that it may turn out to have lost it.

        Files that came before and wait for it as well are served first.
        """
        if stored is None or stored[1] == source:
            return False
        if document_id in self._claimed or document_id in self._vanished:
            return document_id in self._awaited
        return stored[1] in self._changing

    def _take(self, document: Document, reading: _Reading, stored: _Stored | None) -> None:
        if self._is_taken(document.id, stored, reading.source):
            reading.conflict = True
            why = (
                f"the id {document.id!r} is that of a document of another file, which stays; ids "
                "of rows and lines count across all files"
            )
            self._skip(reading.key, why)
            return
        reading.seen.add(document.id)
        self._vanished.discard(document.id)
        digest = store.document_hash(document)
        if not stored or stored[0] != digest:
            self._put(document, digest, reading, is_new=stored is None)
            return
        self.unchanged += 1
        self.ingest.progress.advance(reading.share())
        if stored[1] != reading.source:
            self._claimed.add(document.id)
            self.ingest.then(lambda: store.move_document(self.db, document.id, reading.source))

    def _is_taken(self, document_id: str, stored: _Stored | None, source: int) -> bool:
        if document_id in self._claimed:
            return True
        if stored is None or document_id in self._vanished:
            return False
        return stored[1] not in {None, source, *self._gone}

    def _put(self, document: Document, digest: bytes, reading: _Reading, *, is_new: bool) -> None:
        def write(cuts: StoredCuts) -> None:
            store.put_document(self.db, document, digest=digest, source=reading.source, chunks=cuts)

        self._claimed.add(document.id)
        if not self.ingest.put(document, write, reading.share()):
            self._skip(document.id, "empty document")
        elif is_new:
            self.added += 1
        else:
            self.changed += 1
        if self.ingest.is_idle and not self.config.dry_run:
            self._claimed.clear()  # all are in the database now

    def _settle(self, reading: _Reading) -> None:
        """Removes what a file has lost and no other took, and stamps the file."""
        lost = [id_ for id_ in reading.vanished if id_ in self._vanished]
        removed = lost if self.config.prune else []
        self.removed += len(removed)
        if self.config.dry_run:
            return
        with self.db.atomic():
            store.delete_documents(self.db, removed)
            # Without a stamp it is read by the next sync, which may prune.
            if not reading.conflict and removed == lost:
                self._stamp(reading)

    def _stamp(self, reading: _Reading) -> None:
        file = reading.file
        stamp_source(
            self.db,
            reading.source,
            size=file.size,
            mtime_ns=file.mtime_ns,
            problem=reading.problem,
        )

    def _remove(self, source: Source) -> None:
        """Removes the documents of a file that is gone, and the file."""
        ids = store.documents_of_source(self.db, source.id)
        ids = [id_ for id_ in ids if id_ not in self._claimed]  # those another file has, rehearsed
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


def _may_pass(error: ReadError) -> bool:
    """Whether the file system failed and not the file: size and time tell nothing of a permission
    or a drive that comes back, so the next sync reads the file again."""
    cause = error.__context__
    return isinstance(cause, OSError) and not isinstance(cause, BadGzipFile)
