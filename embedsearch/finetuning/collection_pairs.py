"""Training pairs out of documents alone, for those who have no questions yet.

What an author put together belongs together: a title and its text, a heading and its section, a
passage and the next one, a sentence and its paragraph. The inverse cloze takes the sentence out of
the paragraph that it is to find (Lee, Chang and Toutanova 2019, "Latent Retrieval for Weakly
Supervised Open Domain Question Answering").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from embedsearch.collection.collection import Collection
from embedsearch.encoder.training.examples import TrainingPair, normal
from embedsearch.errors import InputError
from embedsearch.text.chunking import (
    ChunkingConfig,
    chunk_document,
    context_of,
    embedding_input,
)
from embedsearch.text.words import UNSPACED
from embedsearch.tuning.sampling import sample_stream
from embedsearch.types import SILENT, Chunk, Document, Progress

PairKind = Literal["title", "heading", "adjacent", "sentence", "cloze"]
KINDS: tuple[PairKind, ...] = get_args(PairKind)

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=\W*\w)|\n{2,}|(?<=[。！？｡])\s*(?=\w)")
_UNSPACED = re.compile(f"[{UNSPACED}]")
SENTENCES_OF_PASSAGE = 2
"""Drawn from each passage, for `sentence` and `cloze`."""


@dataclass(frozen=True, kw_only=True)
class CollectionPairsConfig:
    """Which pairs are made. At most `limit` are kept, drawn evenly from all there are; texts of
    fewer than `min_words` words say too little."""

    kinds: tuple[PairKind, ...] = KINDS
    limit: int = 10_000
    min_words: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(self.kinds))
        unknown = next((kind for kind in self.kinds if kind not in KINDS), None)
        if unknown is not None or not self.kinds:
            raise InputError(f"unknown kind of pair {unknown!r}: use {', '.join(KINDS)}")
        for name, least in (("limit", 1), ("min_words", 1), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise InputError(f"{name} must be a whole number from {least} on, not {value!r}")


@dataclass(frozen=True, kw_only=True)
class CollectionPairs:
    """Pairs and how many of each kind there were, before `limit` was applied."""

    pairs: Sequence[TrainingPair]
    found: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return {"pairs": len(self.pairs), "found": dict(self.found)}


def pairs_from_collection(
    collection: Collection,
    config: CollectionPairsConfig | None = None,
    *,
    avoid: Sequence[str] = (),
    progress: Progress = SILENT,
) -> CollectionPairs:
    """Pairs from the documents of a collection; `avoid` are texts that none may have.

    Documents pass one at a time; memory holds `limit` pairs. Raises InputError where no pair could
    be made.
    """
    config = config or CollectionPairsConfig()
    random = np.random.default_rng(config.seed)
    found: Counter[str] = Counter()
    avoided = {normal(question) for question in avoid}

    def made() -> Iterator[TrainingPair]:
        for document in collection:
            for kind, pair in _document_pairs(document, collection, config, random):
                sides = {normal(pair.anchor), normal(pair.positive)}
                if len(sides) == 2 and avoided.isdisjoint(sides):
                    found[kind] += 1
                    yield pair
            progress.advance(1)

    progress.start("Making pairs", len(collection), "documents")
    kept = sample_stream(made(), config.limit, random.integers)
    if not kept:
        raise InputError(
            f"no training pair could be made of {collection.folder}: its documents have no titles, "
            "headings or passages of several sentences"
        )
    return CollectionPairs(pairs=kept, found=dict(found))


def _document_pairs(
    document: Document,
    collection: Collection,
    config: CollectionPairsConfig,
    random: np.random.Generator,
) -> Iterator[tuple[PairKind, TrainingPair]]:
    encoder = collection.encoder
    chunks = chunk_document(document, encoder.tokens, encoder.max_tokens, ChunkingConfig())
    for kind, anchor, positive in _pairs(document, chunks, random):
        words = min(word_count(anchor), word_count(positive))
        if kind in config.kinds and words >= config.min_words:
            place = f"{kind} of {document.id}"
            yield (
                kind,
                TrainingPair(anchor=anchor, positive=positive, document=document.id, place=place),
            )


def word_count(text: str) -> int:
    """How many words a text has; two characters of a script without blanks are one."""
    return len(text.split()) + len(_UNSPACED.findall(text)) // 2


def _pairs(
    document: Document, chunks: Sequence[Chunk], random: np.random.Generator
) -> Iterator[tuple[PairKind, str, str]]:
    for place, chunk in enumerate(chunks):
        whole = embedding_input(context_of(document.title, chunk), chunk.text)
        if place == 0 and document.title:
            yield "title", document.title, _without(chunk.text, document.title)
        if chunk.headings and (place == 0 or chunks[place - 1].headings != chunk.headings):
            yield "heading", " ".join(chunk.headings[-2:]), _without(chunk.text, chunk.headings[-1])
        if place + 1 < len(chunks):
            yield "adjacent", chunk.text, chunks[place + 1].text
        sentences = [each.strip() for each in _SENTENCE_END.split(chunk.text) if each.strip()]
        if len(sentences) < 2:
            continue
        drawn = random.permutation(len(sentences))[:SENTENCES_OF_PASSAGE]
        for turn, number in enumerate(drawn):
            sentence = sentences[int(number)]
            if turn % 2 == 0:
                yield "cloze", sentence, whole.replace(sentence, " ", 1).strip()
            else:
                yield "sentence", sentence, whole


def _without(text: str, line: str) -> str:
    """The text without a first line that says the same: it would be found by its letters."""
    first, _, rest = text.partition("\n")
    return rest.strip() if normal(first.strip("#= ")) == normal(line) else text
