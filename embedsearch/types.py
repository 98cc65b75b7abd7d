"""Value types and protocols that cross the walls between layers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

from embedsearch.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    """C-contiguous float32, shape (n, dim), rows of unit length unless said otherwise."""
    RowIds = NDArray[np.int64]
    """Row ids of chunks, shape (n,)."""

Mode = Literal["hybrid", "semantic", "keyword"]
Format = Literal["text", "markdown", "rst", "code"]
"""How a document's text is marked up; headings are looked for accordingly."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One thing to be found: a page, a row of a catalogue, a line of a BEIR corpus.

    `start` and `end` of a hit count characters of `text`. The title is not part of the text; it is
    embedded and searched with every chunk. `metadata` must be a JSON object.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    format: Format = "text"

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise InputError(f"a document's id must be a string that is not empty, not {self.id!r}")
        for name in ("id", "title", "text"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise InputError(
                    f"document {self.id!r}: {name} must be a string, not {type(value).__name__}"
                )
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise InputError(
                    f"document {self.id!r}: {name} has a lone surrogate at character "
                    f"{error.start}; replace it: text.encode('utf-8', 'replace').decode()"
                ) from None
        if self.format not in get_args(Format):
            raise InputError(
                f"document {self.id!r}: format must be one of {', '.join(get_args(Format))}, "
                f"not {self.format!r}"
            )
        if not isinstance(self.metadata, Mapping):
            raise InputError(
                f"document {self.id!r}: metadata must be a mapping, for instance {{'lang': 'en'}}, "
                f"not {self.metadata!r}"
            )
        if problem := _json_problem(dict(self.metadata)):
            wrong = [key for key, value in self.metadata.items() if _json_problem({key: value})]
            field_ = f" {wrong[0]!r}" if wrong else ""
            raise InputError(
                f"document {self.id!r}: metadata{field_} is not JSON: {problem}; a date, for "
                "instance, is to be given as its isoformat()"
            )


def _json_problem(metadata: dict[str, Any]) -> str:
    """Why this is no JSON object that SQLite can hold, or ""."""
    try:
        json.dumps(metadata, allow_nan=False, ensure_ascii=False, sort_keys=True).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return str(error)
    return ""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A slice of a document that is embedded as one vector: `text == document.text[start:end]`.

    `headings` is the path of headings in force at `start`, outermost first.
    """

    start: int
    end: int
    text: str
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One search result. `text` is the best chunk, `document.text[start:end]`.

    `score` is higher for better: the cosine in semantic mode, BM25 in keyword mode, the fused score
    in hybrid mode. `path` is the file that the document came from. `snippet` is the part of the
    text to show; `highlights` are the (start, end) character ranges of the query's words in it.
    """

    rank: int
    document_id: str
    score: float
    text: str
    start: int
    end: int
    title: str = ""
    headings: tuple[str, ...] = ()
    path: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    snippet: str = ""
    highlights: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file (or a line of one, `path:line`) that was passed over, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What a sync did. Counts are of documents, `chunks` and `embedded` of chunks.

    `chunks` counts the chunks written, `embedded` those of them that needed the encoder (the others
    had a vector already). `truncated_tokens` counts tokens that the encoder could not see.
    """

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    skipped: tuple[Skipped, ...] = ()
    chunks: int = 0
    embedded: int = 0
    truncated_tokens: int = 0
    seconds: float = 0.0
    encoder_seconds: float = 0.0


class Progress(Protocol):
    """Where a long job tells how far it is. The command line draws it, `SILENT` drops it."""

    def start(self, description: str, total: int | None, unit: str) -> None:
        """A new stage begins; `total` units, None when it is not known. `B` is for bytes."""

    def advance(self, amount: int) -> None:
        """`amount` more units of the stage are done."""

    def note(self, message: str) -> None:
        """A remark for the person who waits, one line."""


class _Silent:
    def start(self, description: str, total: int | None, unit: str) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass

    def note(self, message: str) -> None:
        pass


SILENT: Progress = _Silent()


class TokenCounter(Protocol):
    """What the chunker needs of a tokenizer."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not counted."""

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """(start, end) character range of each token of `text`, special tokens left out."""


@runtime_checkable
class Encoder(Protocol):
    """Texts to vectors. Every engine gives the same vectors for the same fingerprint."""

    @property
    def name(self) -> str:
        """What the user called the model."""

    @property
    def engine(self) -> str:
        """What computes the vectors, for instance `torch`."""

    @property
    def dim(self) -> int: ...

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of all that decides the vectors (never of the model's name)."""

    @property
    def max_tokens(self) -> int:
        """Tokens of a document that are seen, special tokens and document prompt not counted."""

    @property
    def tokens(self) -> TokenCounter:
        """The model's own tokenizer."""

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of queries, shape (len(texts), dim)."""

    def encode_document(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of documents, shape (len(texts), dim)."""


class VectorIndex(Protocol):
    """Exact or approximate search by inner product over unit vectors, under int64 row ids."""

    @property
    def kind(self) -> str:
        """For instance `numpy-exact` or `faiss-flat`."""

    def __len__(self) -> int: ...

    def search(
        self, queries: Vectors, k: int, allowed: RowIds | None = None
    ) -> tuple[NDArray[np.float32], RowIds]:
        """The k best rows of each query.

        Returns scores and ids, both of shape (n_queries, k), best first; places beyond the last
        row hold score -inf and id -1. `allowed` (sorted, unique) restricts the search to those ids.
        Ties are ordered by ascending id.
        """


Embeddings = Iterable[tuple["RowIds", "Vectors"]]
"""Batches of row ids, ascending, with their vectors."""
