"""A collection as its searches see it: the encoder, the view in memory, what to do about damage."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlite_utils import Database

from embedsearch.collection.access import Access
from embedsearch.collection.indexing import build_generation
from embedsearch.collection.models import EncoderSlot, check_fingerprint
from embedsearch.collection.retrieval import Query, SearchConfig, search
from embedsearch.collection.view import Snapshot, View
from embedsearch.errors import (
    FingerprintError,
    InputError,
    LockedError,
    NotFoundError,
    StorageError,
)
from embedsearch.store import documents as store
from embedsearch.store.filters import Where, check_where
from embedsearch.store.generations import Generation, current_generation
from embedsearch.store.settings import Model, active_model
from embedsearch.store.vectors import document_vectors
from embedsearch.timing import Stages
from embedsearch.types import Encoder, Hit

if TYPE_CHECKING:
    from embedsearch.types import Vectors

log = logging.getLogger("embedsearch")


class Searcher:
    """Answers queries, each within one transaction, so that its hits belong to one state."""

    def __init__(self, access: Access, encoder: EncoderSlot) -> None:
        self._access = access
        self._encoder = encoder
        self._view = View(
            access.folder,
            self._note_damage,
            encoder.compute.device,
            restamp=not access.read_only,
        )
        self._damaged: tuple[Generation, str] | None = None

    def search(
        self,
        queries: Iterable[str],
        config: SearchConfig,
        where: Where | None,
        stages: Stages | None = None,
    ) -> list[list[Hit]]:
        """The hits of each query, which are encoded together. `stages` takes the times."""
        stages, queries = stages or Stages(), query_list(queries)
        check_where(where)
        with self._access.reading() as db:
            empty = store.is_empty(db)
        if empty or not queries:
            return [[] for _ in queries]
        if config.mode == "keyword":
            with stages.time("search"):
                return [self._hits(Query.of(query, None), config, where, None) for query in queries]
        with stages.time("query_vector"):
            encoder, vectors = self._encode(queries)
        with stages.time("search"):
            try:
                hits = self._all_hits(queries, vectors, config, where, encoder)
            except FingerprintError:  # a writer put another model in its place just then
                encoder, vectors = self._encode(queries)
                hits = self._all_hits(queries, vectors, config, where, encoder)
        self._mend()
        return hits

    def _all_hits(
        self,
        queries: Sequence[str],
        vectors: Vectors,
        config: SearchConfig,
        where: Where | None,
        encoder: Encoder,
    ) -> list[list[Hit]]:
        return [
            self._hits(Query.of(query, vectors[i : i + 1]), config, where, encoder)
            for i, query in enumerate(queries)
        ]

    def similar(self, document_id: str, config: SearchConfig, where: Where | None) -> list[Hit]:
        """The documents nearest to the mean of a document's vectors, without itself."""
        check_where(where)
        with self._access.reading() as db:
            stored, model = store.get_document(db, document_id), active_model(db)
            if stored is None or model is None:
                raise NotFoundError(_no_document(db, document_id, self._access.folder))
            mean = document_vectors(db, stored.row, model.dim).mean(axis=0, keepdims=True)
            vector = np.ascontiguousarray(mean / max(float(np.linalg.norm(mean)), 1e-12))
            snapshot = self._snapshot(db, model, semantic=True)
            hits = search(snapshot, Query.of("", vector), config, where, exclude=stored.row)
        self._mend()
        return hits

    def _hits(
        self, query: Query, config: SearchConfig, where: Where | None, encoder: Encoder | None
    ) -> list[Hit]:
        with self._access.reading() as db:
            model = active_model(db)
            if encoder is not None and model is not None:
                check_fingerprint(encoder, model)
            snapshot = self._snapshot(db, model, semantic=encoder is not None)
            return search(snapshot, query, config, where)

    def _snapshot(self, db: Database, model: Model | None, *, semantic: bool) -> Snapshot:
        return self._view.refresh(db, model, semantic=semantic)

    def _note_damage(self, generation: Generation, problem: str) -> None:
        self._damaged = generation, problem

    def _mend(self) -> None:
        """Tells of an index file that a search could not use, and builds it again if possible."""
        if self._damaged is None:
            return
        (generation, problem), self._damaged = self._damaged, None
        with self._access.reading() as db:
            if current_generation(db) != generation:
                return  # a writer put another in its place just then
        log.warning("%s; the vectors in the database were searched instead", problem)
        if self._access.read_only:
            return
        try:
            with self._access.writing() as db:
                model = active_model(db)
                if model is not None:
                    device = self._encoder.compute.device
                    build_generation(db, self._access.folder, model, device=device)
        except (LockedError, StorageError) as error:
            log.warning("the index file was not built again: %s", error)
        else:
            log.warning("the index file was built again from the database")

    def _encode(self, queries: Sequence[str]) -> tuple[Encoder, Vectors]:
        with self._access.reading() as db:
            encoder = self._encoder.get(db)
        for query, tokens in zip(queries, encoder.tokens.count(queries), strict=True):
            if tokens > encoder.max_tokens:
                log.warning(
                    "the query %r… has %d tokens; its meaning is that of the first %d",
                    query[:40],
                    tokens,
                    encoder.max_tokens,
                )
        return encoder, encoder.encode_query(queries)


def _no_document(db: Database, document_id: str, folder: Path) -> str:
    told = f"there is no document {document_id!r} in {folder}"
    meant = store.nearest_id(db, document_id) if store.can_be_id(document_id) else None
    return f"{told}; is {meant!r} meant?" if meant else told


def query_list(queries: Iterable[str]) -> list[str]:
    """The queries, each of which can be looked for. They may come from a generator."""
    if isinstance(queries, str) or not isinstance(queries, Iterable):
        raise InputError(f"the queries are to be a list of strings, not {queries!r}")
    queries = list(queries)
    for query in queries:
        _check_query(query)
    return queries


def _check_query(query: str) -> None:
    if not isinstance(query, str):
        raise InputError(f"the query must be a string, not {query!r}")
    if not query.strip():
        raise InputError("the query is empty; say what to look for")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the query has a lone surrogate at character {error.start}, which is no text"
        ) from None
