"""Texts that look like an answer and are none, found by the collection's own search.

They teach an encoder most: against any other text, a pair is told apart already. What is found may
be an answer that nobody noted, so each candidate must prove itself (after Moreira et al. 2024,
"NV-Retriever": a negative must score below the positive; and by a second ranking, by words).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.collection.access import Access
from embedsearch.encoder.training.examples import TrainingPair, normal
from embedsearch.errors import InputError
from embedsearch.store.settings import active_model
from embedsearch.store.vectors import content_hash, vectors_by_hash
from embedsearch.text.chunking import context_of, embedding_input
from embedsearch.types import SILENT, Chunk, Hit, Progress

if TYPE_CHECKING:
    from embedsearch.collection.collection import Collection
    from embedsearch.types import Vectors

QUESTIONS_AT_A_TIME = 64


@dataclass(frozen=True, kw_only=True)
class MiningConfig:
    """Which results of a search become negatives.

    Candidates are the documents ranked `first` to `last` by meaning, and by words where `words` is
    set. Of those, `count` stay, evenly spread over the ranks. One is dropped where its cosine with
    the question is above the positive's less `margin` (None: not compared), where its cosine with
    the positive is above `duplicate`, or, with `cross_check`, where both rankings have it before
    the positive: two that err in different ways rarely agree on an error.
    """

    count: int = 4
    first: int = 1
    last: int = 50
    words: bool = True
    margin: float | None = None
    duplicate: float = 0.95
    cross_check: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last <= 1000:
            raise InputError(
                f"ranks must be 1 ≤ first ≤ last ≤ 1000, not {self.first} to {self.last}"
            )
        if self.count < 1:
            raise InputError(f"count must be at least 1, not {self.count}")
        if self.margin is not None and not -2 <= self.margin <= 2:
            raise InputError(f"margin must be a difference of cosines, not {self.margin}")
        if not 0 < self.duplicate <= 1:
            raise InputError(f"duplicate must be above 0 and at most 1, not {self.duplicate}")


@dataclass(frozen=True, kw_only=True)
class MiningReport:
    """What became of the candidates. `dropped` counts them by reason: `question` (they say the
    same), `answer` (known to be one), `margin`, `duplicate`, `cross_check`, `beyond_count`."""

    pairs: int
    without_negatives: int
    candidates: int
    kept: int
    dropped: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return {
            "pairs": self.pairs,
            "without_negatives": self.without_negatives,
            "candidates": self.candidates,
            "kept": self.kept,
            "dropped": dict(self.dropped),
        }


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A document found; its place in either ranking, None where it is not among the first."""

    hit: Hit
    text: str
    by_meaning: int | None
    by_words: int | None


@dataclass
class _Counts:
    candidates: int = 0
    kept: int = 0
    bare: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def mine_hard_negatives(
    collection: Collection,
    pairs: Sequence[TrainingPair],
    config: MiningConfig | None = None,
    *,
    progress: Progress = SILENT,
) -> tuple[list[TrainingPair], MiningReport]:
    """The pairs with negatives from the collection, in place of those that they had.

    A pair's own document, and those of all pairs of the same question, are never negatives: they
    are known by `TrainingPair.document`, else by their text. The collection is searched with its
    own encoder, `QUESTIONS_AT_A_TIME` questions at a time, which bounds the memory.

    Raises InputError for a collection that is empty; as `Collection.search` otherwise.
    """
    config = config or MiningConfig()
    if not len(collection):
        raise InputError(f"{collection.folder} is empty: there is nothing to mine negatives from")
    known = _answers(pairs)
    counts = _Counts()
    mined: list[TrainingPair] = []
    progress.start("Mining negatives", len(pairs), "pairs")
    for part in _parts(pairs):
        mined += _mine_part(collection, part, known, config, counts)
        progress.advance(len(part))
    return mined, MiningReport(
        pairs=len(mined),
        without_negatives=counts.bare,
        candidates=counts.candidates,
        kept=counts.kept,
        dropped=dict(counts.dropped),
    )


def _parts(pairs: Iterable[TrainingPair]) -> Iterator[list[TrainingPair]]:
    each = iter(pairs)
    while part := list(islice(each, QUESTIONS_AT_A_TIME)):
        yield part


def _answers(pairs: Sequence[TrainingPair]) -> dict[str, set[str]]:
    """Documents and texts that answer each question."""
    known: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        question = normal(pair.anchor)
        known[question].add(f"text {normal(pair.positive)}")
        if pair.document:
            known[question].add(f"document {pair.document}")
    return known


def _mine_part(
    collection: Collection,
    part: Sequence[TrainingPair],
    known: Mapping[str, set[str]],
    config: MiningConfig,
    counts: _Counts,
) -> list[TrainingPair]:
    questions = [pair.anchor for pair in part]
    by_meaning = collection.search_batch(questions, config.last, mode="semantic")
    by_words = (
        collection.search_batch(questions, config.last, mode="keyword")
        if config.words or config.cross_check
        else [[] for _ in questions]
    )
    found = [
        _candidates(meaning, words, config)
        for meaning, words in zip(by_meaning, by_words, strict=True)
    ]
    texts = dict.fromkeys(pair.positive for pair in part)
    texts.update(dict.fromkeys(each.text for candidates in found for each in candidates))
    vectors = _text_vectors(collection, list(texts))
    queries = collection.encoder.encode_query(questions)
    return [
        _choose(pair, query, candidates, vectors, known[normal(pair.anchor)], config, counts)
        for pair, query, candidates in zip(part, queries, found, strict=True)
    ]


def _candidates(
    by_meaning: Sequence[Hit], by_words: Sequence[Hit], config: MiningConfig
) -> list[_Candidate]:
    """The documents found, by the better of their ranks; by meaning first. Without `words` the rank
    is that by meaning; what is found by words alone tells where an answer is."""
    places = [{hit.document_id: hit.rank for hit in hits} for hits in (by_meaning, by_words)]
    hits = {hit.document_id: hit for hit in by_meaning}
    for hit in by_words:
        known = hits.get(hit.document_id)
        if known is None or (config.words and hit.rank < known.rank):
            hits[hit.document_id] = hit
    found = [
        _Candidate(
            hit=hit,
            text=text_of(hit),
            by_meaning=places[0].get(document),
            by_words=places[1].get(document),
        )
        for document, hit in hits.items()
    ]
    return sorted(found, key=lambda each: (each.hit.rank, each.by_meaning is None))


def text_of(hit: Hit) -> str:
    """A hit as the encoder reads it: under its title and headings."""
    chunk = Chunk(start=hit.start, end=hit.end, text=hit.text, headings=hit.headings)
    return embedding_input(context_of(hit.title, chunk), hit.text)


def _text_vectors(collection: Collection, texts: Sequence[str]) -> dict[str, Vectors]:
    """A vector of each text, by the text: from the collection where it is a chunk's."""
    encoder = collection.encoder
    hashes = {text: content_hash(text) for text in texts}
    access = Access.open(collection.folder, read_only=True, create=False)
    try:
        with access.reading() as db:
            model = active_model(db)
            stored = (
                vectors_by_hash(db, model.id, encoder.dim, list(hashes.values())) if model else {}
            )
    finally:
        access.close()
    missing = [text for text in texts if hashes[text] not in stored]
    made = dict(zip(missing, encoder.encode_document(missing), strict=True))
    return {text: made[text] if text in made else stored[hashes[text]] for text in texts}


def _choose(
    pair: TrainingPair,
    query: Vectors,
    candidates: Sequence[_Candidate],
    vectors: Mapping[str, Vectors],
    answers: set[str],
    config: MiningConfig,
    counts: _Counts,
) -> TrainingPair:
    positive = vectors[pair.positive]
    before = _ranks_of_answer(candidates, answers)
    kept = []
    for each in candidates:
        if each.hit.rank < config.first or (each.by_meaning is None and not config.words):
            continue
        if normal(pair.anchor) in _texts(each):
            reason = "question"
        else:
            reason = _reason(each, query, positive, vectors[each.text], answers, before, config)
        counts.candidates += 1
        if reason:
            counts.dropped[reason] += 1
        else:
            kept.append(each)
    spread = np.unique(np.linspace(0, len(kept) - 1, min(config.count, len(kept))).round())
    chosen = [kept[int(place)] for place in spread]
    counts.dropped["beyond_count"] += len(kept) - len(chosen)
    counts.kept += len(chosen)
    counts.bare += not chosen
    return replace(pair, negatives=tuple(each.text for each in chosen))


def _reason(
    each: _Candidate,
    query: Vectors,
    positive: Vectors,
    vector: Vectors,
    answers: set[str],
    before: tuple[int, int],
    config: MiningConfig,
) -> str:
    """Why a candidate cannot be a negative, or ""."""
    if _is_answer(each, answers):
        return "answer"
    if float(positive @ vector) > config.duplicate:
        return "duplicate"
    if (
        config.margin is not None
        and float(query @ vector) > float(query @ positive) - config.margin
    ):
        return "margin"
    if (
        config.cross_check
        and each.by_meaning is not None
        and each.by_words is not None
        and each.by_meaning < before[0]
        and each.by_words < before[1]
    ):
        return "cross_check"
    return ""


def _is_answer(each: _Candidate, answers: set[str]) -> bool:
    texts = {f"text {text}" for text in _texts(each)}
    return f"document {each.hit.document_id}" in answers or bool(texts & answers)


def _texts(each: _Candidate) -> set[str]:
    """What it says, with its title and headings and without."""
    return {normal(each.text), normal(each.hit.text)}


def _ranks_of_answer(candidates: Sequence[_Candidate], answers: set[str]) -> tuple[int, int]:
    """The best rank of an answer by meaning and by words; beyond all others where it is not there,
    for then everything is ranked before it."""
    found = [each for each in candidates if _is_answer(each, answers)]
    beyond = 1 + max((c.hit.rank for c in candidates), default=0)
    by_meaning = min((c.by_meaning for c in found if c.by_meaning is not None), default=beyond)
    by_words = min((c.by_words for c in found if c.by_words is not None), default=beyond)
    return by_meaning, by_words
