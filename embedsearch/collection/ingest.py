"""Documents into the store: chunked, embedded where needed, committed whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sqlite_utils import Database

from embedsearch.store.settings import Model
from embedsearch.store.vectors import content_hash, find_vectors, put_vectors
from embedsearch.text.chunking import ChunkingConfig, chunk_document, context_of, embedding_input
from embedsearch.types import SILENT, Chunk, Document, Encoder, Progress, TokenCounter

PENDING_CHUNKS = 512
"""Chunks gathered before the encoder runs: enough for batches of like length, little to lose."""

REMEMBERED_COUNTS = 10_000

StoredCuts = Sequence[tuple[Chunk, str, int]]
"""Chunks with their context and the row of their vector."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A chunk with its context, what is embedded of both, and the hash of that."""

    chunk: Chunk
    context: str
    input: str
    hash: bytes


class _Counts:
    """Counts tokens and remembers the texts: the chunker counts an input before the tally does."""

    def __init__(self, tokens: TokenCounter) -> None:
        self._tokens = tokens
        self._known: dict[str, int] = {}

    def count(self, texts: Sequence[str]) -> list[int]:
        if len(self._known) > REMEMBERED_COUNTS:
            self._known.clear()
        new = [text for text in texts if text not in self._known]
        self._known.update(zip(new, self._tokens.count(new), strict=True))
        return [self._known[text] for text in texts]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return self._tokens.offsets(text)


def cut(
    document: Document, encoder: Encoder, tokens: TokenCounter, config: ChunkingConfig
) -> list[Cut]:
    """The chunks of a document; none when there is nothing in it."""
    limit = min(config.max_tokens or encoder.max_tokens, encoder.max_tokens)
    cuts = []
    for chunk in chunk_document(document, tokens, limit, config):
        context = context_of(document.title, chunk)
        text = embedding_input(context, chunk.text)
        cuts.append(Cut(chunk=chunk, context=context, input=text, hash=content_hash(text)))
    return cuts


@dataclass
class Tally:
    """What went through an ingest; chunks and tokens are counted, seconds are the encoder's."""

    chunks: int = 0
    embedded: int = 0
    truncated_tokens: int = 0
    encoder_seconds: float = 0.0


@dataclass
class _Pending:
    cuts: list[Cut]
    write: Callable[[StoredCuts], None]


@dataclass
class Ingest:
    """Gathers documents until a batch is worth the encoder's while, then commits them whole.

    All that is pending is written in one transaction, so a document is there with everything that
    belongs to it or not at all. Vectors are committed a little earlier, so that what was embedded
    is not embedded again when the job is killed and run once more. A rehearsal counts what would
    be done and writes nothing.
    """

    db: Database
    load: Callable[[], tuple[Encoder, Model | None]]
    """Called when the first document needs the encoder; the model is None in a rehearsal on a new
    collection."""
    chunking: ChunkingConfig
    progress: Progress = SILENT
    rehearsal: bool = False
    tally: Tally = field(default_factory=Tally)
    _pending: list[_Pending] = field(default_factory=list)
    _pending_chunks: int = 0
    _pending_size: int = 0
    _rehearsed: set[bytes] = field(default_factory=set)
    """Hashes of what a rehearsal would have embedded so far."""

    def put(
        self, document: Document, write: Callable[[StoredCuts], None], size: int | None = None
    ) -> int:
        """Takes a document, which `write` will put into the store; returns its number of chunks.

        `size` is what progress is told of it, None for the characters of its text.
        """
        cuts = cut(document, self.encoder, self._counts, self.chunking)
        if cuts:
            self._pending.append(_Pending(cuts=cuts, write=write))
            self._pending_chunks += len(cuts)
            self.tally.chunks += len(cuts)
        self._pending_size += len(document.text) if size is None else size
        if self._pending_chunks >= PENDING_CHUNKS:
            self.flush()
        return len(cuts)

    @cached_property
    def _loaded(self) -> tuple[Encoder, Model | None]:
        return self.load()

    @property
    def encoder(self) -> Encoder:
        return self._loaded[0]

    @cached_property
    def _counts(self) -> _Counts:
        return _Counts(self.encoder.tokens)

    @property
    def is_idle(self) -> bool:
        """Whether all that was taken is committed."""
        return not self._pending

    def then(self, action: Callable[[], None]) -> None:
        """Does `action` in the transaction of the documents taken before it."""
        self._pending.append(_Pending(cuts=[], write=lambda _: action()))

    def flush(self) -> None:
        """Embeds and commits all that is pending."""
        rows = self._embed({c.hash: c.input for p in self._pending for c in p.cuts})
        if not self.rehearsal:
            with self.db.atomic():
                for pending in self._pending:
                    pending.write([(c.chunk, c.context, rows[c.hash]) for c in pending.cuts])
        self.progress.advance(self._pending_size)
        self._pending, self._pending_chunks, self._pending_size = [], 0, 0

    def _embed(self, inputs: dict[bytes, str]) -> dict[bytes, int]:
        """Rows of the vectors of these inputs, made where they are missing."""
        if not inputs:
            return {}
        model = self._loaded[1]
        rows = find_vectors(self.db, model.id, list(inputs)) if model else {}
        missing = [d for d in inputs if d not in rows and d not in self._rehearsed]
        share = self._pending_size // max(1, len(inputs))
        self.tally.embedded += len(missing)
        for start in range(0, len(missing), PENDING_CHUNKS):
            hashes = missing[start : start + PENDING_CHUNKS]
            self._count_truncated([inputs[digest] for digest in hashes])
            if model is None or self.rehearsal:
                self._rehearsed.update(hashes)
                continue
            began = time.perf_counter()
            vectors = self.encoder.encode_document([inputs[digest] for digest in hashes])
            self.tally.encoder_seconds += time.perf_counter() - began
            with self.db.atomic():
                rows.update(put_vectors(self.db, model.id, hashes, vectors))
            self.progress.advance(share * len(hashes))
            self._pending_size -= share * len(hashes)
        return rows

    def _count_truncated(self, texts: list[str]) -> None:
        limit = self.encoder.max_tokens
        counts = self._counts.count(texts)
        self.tally.truncated_tokens += sum(max(0, count - limit) for count in counts)
