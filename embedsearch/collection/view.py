"""What a search sees: vectors and keyword index as SQLite has them now, kept up to date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlite_utils import Database

from embedsearch import index
from embedsearch.collection.indexing import load_generation
from embedsearch.device import faiss_devices
from embedsearch.errors import EmbedSearchError
from embedsearch.index import LiveIndex, NumpyIndex
from embedsearch.store.generations import Generation, State, current_state, deletions_after
from embedsearch.store.keyword import Snippets
from embedsearch.store.postings import Postings
from embedsearch.store.settings import Model
from embedsearch.store.vectors import read_embeddings

if TYPE_CHECKING:
    from embedsearch.types import RowIds, Vectors


@dataclass(frozen=True)
class Snapshot:
    """What one search reads: the database, in a transaction, and what is in memory of it.

    Without `live` there is no search by meaning; without `postings` FTS5 ranks by itself.
    """

    db: Database
    live: LiveIndex | None
    postings: Postings | None
    snippets: Snippets


class View:
    """A collection ready to be searched.

    `refresh` compares the state in SQLite with the one it saw last and reads the difference, so a
    reader that lives on sees new rows and new index files. `warn` is told when an index file
    cannot be used, and why; the search is then exact over the vectors in SQLite, as right as
    before. With a `device` of `cuda` or `cuda:N` each index file that is taken up is mirrored
    there. `restamp` is that of `load_generation`.
    """

    def __init__(
        self,
        folder: Path,
        warn: Callable[[Generation, str], None],
        device: str = "cpu",
        *,
        restamp: bool = False,
    ) -> None:
        self._folder = folder
        self._device = device
        self._warn = warn
        self._restamp = restamp
        self._state: State | None = None
        self._live: LiveIndex | None = None
        self._words: tuple[int, int] | None = None
        self._postings: Postings | None = None
        self._snippets = Snippets()

    def refresh(self, db: Database, model: Model | None, *, semantic: bool) -> Snapshot:
        """What there is as of the transaction that `db` is in; `semantic` asks for vectors."""
        state = current_state(db)
        live = self._refresh_live(db, model, state) if model and semantic else None
        return Snapshot(db, live, self._refresh_postings(db, state), self._snippets)

    def _refresh_postings(self, db: Database, state: State) -> Postings | None:
        """Postings in memory pay from the second search on that finds the same chunks."""
        words = (state.last_chunk, state.last_deletion)
        if words != self._words:
            self._words, self._postings = words, None
        elif self._postings is None:
            self._postings = Postings(db)
        return self._postings

    def _refresh_live(self, db: Database, model: Model, state: State) -> LiveIndex:
        last = self._state
        if (
            self._live is None
            or last is None
            or (state.generation, state.model) != (last.generation, last.model)
        ):
            self._live = self._load(db, model, state)
        elif state != last:
            ids, vectors = _rows(db, model.dim, above=last.last_chunk)
            deleted = deletions_after(db, last.last_deletion)
            self._live = self._live.with_changes(ids, vectors, deleted)
        self._state = state
        return self._live

    def _load(self, db: Database, model: Model, state: State) -> LiveIndex:
        base = NumpyIndex(np.empty(0, dtype=np.int64), np.empty((0, model.dim), dtype=np.float32))
        watermark = 0
        if state.generation is not None and state.generation.model == model.id:
            try:
                base = load_generation(self._folder, state.generation, restamp=self._restamp)
                watermark = state.generation.watermark
            except EmbedSearchError as error:
                self._warn(state.generation, str(error))
        if self._device.startswith("cuda") and len(base):
            base = index.mirror(base, faiss_devices(self._device))
        ids, vectors = _rows(db, model.dim, above=watermark)
        deleted = deletions_after(db, 0)
        return LiveIndex(base, ids, vectors, deleted)


def _rows(db: Database, dim: int, *, above: int) -> tuple[RowIds, Vectors]:
    batches = list(read_embeddings(db, dim, above=above))
    if not batches:
        return np.empty(0, dtype=np.int64), np.empty((0, dim), dtype=np.float32)
    return (
        np.concatenate([ids for ids, _ in batches]),
        np.concatenate([vectors for _, vectors in batches]),
    )
