"""The closed loop: pairs, negatives from the collection's own index, training, a trial."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from embedsearch.collection.collection import Collection
from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.encoder.training.config import EncoderTrainingConfig, Loss
from embedsearch.encoder.training.examples import (
    Example,
    ScoredPair,
    TrainingPair,
    check_examples,
    check_leakage,
)
from embedsearch.encoder.training.finished import check_output
from embedsearch.encoder.training.held_out import part
from embedsearch.encoder.training.losses import choose_loss
from embedsearch.encoder.training.report import TrainingReport
from embedsearch.encoder.training.run import trainable
from embedsearch.errors import InputError
from embedsearch.evaluation.judged import read_judged
from embedsearch.finetuning.collection_pairs import (
    CollectionPairs,
    CollectionPairsConfig,
    pairs_from_collection,
)
from embedsearch.finetuning.data import TrainingDataConfig
from embedsearch.finetuning.hard_negatives import MiningConfig, MiningReport, mine_hard_negatives
from embedsearch.finetuning.promotion import PromotionConfig, Trial, check_documents, try_model
from embedsearch.finetuning.training import Data, examples_of, train_encoder
from embedsearch.types import SILENT, Progress

SHARE_WITHOUT_QUESTIONS = 0.5
"""Of the base, where pairs made of documents are taken for questions and answers: they are unlike
what users ask."""


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How each step is done. `mining` None mines no negatives."""

    training: EncoderTrainingConfig = field(default_factory=EncoderTrainingConfig)
    pairs: CollectionPairsConfig = field(default_factory=CollectionPairsConfig)
    mining: MiningConfig | None = field(default_factory=MiningConfig)
    promotion: PromotionConfig = field(default_factory=PromotionConfig)
    reading: TrainingDataConfig = field(default_factory=TrainingDataConfig)


@dataclass(frozen=True, kw_only=True)
class LoopReport:
    """What each step did; None for one that was not asked for."""

    training: TrainingReport
    pairs: CollectionPairs | None = None
    mining: MiningReport | None = None
    trial: Trial | None = None
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        steps = {"pairs": self.pairs, "mining": self.mining, "trial": self.trial}
        return {
            **self.training.as_json(),
            **{name: step.as_json() if step else None for name, step in steps.items()},
            "seconds": self.seconds,
        }


def improve_encoder(
    collection: Collection,
    output: str | Path,
    config: LoopConfig | None = None,
    *,
    data: Data | None = None,
    held_out: Data | None = None,
    base: str | Path | None = None,
    base_name: str = "",
    judged: str | Path | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> LoopReport:
    """Trains a collection's encoder for the collection, and puts it to the test.

    Args:
        output: a new folder for the model; it has to stay where it is once it was promoted.
        data, held_out: as for `train_encoder`; without data, pairs are made of the documents, and
            half of the base stays in the weights unless the config says otherwise, or the loss is
            `late`, which does not take such pairs for answers.
        base: None for the collection's own model; `base_name` as for `train_encoder`.
        judged: a folder in the BEIR layout, whose documents are in the collection by their ids. Its
            questions are refused in `data`; the model is tried on them.

    What can be refused is refused before anything is mined or trained. Interrupted, also in the
    trial, it goes on when it is called again with the same arguments. What is trained already is
    not trained again, so that a model that was not to be promoted can be with another
    `config.promotion`.

    Raises as `train_encoder`, `mine_hard_negatives` and `try_model`.
    """
    began = time.perf_counter()
    config = config or LoopConfig()
    training = _training(config.training, without_questions=data is None)
    base = base or _own_model(collection)
    trainable(base, training)
    check_output(output, training, base)
    questions: list[str] = []
    if judged is not None:
        given = read_judged(judged, config.promotion.split)
        check_documents(collection, given.qrels, judged)
        questions = list(given.questions.values())
    kept = None if held_out is None else examples_of(held_out, config.reading, progress)
    made, source = None, ""
    if data is None:
        avoided = [*questions, *(text for each in kept or () for text in _kept(each))]
        made = pairs_from_collection(collection, config.pairs, avoid=avoided, progress=progress)
        source = f"the collection {collection.folder.name}"
    examples: list[Example] = (
        list(made.pairs) if made else examples_of(data or [], config.reading, progress)
    )
    learned, _ = part(examples, kept, training.held_out, training.seed)
    choose_loss(training, check_examples(learned, training.batch_size), ())
    check_leakage(examples, kept or (), questions)
    examples, mining = _mine(collection, examples, config.mining, training.loss, progress)
    report = train_encoder(
        examples,
        training,
        base=base,
        base_name=base_name,
        output=output,
        held_out=kept,
        questions=questions,
        reading=config.reading,
        source=source,
        device=device,
        progress=progress,
    )
    trial = None
    if judged is not None:
        trial = try_model(collection, report.output, judged, config.promotion, progress=progress)
    return LoopReport(
        training=report,
        pairs=made,
        mining=mining,
        trial=trial,
        seconds=time.perf_counter() - began,
    )


def _training(config: EncoderTrainingConfig, *, without_questions: bool) -> EncoderTrainingConfig:
    if without_questions and config.base_share is None and config.loss != "late":
        return replace(config, base_share=SHARE_WITHOUT_QUESTIONS)
    return config


def _kept(example: Example) -> tuple[str, ...]:
    """The texts of a held-out example that pairs made of documents must not have."""
    return example.texts if isinstance(example, ScoredPair) else example.texts[:1]


def _mine(
    collection: Collection,
    examples: list[Example],
    config: MiningConfig | None,
    loss: Loss,
    progress: Progress,
) -> tuple[list[Example], MiningReport | None]:
    """Pairs with negatives from the collection; other examples as they are."""
    pairs = [each for each in examples if isinstance(each, TrainingPair)]
    if config is None or not pairs:
        return examples, None
    if loss == "late":
        # the guide says how near each of them is: an answer among them does no harm
        config = replace(config, margin=None, cross_check=False)
    mined, report = mine_hard_negatives(collection, pairs, config, progress=progress)
    return list(mined), report


def _own_model(collection: Collection) -> str:
    if not len(collection):
        raise InputError(f"{collection.folder} is empty: index something first")
    return collection.status().model or DEFAULT_MODEL
