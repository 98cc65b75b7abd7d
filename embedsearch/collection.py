"""A collection: a folder with documents in it, kept in step, searched by meaning and by words."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from sqlite_utils import Database

from embedsearch.access import Access
from embedsearch.errors import InputError, NotFoundError
from embedsearch.index import IndexConfig
from embedsearch.indexing import ask_index, build_generation, tidy
from embedsearch.ingest import Ingest
from embedsearch.models import (
    Compute,
    EncoderSlot,
    adopt_model,
    check_fingerprint,
    load_encoder,
    stored_model,
)
from embedsearch.plan import SyncConfig, plan_sync
from embedsearch.reindex import stage, switch
from embedsearch.retrieval import By, SearchConfig
from embedsearch.searching import Searcher
from embedsearch.status import Status, folder_size, read_status
from embedsearch.store import documents as store
from embedsearch.store.erase import empty_log, erase
from embedsearch.store.filters import Where
from embedsearch.store.settings import (
    Model,
    active_model,
    get_setting,
    previous_model,
    put_setting,
)
from embedsearch.store.sources import drop_empty_sources, forget_documents
from embedsearch.store.vectors import drop_unused_vectors
from embedsearch.sync import Sync
from embedsearch.text.chunking import ChunkingConfig
from embedsearch.types import SILENT, Document, Encoder, Hit, Mode, Progress, SyncReport
from embedsearch.upsert import Upsert

if TYPE_CHECKING:
    from embedsearch.encoder import EngineName


class Collection:
    """Documents, their chunks and vectors in one folder. Open one with `embedsearch.open`.

    Searching takes no lock and sees what is committed. Writing takes the collection's one writer
    lock for as long as the call lasts; LockedError at once when another process has it. One
    instance may be shared by threads; it is not for use across a fork.
    """

    def __init__(
        self,
        access: Access,
        *,
        model: str | Path | Encoder | None = None,
        compute: Compute | None = None,
        chunking: ChunkingConfig | None = None,
        index: IndexConfig | None = None,
    ) -> None:
        self._index = index
        self._access = access
        self._encoder = EncoderSlot(model, compute)
        self._searcher = Searcher(access, self._encoder)
        self._chunking = chunking

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        model: str | Path | Encoder | None = None,
        engine: EngineName = "auto",
        device: str = "auto",
        chunking: ChunkingConfig | None = None,
        index: IndexConfig | None = None,
        read_only: bool = False,
        create: bool = True,
    ) -> Collection:
        """Opens the collection in the folder `path`, and makes it when it is new.

        Args:
            model: name, folder or hub id of the encoder, or an `Encoder`. None: the one that the
                collection was made with, the bundled all-MiniLM-L6-v2 for a new one.
            engine, device: what computes the vectors, and where; see `SentenceEncoder.load`. They
                do not belong to the collection: every engine makes the same vectors.
            chunking: how documents of a new collection are cut; that of one that exists is
                changed by `reindex`.
            index: what is asked of the index, such as another recall: stored and built by the next
                write. None: as it was asked before.
            read_only: for searching alone; works on a read-only disk. Nothing is made or mended.
            create: False to raise NotFoundError where there is no collection.

        Raises:
            NotFoundError, CorruptStoreError, NewerStoreError, StorageError, StoreError: what is
                there cannot be opened, and why.
            FingerprintError: the collection's vectors were made by another model than `model`.
            InputError: the collection's documents are cut in another way than `chunking` says.
        """
        access = Access.open(path, read_only=read_only, create=create)
        compute = Compute(engine=engine, device=device)
        collection = cls(access, model=model, compute=compute, chunking=chunking, index=index)
        try:
            with access.reading() as db:
                collection._encoder.check(db)
                collection._stored_chunking(db)
        except BaseException:
            access.close()
            raise
        return collection

    @property
    def folder(self) -> Path:
        return self._access.folder

    def close(self) -> None:
        """Lets go of the database. Calling it again does nothing."""
        self._access.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Writing

    def sync(
        self,
        paths: Sequence[str | Path],
        *,
        glob: str | None = None,
        prune: bool = True,
        dry_run: bool = False,
        config: SyncConfig | None = None,
        progress: Progress = SILENT,
    ) -> SyncReport:
        """Brings the collection in step with files and folders.

        Files whose size and time are as they were are not opened, texts that are as they were are
        not embedded again. Documents are committed batch by batch: an interrupted sync goes on
        where it stopped. What cannot be read is passed over and reported.

        Args:
            paths: files and folders. `config`, when given, is used in place of the other options,
                which are those of `SyncConfig`.

        Raises NotFoundError for a path that does not exist, before anything is done.
        """
        config = config or SyncConfig(glob=glob, prune=prune, dry_run=dry_run)
        if isinstance(paths, (str, Path)):
            raise InputError("paths must be a list of paths, not a single one")
        began = time.perf_counter()
        roots = [Path(path).expanduser() for path in paths]
        with self._access.writing() as db:
            plan = plan_sync(db, roots, config, base=self.folder.parent, exclude=self.folder)
            if not config.dry_run:
                self._ask_index(db)
            ingest = self._ingest(db, progress, rehearsal=config.dry_run)
            run = Sync(db=db, ingest=ingest, config=config, plan=plan)
            run.run()
            if not config.dry_run:
                tidy(db, self.folder, orphans=bool(run.changed or run.removed), progress=progress)
        return _report(run, ingest, began)

    def upsert(self, documents: Iterable[Document], *, progress: Progress = SILENT) -> SyncReport:
        """Puts documents in, each in place of the one with its id; unchanged ones cost nothing.

        An empty document is passed over and reported. Documents may come from a generator: memory
        stays flat, and what was committed stays when it fails.
        """
        began = time.perf_counter()
        with self._access.writing() as db:
            self._ask_index(db)
            ingest = self._ingest(db, progress)
            run = Upsert(db=db, ingest=ingest)
            run.run(documents)
            tidy(db, self.folder, orphans=bool(run.changed), progress=progress)
        return _report(run, ingest, began)

    def delete(self, document_ids: Iterable[str]) -> int:
        """Deletes documents; returns how many there were.

        A file that is still there comes back with the next sync of its folder. `vacuum` erases
        what was deleted from the disk.
        """
        ids = list(document_ids)
        if isinstance(document_ids, str):
            raise InputError("delete takes a list of ids, not a single string")
        ids = [id_ for id_ in ids if store.can_be_id(id_)]
        with self._access.writing() as db:
            with db.atomic():
                forget_documents(db, ids)
                deleted = store.delete_documents(db, ids)
                drop_empty_sources(db)
            tidy(db, self.folder, orphans=bool(deleted))
        return deleted

    def reindex(
        self,
        *,
        model: str | Path | Encoder | None = None,
        chunking: ChunkingConfig | None = None,
        keep_previous: bool = False,
        progress: Progress = SILENT,
    ) -> SyncReport:
        """Embeds every document anew, with another model or another way of cutting.

        The new chunks are built beside the old ones, which go on being searched; the switch is one
        transaction at the end. An interrupted run goes on where it stopped. `keep_previous` keeps
        the vectors that there were for a `rollback`.
        """
        began = time.perf_counter()
        with self._access.writing() as db:
            if model is None:
                encoder = self._encoder.get(db)
            else:
                encoder = load_encoder(model, self._encoder.compute)
            target = stored_model(db, encoder)
            ask_index(db, self._index, target.dim)
            ingest = Ingest(
                db=db,
                load=lambda: (encoder, target),
                chunking=chunking or self._stored_chunking(db),
                progress=progress,
            )
            stage(db, ingest, target)
            switch(db, ingest, target, keep=keep_previous)
            build_generation(db, self.folder, target, progress)
            documents = store.count(db, "documents")
        if model is not None:
            self._encoder.replace(encoder)
        self._chunking = None
        return SyncReport(
            changed=documents, seconds=time.perf_counter() - began, **asdict(ingest.tally)
        )

    def rollback(self, *, progress: Progress = SILENT) -> SyncReport:
        """Goes back to the model before the last promotion; what it embedded then is not embedded
        again. Another rollback undoes this one.

        Raises NotFoundError where there was no promotion, or the model's folder is gone, and
        FingerprintError where the folder holds another model now.
        """
        with self._access.reading() as db:
            previous = previous_model(db)
        if previous is None:
            raise NotFoundError(
                f"{self.folder} has no model to go back to: there was no promotion since it was "
                "made or reindexed"
            )
        encoder = load_encoder(previous.name, self._encoder.compute)
        check_fingerprint(encoder, previous)
        return self.reindex(model=encoder, keep_previous=True, progress=progress)

    def vacuum(self) -> int:
        """Erases what was deleted from the disk, and returns the bytes that became free.

        Deleted text stands nowhere in the folder afterwards: the keyword index is merged, the
        database and the index file are written anew, the write-ahead log is emptied. Raises
        StoreError when a reader holds the log at that moment.
        """
        before = folder_size(self.folder)
        with self._access.writing() as db:
            with db.atomic():
                drop_unused_vectors(db)
            erase(db)
            model = active_model(db)
            if model:
                build_generation(db, self.folder, model)
                empty_log(db)
        return before - folder_size(self.folder)

    # Searching

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        mode: Mode = "hybrid",
        where: Where | None = None,
        by: By = "document",
    ) -> list[Hit]:
        """The best `k` hits for a query, best first.

        Args:
            mode: `semantic` compares meanings, `keyword` words (BM25), `hybrid` both.
            where: a filter on metadata, `path` and `id`; see `embedsearch.store.filters`.
            by: `document` for one hit a document, its best chunk; `chunk` for every chunk.

        Raises:
            InputError: an empty query, a `k`, mode or filter that cannot be used.
            FingerprintError: the model at hand is not the one that made the vectors.
        """
        return self.search_batch([query], k, mode=mode, where=where, by=by)[0]

    def search_batch(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        mode: Mode = "hybrid",
        where: Where | None = None,
        by: By = "document",
    ) -> list[list[Hit]]:
        """`search` for several queries, which are encoded together."""
        return self._searcher.search(queries, SearchConfig(k=k, mode=mode, by=by), where)

    def similar(
        self,
        document_id: str,
        k: int = 10,
        *,
        where: Where | None = None,
    ) -> list[Hit]:
        """The documents nearest in meaning to one that is here: to the mean of its chunks' vectors.

        Needs no model. Raises NotFoundError when there is no such document.
        """
        return self._searcher.similar(document_id, SearchConfig(k=k, mode="semantic"), where)

    # Looking things up

    def get(self, document_id: str) -> Document | None:
        """The document with this id, or None."""
        with self._access.reading() as db:
            stored = store.get_document(db, document_id)
        return stored.document if stored else None

    def __contains__(self, document_id: object) -> bool:
        return isinstance(document_id, str) and self.get(document_id) is not None

    def __len__(self) -> int:
        """Documents."""
        with self._access.reading() as db:
            return store.count(db, "documents")

    def __iter__(self) -> Iterator[Document]:
        """All documents in the order in which they came, one at a time in memory."""
        last = 0
        while True:
            with self._access.reading() as db:
                stored = next(store.iter_documents(db, after=last), None)
            if stored is None:
                return
            last = stored.row
            yield stored.document

    def status(self) -> Status:
        """What is in the collection; loads no model."""
        with self._access.reading() as db:
            return read_status(db, self.folder, self._encoder.engine(db))

    @property
    def encoder(self) -> Encoder:
        """The encoder of this collection, loaded when first asked for."""
        with self._access.reading() as db:
            return self._encoder.get(db)

    # Inside

    def _ask_index(self, db: Database) -> None:
        """Refuses an index that cannot be built before anything is done."""
        if self._index is not None:
            model = active_model(db) or self._encoder.get(db)
            ask_index(db, self._index, model.dim)

    def _ingest(self, db: Database, progress: Progress, *, rehearsal: bool = False) -> Ingest:
        chunking = self._stored_chunking(db)

        def load() -> tuple[Encoder, Model | None]:
            encoder, model = self._encoder.get(db), active_model(db)
            if model is None and not rehearsal:
                with db.atomic():
                    model = adopt_model(db, encoder)
                    put_setting(db, "chunking", asdict(chunking))
            return encoder, model

        return Ingest(db=db, load=load, chunking=chunking, progress=progress, rehearsal=rehearsal)

    def _stored_chunking(self, db: Database) -> ChunkingConfig:
        stored = get_setting(db, "chunking")
        if stored is None:
            return self._chunking or ChunkingConfig()
        config = ChunkingConfig(**stored)
        if self._chunking not in (None, config):
            raise InputError(
                f"the documents in {self.folder} are cut by {config}, not by {self._chunking}; "
                "reindex cuts them anew"
            )
        return config


def _report(run: Sync | Upsert, ingest: Ingest, began: float) -> SyncReport:
    return SyncReport(
        added=run.added,
        changed=run.changed,
        removed=run.removed,
        unchanged=run.unchanged,
        skipped=tuple(run.skipped),
        seconds=time.perf_counter() - began,
        **asdict(ingest.tally),
    )
