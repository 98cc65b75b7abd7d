"""Answers without a language model: the sentences of the passages that answer best, quoted."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.answers.cues import kind_of, offers
from embedsearch.answers.words import Words
from embedsearch.text.sentences import sentences
from embedsearch.types import Encoder, Hit

if TYPE_CHECKING:
    from embedsearch.types import Vectors

MARGIN = 1.0
"""A further sentence is quoted when its evidence is at most this much less than the best one's."""

CACHED_SENTENCES = 8192
"""Sentences whose vectors are kept, in turn with their last use; 1.5 kB each at 384 dimensions."""

_MEANING, _WORDS, _CONTEXT, _PASSAGE, _CUE = 4.8, 3.9, 3.6, 4.9, 1.4
"""Of the evidence's parts: a listwise logistic regression over 2,400 questions with known answers,
half of squad_v2's and xquad's English ones; the other half chose these five from a dozen. One unit
is a factor of e between the chances of two sentences."""

_SUPPORT_MEANING = 0.6
"""What part of the support is meaning, the rest is words: told answerable from other questions
best, in a logistic regression."""


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence of a hit, `document.text[start:end]`, and how well it answers.

    `evidence` compares sentences for one question. `support`, from 0 to 1, compares questions.
    """

    hit: Hit
    start: int
    end: int
    text: str
    evidence: float
    support: float


class Reader:
    """Ranks the sentences of passages for a question; keeps the vectors of those it met before."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._words = Words()
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()

    def rank(self, question: str, hits: Sequence[Hit]) -> list[Sentence]:
        """The sentences of the hits, best first.

        A sentence's evidence adds up: the cosine of question and sentence; the share of the
        question's words that stand in it, in it, the one before and the title, rare words counting
        more; the hit's score in parts of the best one's; a sign of what is asked for, a date for
        *when*.
        """
        found = _sentences(hits)
        if not found:
            return []
        texts = [hit.text[start:end] for hit, start, end in found]
        cosines = self._cosines(question, texts)
        in_sentence, in_context = self._coverage(question, found, texts)
        best = max(hit.score for hit in hits)
        kind = kind_of(question)
        ranked = [
            Sentence(
                hit=hit,
                start=hit.start + start,
                end=hit.start + end,
                text=text,
                evidence=_MEANING * cosine
                + _WORDS * inside
                + _CONTEXT * around
                + _PASSAGE * (hit.score / best if best > 0 else 0.0)
                + _CUE * (kind is not None and offers(text, kind, question)),
                support=max(0.0, _SUPPORT_MEANING * cosine + (1 - _SUPPORT_MEANING) * around),
            )
            for (hit, start, end), text, cosine, inside, around in zip(
                found, texts, cosines, in_sentence, in_context, strict=True
            )
        ]
        return sorted(ranked, key=lambda sentence: -sentence.evidence)

    def _cosines(self, question: str, texts: Sequence[str]) -> list[float]:
        query = self.encoder.encode_query([question])[0]
        cosines: list[float] = (self._encode(texts) @ query).tolist()
        return cosines

    def _encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of sentences, shape (len(texts), dim)."""
        unknown = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if unknown:
            self._vectors.update(zip(unknown, self.encoder.encode_document(unknown), strict=True))
        for text in texts:
            self._vectors.move_to_end(text)
        vectors = np.stack([self._vectors[text] for text in texts])
        while len(self._vectors) > CACHED_SENTENCES:
            self._vectors.popitem(last=False)
        return vectors

    def _coverage(
        self, question: str, found: Sequence[tuple[Hit, int, int]], texts: Sequence[str]
    ) -> tuple[list[float], list[float]]:
        """What share of the question's words, weighed by rarity, stands in each sentence alone, and
        in it, the one before it and the title together."""
        wanted = self._words.of(question)
        held = [wanted.intersection(self._words.of(text)) for text in texts]
        rarity = _rarity(wanted, held)
        whole = sum(rarity.values()) or 1.0
        titles = {hit.title: wanted.intersection(self._words.of(hit.title)) for hit, _, _ in found}
        alone, around = [], []
        for place, ((hit, start, _), words) in enumerate(zip(found, held, strict=True)):
            context = words | titles[hit.title]
            if place and found[place - 1][0] is hit and found[place - 1][1] < start:
                context = context | held[place - 1]
            alone.append(sum(rarity[word] for word in words) / whole)
            around.append(sum(rarity[word] for word in context) / whole)
        return alone, around


def _sentences(hits: Sequence[Hit]) -> list[tuple[Hit, int, int]]:
    """(hit, start, end) of every sentence, counted from the hit's own start."""
    return [(hit, start, end) for hit in hits for start, end in sentences(hit.text)]


def _rarity(wanted: set[str], held: Sequence[set[str]]) -> dict[str, float]:
    """The weight of each word: BM25's idf among these sentences, never negative."""
    counts = Counter(word for words in held for word in words)
    return {
        word: math.log(1 + (len(held) - counts[word] + 0.5) / (counts[word] + 0.5))
        for word in wanted
    }


def _overlap(one: Sentence, other: Sentence) -> bool:
    return (
        one.hit.document_id == other.hit.document_id
        and one.start < other.end
        and other.start < one.end
    )


def quotes(ranked: Sequence[Sentence], most: int) -> list[list[Sentence]]:
    """The sentences to quote, best first; those that follow one another in a document together."""
    groups: list[list[Sentence]] = []
    for sentence in _best(ranked, most):
        for group in groups:
            if _follows(group[-1], sentence):
                group.append(sentence)
                break
            if _follows(sentence, group[0]):
                group.insert(0, sentence)
                break
        else:
            groups.append([sentence])
    return groups


def _best(ranked: Sequence[Sentence], most: int) -> list[Sentence]:
    """Chunks overlap: a place that two of them share is taken once, and the same words once."""
    taken: list[Sentence] = []
    for sentence in ranked:
        if len(taken) == most or sentence.evidence < ranked[0].evidence - MARGIN:
            break
        if not any(sentence.text == other.text or _overlap(sentence, other) for other in taken):
            taken.append(sentence)
    return taken


def _follows(first: Sentence, second: Sentence) -> bool:
    hit = first.hit
    return (
        hit.document_id == second.hit.document_id
        and first.end <= second.start <= hit.end
        and not hit.text[first.end - hit.start : second.start - hit.start].strip()
    )
