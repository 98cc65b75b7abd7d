"""From a question to an answer: retrieve, read, then quote or let a language model write."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from embedsearch.answers.answer import (
    EXTRACTIVE,
    NO_ANSWER,
    Answer,
    AnswerConfig,
    Citation,
    Usage,
    one_line,
)
from embedsearch.answers.extractive import Reader, Sentence, quotes
from embedsearch.answers.writing import Writing, write_answers
from embedsearch.collection.access import Access
from embedsearch.collection.models import EncoderSlot
from embedsearch.collection.retrieval import SearchConfig
from embedsearch.collection.searching import Searcher, query_list
from embedsearch.store import documents as store
from embedsearch.store.filters import Where
from embedsearch.timing import Stages
from embedsearch.types import Hit


class Asker:
    """Answers the questions put to one collection."""

    def __init__(self, access: Access, encoder: EncoderSlot, searcher: Searcher) -> None:
        self._access = access
        self._encoder = encoder
        self._searcher = searcher
        self._reader: Reader | None = None

    def ask(
        self,
        questions: Iterable[str],
        config: AnswerConfig,
        where: Where | None,
        writing: Writing | None,
    ) -> list[Answer]:
        """The answer to each question: written, or without a language model quoted."""
        stages, questions = Stages(), query_list(questions)
        search = SearchConfig(k=config.passages, mode=config.mode, by="chunk")
        found = self._searcher.search(questions, search, where, stages)
        if writing is not None:
            return write_answers(questions, found, writing, config, self._stands, stages)
        seconds = {stage: taken / len(questions) for stage, taken in stages.seconds.items()}
        return [
            self._quote(question, hits, config, seconds)
            for question, hits in zip(questions, found, strict=True)
        ]

    def _quote(
        self, question: str, hits: Sequence[Hit], config: AnswerConfig, searching: dict[str, float]
    ) -> Answer:
        began = time.perf_counter()
        ranked = self._read(question, hits) if hits else []
        citations = []
        if ranked and ranked[0].support >= config.least_support:
            citations = self._citations(quotes(ranked, config.sentences))
        seconds = {**searching, "reading": time.perf_counter() - began}
        return Answer(
            text=" ".join(f"{one_line(c.text)} {c.marker}" for c in citations) or NO_ANSWER,
            citations=tuple(citations),
            hits=tuple(hits),
            generator=EXTRACTIVE,
            abstained=not citations,
            usage=Usage(seconds=seconds),
        )

    def _read(self, question: str, hits: Sequence[Hit]) -> list[Sentence]:
        with self._access.reading() as db:
            encoder = self._encoder.get(db)
        if self._reader is None or self._reader.encoder is not encoder:
            self._reader = Reader(encoder)
        return self._reader.rank(question, hits)

    def _citations(self, groups: Sequence[Sequence[Sentence]]) -> list[Citation]:
        """A citation of each group of sentences that stands in its document to the character; a
        document may have been changed since it was found."""
        citations: list[Citation] = []
        for group in groups:
            hit, start, end = group[0].hit, group[0].start, group[-1].end
            quote = hit.text[start - hit.start : end - hit.start]
            if self._stands(hit.document_id, start, quote):
                citations.append(
                    Citation(
                        marker=f"[{len(citations) + 1}]",
                        document_id=hit.document_id,
                        start=start,
                        end=end,
                        text=quote,
                    )
                )
        return citations

    def _stands(self, document_id: str, start: int, quote: str) -> bool:
        with self._access.reading() as db:
            stored = store.get_document(db, document_id)
        return stored is not None and stored.document.text.startswith(quote, start)
