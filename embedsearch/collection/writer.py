"""A collection as its writers see it: documents in and out, another model, freed space."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import NoneType

from sqlite_utils import Database

from embedsearch.collection.access import Access
from embedsearch.collection.indexing import ask_index, build_generation, tidy
from embedsearch.collection.ingest import Ingest
from embedsearch.collection.models import (
    EncoderSlot,
    adopt_model,
    check_fingerprint,
    load_encoder,
    stored_model,
)
from embedsearch.collection.plan import SyncConfig, plan_sync
from embedsearch.collection.reindex import stage, switch
from embedsearch.collection.status import folder_size
from embedsearch.collection.sync import Sync
from embedsearch.collection.upsert import Upsert
from embedsearch.errors import InputError, NotFoundError
from embedsearch.index import IndexConfig
from embedsearch.store import documents as store
from embedsearch.store.erase import empty_log, erase
from embedsearch.store.settings import (
    Model,
    active_model,
    get_setting,
    previous_model,
    put_setting,
)
from embedsearch.store.sources import drop_empty_sources, forget_documents
from embedsearch.store.vectors import drop_unused_vectors
from embedsearch.text.chunking import ChunkingConfig
from embedsearch.text.paths import typed_path
from embedsearch.types import Document, Encoder, Progress, SyncReport


class Writer:
    """Changes one collection; every call takes its writer lock. `Collection` tells what each does.

    `chunking` and `index` are what was asked for when the collection was opened, or None.
    """

    def __init__(
        self,
        access: Access,
        encoder: EncoderSlot,
        chunking: ChunkingConfig | None,
        index: IndexConfig | None,
    ) -> None:
        self._access = access
        self._folder = access.folder
        self._encoder = encoder
        self._chunking = chunking
        self._index = index

    def sync(
        self, paths: Sequence[str | Path], config: SyncConfig, progress: Progress
    ) -> SyncReport:
        began = time.perf_counter()
        roots = _roots(paths)
        with self._access.writing() as db:
            plan = plan_sync(db, roots, config, base=self._folder.parent, exclude=self._folder)
            if not config.dry_run:
                self._ask_index(db)
            ingest = self._ingest(db, progress, rehearsal=config.dry_run)
            run = Sync(db=db, ingest=ingest, config=config, plan=plan)
            run.run()
            if not config.dry_run:
                tidy(
                    db,
                    self._folder,
                    orphans=bool(run.changed or run.removed),
                    progress=progress,
                    device=self._encoder.compute.device,
                )
        return _report(run, ingest, began)

    def upsert(self, documents: Iterable[Document], progress: Progress) -> SyncReport:
        began = time.perf_counter()
        with self._access.writing() as db:
            self._ask_index(db)
            ingest = self._ingest(db, progress)
            run = Upsert(db=db, ingest=ingest)
            run.run(documents)
            tidy(
                db,
                self._folder,
                orphans=bool(run.changed),
                progress=progress,
                device=self._encoder.compute.device,
            )
        return _report(run, ingest, began)

    def delete(self, document_ids: Iterable[str]) -> int:
        if isinstance(document_ids, str) or not isinstance(document_ids, Iterable):
            raise InputError(f"delete takes a list of ids, not {document_ids!r}")
        ids = [id_ for id_ in document_ids if store.can_be_id(id_)]
        with self._access.writing() as db:
            with db.atomic():
                forget_documents(db, ids)
                deleted = store.delete_documents(db, ids)
                drop_empty_sources(db)
            tidy(db, self._folder, orphans=bool(deleted), device=self._encoder.compute.device)
        return deleted

    def reindex(
        self,
        model: str | Path | Encoder | None,
        chunking: ChunkingConfig | None,
        progress: Progress,
        *,
        keep_previous: bool = False,
    ) -> SyncReport:
        began = time.perf_counter()
        check_config(chunking, ChunkingConfig)
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
                chunking=chunking or self.chunking(db),
                progress=progress,
            )
            stage(db, ingest, target)
            switch(db, ingest, target, keep=keep_previous)
            build_generation(
                db, self._folder, target, progress, device=self._encoder.compute.device
            )
            documents = store.count(db, "documents")
        if model is not None:
            self._encoder.replace(encoder)
        self._chunking = None
        return SyncReport(
            changed=documents, seconds=time.perf_counter() - began, **asdict(ingest.tally)
        )

    def rollback(self, progress: Progress) -> SyncReport:
        with self._access.reading() as db:
            previous = previous_model(db)
        if previous is None:
            raise NotFoundError(
                f"{self._folder} has no model to go back to: there was no promotion since it was "
                "made or reindexed"
            )
        encoder = load_encoder(previous.name, self._encoder.compute)
        check_fingerprint(encoder, previous)
        return self.reindex(encoder, None, progress, keep_previous=True)

    def vacuum(self) -> int:
        before = folder_size(self._folder)
        with self._access.writing() as db:
            with db.atomic():
                drop_unused_vectors(db)
            erase(db)
            model = active_model(db)
            if model:
                build_generation(db, self._folder, model, device=self._encoder.compute.device)
                empty_log(db)
        return max(0, before - folder_size(self._folder))  # there may have been nothing to free

    def chunking(self, db: Database) -> ChunkingConfig:
        """How documents are cut; InputError where another way was asked for."""
        stored = get_setting(db, "chunking")
        if stored is None:
            return self._chunking or ChunkingConfig()
        config = ChunkingConfig(**stored)
        if self._chunking not in (None, config):
            raise InputError(
                f"the documents in {self._folder} are cut by {config}, not by {self._chunking}; "
                "reindex cuts them anew"
            )
        return config

    def _ask_index(self, db: Database) -> None:
        """Refuses an index that cannot be built before anything is done."""
        if self._index is not None:
            model = active_model(db) or self._encoder.get(db)
            ask_index(db, self._index, model.dim)

    def _ingest(self, db: Database, progress: Progress, *, rehearsal: bool = False) -> Ingest:
        chunking = self.chunking(db)

        def load() -> tuple[Encoder, Model | None]:
            encoder, model = self._encoder.get(db), active_model(db)
            if model is None and not rehearsal:
                with db.atomic():
                    model = adopt_model(db, encoder)
                    put_setting(db, "chunking", asdict(chunking))
            return encoder, model

        return Ingest(db=db, load=load, chunking=chunking, progress=progress, rehearsal=rehearsal)


def _roots(paths: Sequence[str | Path]) -> list[Path]:
    if isinstance(paths, (str, Path)) or not isinstance(paths, Iterable):
        raise InputError(f"paths must be a list of paths, not {paths!r}")
    roots = list(paths)
    for root in roots:
        if not isinstance(root, (str, Path)):
            raise InputError(f"a path of a file or folder is expected, not {root!r}")
    return [typed_path(root) for root in roots]


def check_config(value: object, kind: type) -> None:
    """InputError for what is neither such a configuration nor None."""
    if not isinstance(value, (kind, NoneType)):
        raise InputError(f"{value!r} is no {kind.__name__}")


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
