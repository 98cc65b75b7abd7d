"""How good answers are: measured on questions with known answers."""

from __future__ import annotations

import re
import string
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedsearch.answers.answer import Answer, AnswerConfig
from embedsearch.collection.collection import Collection
from embedsearch.collection.models import Compute
from embedsearch.evaluation.search import collection_home, fill
from embedsearch.evaluation.squad import Question, read_squad
from embedsearch.generation import GenerationConfig, LanguageModel
from embedsearch.text.words import UNSPACED
from embedsearch.types import SILENT, Encoder, Progress

BATCH = 32
"""Questions encoded together."""
WRITTEN_BATCH = 8
"""Questions that a language model answers together."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_OF_WORDS = rf"[^\W{UNSPACED}]"


@dataclass(frozen=True, kw_only=True)
class AnswerEvaluation:
    """Measures from 0 to 1.

    `exact_match` and `f1` are SQuAD 2.0's, over all `questions`: one that cannot be answered counts
    1 when no answer is given. Over the `answerable` ones: `answer_contained` (an accepted answer
    stands in the text), `gold_passage_cited_first`, `citation_recall` (it is cited at all),
    `retrieval_recall` (it was read). `citation_precision` is the part of all citations given to
    answerable questions that name the right passage. `abstention` holds `precision`, the part of
    the abstentions that were right, and `recall`, the part of the unanswerable questions that were
    not answered; None where there was none.
    """

    questions: int
    answerable: int
    exact_match: float
    f1: float
    answer_contained: float
    gold_passage_cited_first: float
    citation_precision: float | None
    citation_recall: float
    retrieval_recall: float
    abstention: dict[str, float | None]
    answerable_abstained: float
    documents: int
    generator: str
    model: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def evaluate_answers(
    file: str | Path,
    config: AnswerConfig | None = None,
    *,
    model: str | Encoder | None = None,
    compute: Compute | None = None,
    db: str | Path | None = None,
    generator: LanguageModel | None = None,
    generation: GenerationConfig | None = None,
    progress: Progress = SILENT,
) -> AnswerEvaluation:
    """Indexes the paragraphs of a file in SQuAD's layout, asks its questions, scores the answers.

    Args:
        model, compute: as for `Collection.open`.
        db: folder of the collection, kept for the next evaluation, which then embeds nothing
            again. None: a temporary one.
        generator, generation: as for `Collection.ask`.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is not in the layout, or `db` holds other documents.
    """
    began = time.perf_counter()
    config, compute = config or AnswerConfig(), compute or Compute()
    found = read_squad(file)
    tally = _Tally()
    with (
        collection_home(db) as home,
        Collection.open(
            home, model=model, engine=compute.engine, device=compute.device
        ) as collection,
    ):
        ids = {document.id for document in found.documents}
        fill(collection, found.documents, str(file), progress, ids=ids)
        progress.start("Asking", len(found.questions), "questions")
        size = BATCH if generator is None else WRITTEN_BATCH
        for start in range(0, len(found.questions), size):
            batch = found.questions[start : start + size]
            answers = collection.ask_batch(
                [question.text for question in batch],
                generator=generator,
                config=config,
                generation=generation,
            )
            for question, answer in zip(batch, answers, strict=True):
                tally.add(question, answer)
            progress.advance(len(batch))
        name = collection.status().model or ""
    return tally.result(
        documents=len(found.documents), model=name, seconds=time.perf_counter() - began
    )


@dataclass
class _Tally:
    """Sums over the questions so far."""

    questions: int = 0
    answerable: int = 0
    abstained: Counter[bool] = field(default_factory=Counter)
    """By whether the question can be answered."""
    citations: int = 0
    right_citations: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    generator: str = ""

    def add(self, question: Question, answer: Answer) -> None:
        self.questions += 1
        self.generator = answer.generator
        self.abstained[bool(question.answers)] += answer.abstained
        text = "" if answer.abstained else answer.plain_text
        self._add("exact_match", exact_match(text, question.answers))
        self._add("f1", f1(text, question.answers))
        if not question.answers:
            return
        self.answerable += 1
        cited = [citation.document_id for citation in answer.citations]
        self.citations += len(cited)
        self.right_citations += cited.count(question.document_id)
        self._add("answer_contained", contains(text, question.answers))
        self._add("gold_passage_cited_first", cited[:1] == [question.document_id])
        self._add("citation_recall", question.document_id in cited)
        read = any(hit.document_id == question.document_id for hit in answer.hits)
        self._add("retrieval_recall", read)

    def _add(self, name: str, value: float) -> None:
        self.sums[name] += value  # type: ignore[assignment]

    def result(self, *, documents: int, model: str, seconds: float) -> AnswerEvaluation:
        unanswerable, abstained = self.questions - self.answerable, self.abstained
        right = abstained[False]

        def mean(name: str) -> float:
            return self.sums[name] / max(self.answerable, 1)

        return AnswerEvaluation(
            questions=self.questions,
            answerable=self.answerable,
            exact_match=self.sums["exact_match"] / self.questions,
            f1=self.sums["f1"] / self.questions,
            answer_contained=mean("answer_contained"),
            gold_passage_cited_first=mean("gold_passage_cited_first"),
            citation_precision=_part(self.right_citations, self.citations),
            citation_recall=mean("citation_recall"),
            retrieval_recall=mean("retrieval_recall"),
            abstention={
                "precision": _part(right, abstained.total()),
                "recall": _part(right, unanswerable),
            },
            answerable_abstained=abstained[True] / max(self.answerable, 1),
            documents=documents,
            generator=self.generator,
            model=model,
            seconds=seconds,
        )


def exact_match(text: str, answers: Sequence[str]) -> float:
    """1 when the text is one of the answers but for case, punctuation and articles, as SQuAD's
    official script has it; without answers, when the text is empty."""
    return float(_words(text) in _accepted(answers))


def f1(text: str, answers: Sequence[str]) -> float:
    """The best F1 of the text's words with an answer's, as SQuAD's official script has it."""
    return max(_word_f1(_words(text), answer) for answer in _accepted(answers))


def contains(text: str, answers: Sequence[str]) -> bool:
    """Whether an answer stands in the text, but for case and white space, and not within a word."""
    said = _folded(text)
    return any(_stands(_folded(answer), said) for answer in answers)


def _stands(answer: str, said: str) -> bool:
    """An end of the answer with a letter or digit on both sides is within a word, but in scripts
    without blanks between words."""
    before = f"(?<!{_OF_WORDS})" if re.match(_OF_WORDS, answer[:1]) else ""
    after = f"(?!{_OF_WORDS})" if re.match(_OF_WORDS, answer[-1:]) else ""
    return bool(answer) and re.search(before + re.escape(answer) + after, said) is not None


def _word_f1(said: Sequence[str], answer: Sequence[str]) -> float:
    if not said or not answer:
        return float(said == answer)
    common = (Counter(said) & Counter(answer)).total()
    return 2 * common / (len(said) + len(answer))


def _accepted(answers: Sequence[str]) -> list[list[str]]:
    """The words of each answer that has any left; none at all where there is no such answer."""
    return [words for answer in answers if (words := _words(answer))] or [[]]


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _part(count: int, total: int) -> float | None:
    return count / total if total else None
