"""Teaching a language model to give responses to prompts."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from embedsearch.device import training_device
from embedsearch.errors import InputError, StorageError
from embedsearch.generation.prompts import PromptEncoder
from embedsearch.generation.training.checkpoint import Checkpoint
from embedsearch.generation.training.config import ArchitectureConfig, LMTrainingConfig
from embedsearch.generation.training.pairs import Pair, PairSet, read_pairs
from embedsearch.generation.training.rows import encode_pairs
from embedsearch.generation.training.start import Start, save_model, start_anew, start_from
from embedsearch.generation.training.trainer import Trainer, prepare, trained_parameters
from embedsearch.types import SILENT, Progress, Skipped

__all__ = [
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
    same call after an interruption goes on from there.

    Raises InputError for pairs that do not fit or an `output` that holds something else, ModelError
    when the loss is no number any more, DependencyError for lora without peft.
    """
    config, began, output = config or LMTrainingConfig(), time.perf_counter(), Path(output)
    _check_output(output)
    limit = start.model.config.get_text_config().max_position_embeddings
    if config.max_tokens > limit:
        raise InputError(f"max_tokens {config.max_tokens} is more than the model's {limit}")
    prompts = PromptEncoder(start.tokenizer, templated=start.templated)
    examples, skipped = encode_pairs(pairs, prompts, end=start.end, max_tokens=config.max_tokens)
    origin = start.digest()
    model = prepare(start.model.to(training_device(device)), config)
    trained = sum(trained_parameters(model))
    trainer = Trainer(model=model, examples=examples, config=config, new_ids=start.new_ids)
    checkpoint = Checkpoint(folder=output / _CHECKPOINT, run=trainer.digest(origin))
    steps = trainer.run(checkpoint, progress)
    finished = model.merge_and_unload() if config.method == "lora" else model
    save_model(start, finished.to("cpu"), output)
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
    _write_settings(output, config, report)
    checkpoint.remove()
    return report


_CHECKPOINT, _SETTINGS = "checkpoint", "training.json"


def _check_output(output: Path) -> None:
    """A folder that is new, empty or begun."""
    try:
        held = {path.name for path in output.iterdir()} if output.is_dir() else set()
    except OSError as error:
        raise StorageError(f"cannot read {output}: {error.strerror}") from None
    if held - {_CHECKPOINT} or (output.exists() and not output.is_dir()):
        raise InputError(f"{output} is there already: name a new folder")


def _write_settings(output: Path, config: LMTrainingConfig, report: LMTrainingReport) -> None:
    told = {"config": asdict(config), "losses": report.losses, "examples": report.examples}
    try:
        (output / _SETTINGS).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write to {output}: {error.strerror}") from None
