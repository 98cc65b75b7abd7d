"""One training, from examples to a model folder."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.device import training_device
from embedsearch.encoder.fingerprint import fingerprint_of
from embedsearch.encoder.folder import ModelFolder
from embedsearch.encoder.resolve import resolve_model
from embedsearch.encoder.training.card import write_card
from embedsearch.encoder.training.checkpoint import Checkpoints, State, state_folder
from embedsearch.encoder.training.dataset import Dataset, make_dataset
from embedsearch.encoder.training.examples import check_examples
from embedsearch.encoder.training.finished import check_output, finished
from embedsearch.encoder.training.freezing import freeze, prepare_mode
from embedsearch.encoder.training.held_out import make_held_out, part
from embedsearch.encoder.training.losses import choose_loss
from embedsearch.encoder.training.mixing import mix_in
from embedsearch.encoder.training.report import TrainingReport, report_of
from embedsearch.encoder.training.vocabulary import extend_base
from embedsearch.errors import EmbedSearchError, InputError, ModelError, StorageError
from embedsearch.tuning.folders import only_training, published
from embedsearch.tuning.schedule import ScheduleConfig
from embedsearch.tuning.storage import disk_errors
from embedsearch.types import SILENT, Progress

if TYPE_CHECKING:
    from embedsearch.encoder.training.config import EncoderTrainingConfig, Loss
    from embedsearch.encoder.training.examples import Example
    from embedsearch.encoder.training.forward import TextEmbedder
    from embedsearch.encoder.training.guides import Guide
    from embedsearch.encoder.training.held_out import HeldOut
    from embedsearch.encoder.training.loop import Fit


def train(
    examples: Sequence[Example],
    config: EncoderTrainingConfig,
    *,
    base: str | Path,
    output: str | Path,
    held_out: Sequence[Example] | None = None,
    base_name: str = "",
    source: str = "",
    device: str = "auto",
    progress: Progress = SILENT,
) -> TrainingReport:
    """Trains the encoder `base` on examples and writes the result into the new folder `output`.

    `held_out` examples are measured; None takes a share of `examples`, see the config. `base_name`
    is what report and card call the base, for one whose folder does not last; "" is `base` itself.
    `source` says on the card where the examples are from. An interrupted training leaves
    `<output>.training/` and goes on from there when it is called with the same arguments; one that
    is done gives its report again.

    Raises:
        InputError: examples, settings or an output folder that cannot be used.
        LockedError: another training into `output` is under way.
        NotFoundError, ModelError, DeviceError: as `SentenceEncoder.load`; ModelError too where the
            loss is no number any more.
    """
    began = time.perf_counter()
    target = check_output(output, config, base)
    with only_training(state_folder(target)):
        learned, kept = part(examples, held_out, config.held_out, config.seed, progress)
        shape = check_examples(learned, config.batch_size)
        data = make_dataset(learned)
        loss = choose_loss(config, shape, data.rows)
        judged = make_held_out(kept) if kept else None
        folder = trainable(base, config)
        origin = fingerprint_of(folder)
        checkpoints = Checkpoints(output=target, run=_run_name(config, origin, data, judged))
        if target.exists():
            report = finished(target, checkpoints.run)
            progress.note(f"{target} is there already, made by this very training")
            checkpoints.remove()
            return report
        fit = _prepare(folder, data, judged, loss, config, checkpoints, device, progress)
        ended = fit.run()
        with published(target) as home:
            made = _write(fit, home)
            report = report_of(
                fit, made, target, base_name or str(base), ended, len(learned), len(kept), began
            )
            write_card(
                home, report.as_json(), config, fit.state.measured, origin, source, checkpoints.run
            )
        checkpoints.remove()
        return report


def trainable(base: str | Path, config: EncoderTrainingConfig) -> ModelFolder:
    """The folder of a base that can be trained like this; nothing of it is loaded.

    Raises NotFoundError, ModelError, InputError.
    """
    folder = ModelFolder.read(resolve_model(base))
    if folder.modules[0].kind == "StaticEmbedding":
        raise ModelError(
            f"{folder.root} is a static model: train the encoder it was distilled from, and distil "
            "again"
        )
    most = max(config.matryoshka_dims, default=0)
    if most > folder.dim:
        raise InputError(f"matryoshka_dims asks for {most} dimensions; the model has {folder.dim}")
    return folder


def _run_name(
    config: EncoderTrainingConfig, origin: str, data: Dataset, judged: HeldOut | None
) -> str:
    """A digest of all that decides the result."""
    settings = asdict(config) | {"checkpoint_seconds": None, "base": origin}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for each in (data, judged.data if judged else None):
        if each is not None:
            digest.update(json.dumps(list(each.texts)).encode())
            digest.update(
                repr([(r.anchor, r.positive, r.negatives, r.score) for r in each.rows]).encode()
            )
            belonging = {id(row.answers): row.answers for row in each.rows}  # rows share them
            digest.update(repr([sorted(answers) for answers in belonging.values()]).encode())
    return digest.hexdigest()


def _prepare(
    folder: ModelFolder,
    data: Dataset,
    judged: HeldOut | None,
    loss: Loss,
    config: EncoderTrainingConfig,
    checkpoints: Checkpoints,
    device: str,
    progress: Progress,
) -> Fit:
    """Everything in place for the first step, or for the one after the state that was saved."""
    import torch

    from embedsearch.encoder.training.loop import Fit, Judge, Plan, weights_of
    from embedsearch.tuning.schedule import Unfreezing

    plan = Plan.of(data, config)
    if not plan.steps:
        raise InputError("no batch of two different pairs can be made of the examples")
    where = training_device(device)
    model, new_ids = _load(folder, data, config, where, progress)
    embedder = _embedder(model, data, config, where)
    prepare_mode(model, config, where)
    optimizer = torch.optim.AdamW(
        freeze(model, config), weight_decay=config.weight_decay, fused=where != "mps"
    )
    # before a state is restored: it keeps the old rows as they are in the base
    schedule = Unfreezing(model[0].auto_model, _schedule(config, plan.steps, new_ids), new_ids)
    kept = weights_of(model) if config.base_share else {}
    fit = Fit(
        embedder=embedder,
        plan=plan,
        loss=loss,
        guide=_guide(folder, data, loss, config, where),
        optimizer=optimizer,
        scaler=torch.amp.GradScaler("cuda", enabled=embedder.precision == "float16"),
        schedule=schedule,
        base=kept,
        judge=Judge(held_out=judged, embedder=_embedder(model, judged.data, config, where))
        if judged
        else None,
        checkpoints=checkpoints,
        state=State(),
        progress=progress,
    )
    _restore(fit)
    return fit


def _embedder(
    model: Any, data: Dataset, config: EncoderTrainingConfig, device: str
) -> TextEmbedder:
    from embedsearch.encoder.training.forward import TextEmbedder, choose_precision, tokenize

    return TextEmbedder(
        model=model,
        ids=tokenize(model, data.texts, config.max_tokens),
        pad_id=int(model.tokenizer.pad_token_id or 0),
        batch_tokens=config.batch_tokens,
        precision=choose_precision(config.precision, device),
        device=device,
    )


def _schedule(
    config: EncoderTrainingConfig, steps: int, new_ids: tuple[int, ...]
) -> ScheduleConfig:
    return ScheduleConfig(
        total_steps=steps,
        frozen_steps=int(config.frozen_share * steps) if new_ids else 0,
        warmup_steps=int(config.warmup * steps),
    )


def _restore(fit: Fit) -> None:
    """Takes up the state that an interrupted training of the same run left."""
    from embedsearch.encoder.training.loop import restore_optimizer

    restored = fit.checkpoints.restore()
    if restored is None:
        return
    fit.state, weights, optimizer = restored
    model = fit.embedder.model
    model.load_state_dict(weights)
    restore_optimizer(fit.optimizer, model, optimizer)
    fit.scaler.load_state_dict(fit.state.scaler)
    fit.progress.note(f"going on after step {fit.state.step} of {fit.plan.steps}")


def _load(
    folder: ModelFolder,
    data: Dataset,
    config: EncoderTrainingConfig,
    device: str,
    progress: Progress,
) -> tuple[Any, tuple[int, ...]]:
    """The model, with the ids of the tokens that it was given."""
    from embedsearch.encoder.torch_engine import load_model

    if not config.new_terms:
        return load_model(folder.root, device), ()
    with tempfile.TemporaryDirectory(prefix="embedsearch-") as home:
        texts = [text for _, text in data.texts]
        try:
            with disk_errors():
                made = extend_base(folder, texts, config.new_terms, Path(home), progress)
        except OSError as error:
            if isinstance(error, EmbedSearchError):
                raise
            raise StorageError(f"{home} cannot be written: {error.strerror or error}") from None
        return load_model(made.folder, device), made.new_ids


def _guide(
    folder: ModelFolder, data: Dataset, loss: Loss, config: EncoderTrainingConfig, device: str
) -> Guide | None:
    """The base, which guides its own training; None for a loss without a guide."""
    import numpy as np

    from embedsearch.encoder.sentence import SentenceEncoder
    from embedsearch.encoder.torch_engine import load_model
    from embedsearch.encoder.training.guides import by_late_interaction, by_vectors

    if loss == "late":
        model = load_model(folder.root, device).eval()
        return by_late_interaction(_embedder(model, data, config, device))
    if loss != "gist":
        return None
    encoder = SentenceEncoder.load(folder.root)
    out = np.empty((len(data.texts), encoder.dim), dtype=np.float32)
    for task, encode in (("query", encoder.encode_query), ("document", encoder.encode_document)):
        rows = [number for number, (side, _) in enumerate(data.texts) if side == task]
        if rows:
            out[rows] = encode([data.texts[row][1] for row in rows])
    return by_vectors(out)


def _write(fit: Fit, home: Path) -> ModelFolder:
    """Saves the best weights as a folder of sentence-transformers."""
    from embedsearch.encoder.torch_engine import quiet

    model = fit.embedder.model
    best = fit.checkpoints.best() if fit.judge else None
    if best is not None:
        model.load_state_dict(best)
    else:
        mix_in(model, fit.base, fit.plan.config.base_share or 0.0)
    with quiet():
        model.eval().save_pretrained(str(home), create_model_card=False)
    return ModelFolder.read(home)
