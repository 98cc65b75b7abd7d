"""Another model for a collection, on trial: embedded beside it, compared, promoted or dropped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from embedsearch.collection.access import Access
from embedsearch.collection.collection import Collection
from embedsearch.collection.models import load_encoder, stored_model
from embedsearch.errors import InputError
from embedsearch.evaluation.judged import read_judged
from embedsearch.evaluation.search import (
    EvaluationConfig,
    run_questions,
    score_questions,
)
from embedsearch.evaluation.significance import PairedComparison, compare_paired
from embedsearch.store.database import DATABASE_NAME, copy_database
from embedsearch.store.shadow import new_shadow
from embedsearch.store.vectors import take_vectors
from embedsearch.types import SILENT, Encoder, Mode, Progress

Promote = Literal["never", "if-better"]
MEASURES = ("ndcg@10", "recall@100")


@dataclass(frozen=True, kw_only=True)
class PromotionConfig:
    """When a model takes over: `if-better` where nDCG@10 is higher with a p-value of at most
    `p_value` and Recall@100 is not lower with one; `never` compares alone.

    `split` and `mode` say what is searched with what, as in `EvaluationConfig`.
    """

    promote: Promote = "never"
    p_value: float = 0.05
    split: str | None = None
    mode: Mode = EvaluationConfig.mode

    def __post_init__(self) -> None:
        if self.promote not in get_args(Promote):
            raise InputError(f"promote must be never or if-better, not {self.promote!r}")
        if not 0 < self.p_value <= 1:
            raise InputError(f"p_value must be above 0 and at most 1, not {self.p_value}")
        EvaluationConfig(mode=self.mode)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a model fared beside the one in force, and what came of it."""

    before: str
    after: str
    mode: Mode
    split: str
    questions: int
    measures: Mapping[str, PairedComparison]
    promoted: bool
    reason: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def try_model(
    collection: Collection,
    model: str | Path | Encoder,
    folder: str | Path,
    config: PromotionConfig | None = None,
    *,
    progress: Progress = SILENT,
) -> Trial:
    """Compares `model` with the collection's own on the judged questions of `folder`.

    The documents are embedded in a copy of the collection, `<folder>.shadow` beside it, which is
    deleted in the end; the collection is searched and may be written to meanwhile. A model that is
    promoted takes its vectors along from there, and `Collection.rollback` goes back.

    Raises:
        InputError: none of the judged documents is in the collection.
        LockedError: another model is on trial for this collection.
        NotFoundError, ModelError: as `evaluate_search` and `Collection.reindex`.
    """
    began = time.perf_counter()
    config = config or PromotionConfig()
    judged = read_judged(folder, config.split, progress)
    check_documents(collection, judged.qrels, folder)
    encoder = load_encoder(model)
    evaluation = EvaluationConfig(mode=config.mode)
    old = score_questions(
        run_questions(collection, judged.questions, evaluation, progress), judged.qrels
    )
    with _shadow(collection) as shadow:
        with Collection.open(shadow, create=False) as copy:
            copy.reindex(model=encoder, progress=progress)
            new = score_questions(
                run_questions(copy, judged.questions, evaluation, progress), judged.qrels
            )
        measures = {
            name: compare_paired(
                [old[q][name] for q in judged.qrels], [new[q][name] for q in judged.qrels]
            )
            for name in MEASURES
        }
        promoted, reason = judge(measures, config)
        before = collection.status().model or ""
        if promoted:
            _promote(collection, encoder, shadow, progress)
    return Trial(
        before=before,
        after=encoder.name,
        mode=config.mode,
        split=judged.split,
        questions=len(judged.questions),
        measures=measures,
        promoted=promoted,
        reason=reason,
        seconds=time.perf_counter() - began,
    )


def judge(measures: Mapping[str, PairedComparison], config: PromotionConfig) -> tuple[bool, str]:
    """Whether to promote, and why or why not."""
    quality, recall = measures["ndcg@10"], measures["recall@100"]
    told = f"nDCG@10 {quality.before:.4f} → {quality.after:.4f} (p = {quality.p_value:.4f})"
    if quality.difference <= 0:
        return False, f"it is no better: {told}"
    if quality.p_value > config.p_value:
        return False, f"the gain may be luck: {told}"
    if recall.difference < 0 and recall.p_value <= config.p_value:
        return False, f"Recall@100 fell from {recall.before:.4f} to {recall.after:.4f}: {told}"
    if config.promote == "never":
        return False, f"it is better, and was not to be promoted: {told}"
    return True, f"it is better: {told}"


def check_documents(
    collection: Collection, qrels: Mapping[str, Mapping[str, int]], folder: str | Path
) -> None:
    """InputError where none of the relevant documents of `folder` is in the collection."""
    relevant = {d for grades in qrels.values() for d, grade in grades.items() if grade > 0}
    if not any(document in collection for document in sorted(relevant)):
        other = next((f"has ids such as {each.id!r}" for each in collection), "is empty")
        raise InputError(
            f"none of the {len(relevant)} relevant documents of {folder} is in the collection: the "
            f"judgements have ids such as {min(relevant)!r}, {collection.folder} {other}"
        )


@contextmanager
def _shadow(collection: Collection) -> Iterator[Path]:
    """A copy of the collection's database in a folder beside it."""
    with new_shadow(collection.folder) as folder:
        access = Access.open(collection.folder, read_only=True, create=False)
        try:
            with access.reading() as db:
                copy_database(db, folder)
        finally:
            access.close()
        yield folder


def _promote(collection: Collection, encoder: Encoder, shadow: Path, progress: Progress) -> None:
    access = Access.open(collection.folder, read_only=False, create=False)
    try:
        with access.writing() as db:
            with db.atomic():
                model = stored_model(db, encoder)
            take_vectors(db, shadow / DATABASE_NAME, model)
    finally:
        access.close()
    collection.reindex(model=encoder, keep_previous=True, progress=progress)
