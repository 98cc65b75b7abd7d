"""Teaching a language model to give responses to prompts."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedsearch.device import training_device
from embedsearch.errors import InputError, StorageError
from embedsearch.generation.loading import context_of
from embedsearch.generation.prompts import PromptEncoder
from embedsearch.generation.training.checkpoint import UNFINISHED, Checkpoint, is_begun, written
from embedsearch.generation.training.config import ArchitectureConfig, LMTrainingConfig
from embedsearch.generation.training.pairs import Pair, PairSet, read_pairs
from embedsearch.generation.training.rows import encode_pairs
from embedsearch.generation.training.start import Start, save_model, start_anew, start_from
from embedsearch.generation.training.trainer import Trainer, prepare, trained_parameters
from embedsearch.text.paths import typed_path
from embedsearch.tuning.folders import only_training
from embedsearch.tuning.modes import readable_as
from embedsearch.tuning.storage import on_disk
from embedsearch.types import SILENT, Progress, Skipped

__all__ = [
    "CHECKPOINT",
    "ArchitectureConfig",
    "LMTrainingConfig",
    "LMTrainingReport",
    "Pair",
    "PairSet",
    "Start",
    "read_pairs",
    "start_anew",
    "start_from",
    "train_lm",
]


@dataclass(frozen=True, kw_only=True)
class LMTrainingReport:
    """What a training did. `learned_tokens` are those of the responses, of one epoch; `losses` the
    mean of each epoch, `recall_loss` that of the steps before them; `skipped` the pairs that are
    too long."""

    output: str
    examples: int
    learned_tokens: int
    steps: int
    losses: tuple[float, ...]
    recall_loss: float | None
    parameters: int
    trained_parameters: int
    skipped: tuple[Skipped, ...]
    seconds: float


def train_lm(
    pairs: Sequence[Pair],
    config: LMTrainingConfig | None = None,
    *,
    start: Start,
    output: str | Path,
    device: str = "auto",
    progress: Progress = SILENT,
) -> LMTrainingReport:
    """Trains a model to give the responses to the prompts, and writes it as a transformers folder.

    The model of `start` is changed. While the work goes on its state is kept in the folder: the
    same call after an interruption, with a `start` made anew, goes on from there.

    Raises InputError for pairs that do not fit, or an `output` that holds something else or the
    unfinished training of other pairs, settings or another start; LockedError where another process
    trains into it; StorageError where it cannot be written; ModelError when the loss is no number
    any more; DependencyError for lora without peft.
    """
    config, output = config or LMTrainingConfig(), typed_path(output)
    _check_output(output)
    with only_training(output / CHECKPOINT):
        _check_output(output)  # another training may just have been done
        return _train(pairs, config, start, output, device, progress)


def _train(
    pairs: Sequence[Pair],
    config: LMTrainingConfig,
    start: Start,
    output: Path,
    device: str,
    progress: Progress,
) -> LMTrainingReport:
    began = time.perf_counter()
    limit = context_of(start.model)
    if limit is not None and config.max_tokens > limit:
        raise InputError(f"max_tokens {config.max_tokens} is more than the model's {limit}")
    prompts = PromptEncoder(start.tokenizer, templated=start.templated)
    examples, skipped = encode_pairs(pairs, prompts, end=start.end, max_tokens=config.max_tokens)
    origin = start.digest()
    model = prepare(start.model.to(training_device(device)), config)
    trained = sum(trained_parameters(model))
    trainer = Trainer(model=model, examples=examples, config=config, new_ids=start.new_ids)
    checkpoint = Checkpoint(folder=output / CHECKPOINT, run=trainer.digest(origin))
    steps = trainer.run(checkpoint, progress)
    finished = model.merge_and_unload() if config.method == "lora" else model
    finished = finished.to("cpu")
    report = LMTrainingReport(
        output=str(output),
        examples=len(examples),
        learned_tokens=sum(example.learned for example in examples),
        steps=steps,
        losses=tuple(trainer.losses),
        recall_loss=trainer.recall_loss,
        parameters=sum(p.numel() for p in finished.parameters()),
        trained_parameters=trained,
        skipped=tuple(skipped),
        seconds=time.perf_counter() - began,
    )
    _write(start, finished, config, report, checkpoint)
    return report


CHECKPOINT, _SETTINGS = "checkpoint", "training.json"


def _check_output(output: Path) -> None:
    """A folder that is new, empty or begun."""
    try:
        free = not any(output.iterdir()) if output.is_dir() else not output.exists()
        if not free and not is_begun(output / CHECKPOINT):
            raise InputError(f"{output} is there already: name a new folder")
    except OSError as error:
        raise StorageError(f"cannot read {output}: {error.strerror}") from None


def _write(
    start: Start,
    model: Any,
    config: LMTrainingConfig,
    report: LMTrainingReport,
    checkpoint: Checkpoint,
) -> None:
    """The model and how it was made, beside the state of the training, then in its place: as long
    as that is there the folder is begun, and no half of a model is taken for one."""
    told = {"config": asdict(config), "losses": report.losses, "examples": report.examples}
    with written(checkpoint.folder):
        unfinished = checkpoint.folder / UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        save_model(start, model, unfinished)
        (unfinished / _SETTINGS).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        on_disk(unfinished)
        readable_as(unfinished / _SETTINGS, unfinished)
        for file in unfinished.iterdir():
            file.replace(Path(report.output) / file.name)
        on_disk(Path(report.output), below=False)
    checkpoint.remove()
