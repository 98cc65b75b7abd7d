"""Training an encoder: from files or examples to a model folder, nothing of it leaked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.encoder.training.config import EncoderTrainingConfig
from embedsearch.encoder.training.examples import (
    Example,
    LabelledText,
    ScoredPair,
    TrainingPair,
    check_examples,
    check_leakage,
)
from embedsearch.encoder.training.report import TrainingReport
from embedsearch.encoder.training.run import train
from embedsearch.errors import InputError
from embedsearch.finetuning.data import TrainingDataConfig, read_training_data
from embedsearch.types import SILENT, Progress

Data = str | Path | Sequence[Any]
"""A file or folder, a list of them, or a list of examples (see `train_encoder`)."""


def train_encoder(
    data: Data,
    config: EncoderTrainingConfig | None = None,
    *,
    base: str | Path = DEFAULT_MODEL,
    base_name: str = "",
    output: str | Path,
    held_out: Data | None = None,
    questions: Sequence[str] = (),
    reading: TrainingDataConfig | None = None,
    source: str = "",
    device: str = "auto",
    progress: Progress = SILENT,
) -> TrainingReport:
    """Trains the encoder `base` and writes the result into the new folder `output`.

    Args:
        data: files and BEIR folders, or examples: `TrainingPair`, `ScoredPair`, `LabelledText`, or
            tuples (question, answer, further texts that are no answers) or (text, text, score).
        base: name, folder or hub id of an encoder. `base_name` is what the card calls it, for a
            folder that does not last.
        held_out: what is measured along the way and never trained on; None takes a share of `data`.
        questions: further questions that training must not see, those of a later evaluation.
        reading: how files are read. `source` says on the card where the data is from.

    An interrupted training goes on when it is called again with the same arguments; one that is
    done gives its report again.

    Raises:
        InputError: data that cannot be used (the message names file and line), held-out questions
            in the training data, settings that do not fit, an `output` that is there and not from
            this training.
        StorageError: an `output` that cannot be written.
        LockedError: another training into `output` is under way.
        NotFoundError, ModelError, DeviceError: as `SentenceEncoder.load`; ModelError too where the
            loss is no number any more, which leaves the last good state.
    """
    config = config or EncoderTrainingConfig()
    examples = examples_of(data, reading, progress)
    kept = None if held_out is None else examples_of(held_out, reading, progress)
    check_examples(examples, 1)
    check_leakage(examples, kept or (), questions)
    return train(
        examples,
        config,
        base=base,
        base_name=base_name,
        output=output,
        held_out=kept,
        source=source or _source(data),
        device=device,
        progress=progress,
    )


def examples_of(
    data: Data, reading: TrainingDataConfig | None = None, progress: Progress = SILENT
) -> list[Example]:
    """Examples from whatever `train_encoder` takes. Raises InputError and NotFoundError."""
    if isinstance(data, (str, Path)):
        data = [data]
    items = list(data)
    if items and all(isinstance(item, (str, Path)) for item in items):
        return read_training_data(items, reading, progress=progress)
    return [_example(item, number) for number, item in enumerate(items, 1)]


def _example(item: Any, number: int) -> Example:
    if isinstance(item, (TrainingPair, ScoredPair, LabelledText)):
        return item
    if isinstance(item, (tuple, list)) and len(item) >= 2:
        first, second, *rest = item
        score = rest[0] if len(rest) == 1 else None
        if isinstance(score, (int, float)) and not isinstance(score, bool):
            return ScoredPair(first=first, second=second, score=float(score))
        return TrainingPair(anchor=first, positive=second, negatives=tuple(rest))
    raise InputError(
        f"example {number} is {type(item).__name__}: give TrainingPair, ScoredPair, LabelledText, "
        "(question, answer, …) or (text, text, score)"
    )


def _source(data: Data) -> str:
    paths = [data] if isinstance(data, (str, Path)) else data
    return ", ".join(Path(each).name for each in paths if isinstance(each, (str, Path)))
