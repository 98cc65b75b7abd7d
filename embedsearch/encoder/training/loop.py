"""The training loop: from one optimizer step to the next, interruptible between any two."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedsearch.encoder.training.checkpoint import Measured, step_of
from embedsearch.encoder.training.losses import batch_loss, texts_of
from embedsearch.encoder.training.mixing import mixed
from embedsearch.errors import ModelError

if TYPE_CHECKING:
    import torch

    from embedsearch.encoder.training.checkpoint import Checkpoints, State
    from embedsearch.encoder.training.config import EncoderTrainingConfig, Loss
    from embedsearch.encoder.training.dataset import Dataset, Row
    from embedsearch.encoder.training.forward import TextEmbedder
    from embedsearch.encoder.training.guides import Guide
    from embedsearch.encoder.training.held_out import HeldOut
    from embedsearch.tuning.schedule import Unfreezing
    from embedsearch.types import Progress

NOTE_SECONDS = 60.0
TRIED_TEXTS = 8
"""Texts that are embedded to see whether a model is of use."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The batches of all epochs and where in them the model is measured. `sizes` are the numbers of
    batches of each epoch."""

    data: Dataset
    config: EncoderTrainingConfig
    sizes: Sequence[int]

    @classmethod
    def of(cls, data: Dataset, config: EncoderTrainingConfig) -> Plan:
        epochs = (_epoch(data, config, number) for number in range(config.epochs))
        return cls(data=data, config=config, sizes=[len(epoch) for epoch in epochs])

    @property
    def steps(self) -> int:
        return sum(self.sizes)

    @property
    def measured_after(self) -> set[int]:
        """The steps after which the model is measured; 0 is before the first."""
        found, done, parts = {0}, 0, self.config.evaluations
        for size in self.sizes:
            found |= {done + math.ceil(size * part / parts) for part in range(1, parts + 1)}
            done += size
        return found

    def batches(self, start: int) -> Iterator[tuple[int, list[Row]]]:
        """From step `start` on: its number from 1 and its batch."""
        step = 0
        for number, size in enumerate(self.sizes):
            if step + size <= start:
                step += size
                continue
            for batch in _epoch(self.data, self.config, number):
                step += 1
                if step > start:
                    yield step, batch


def _epoch(data: Dataset, config: EncoderTrainingConfig, number: int) -> list[list[Row]]:
    return data.epoch(config.seed, number, config.batch_size, config.negatives)


@dataclass(kw_only=True)
class Fit:
    """A training under way. `guide` is for the losses that have one; `base` has the weights before,
    where a share of them stays."""

    embedder: TextEmbedder
    plan: Plan
    loss: Loss
    guide: Guide | None
    optimizer: Any
    scaler: Any
    schedule: Unfreezing
    judge: Judge | None
    base: Mapping[str, torch.Tensor]
    checkpoints: Checkpoints
    state: State
    progress: Progress
    _updating: bool = False
    _saved_at: float = 0.0
    _told_at: float = 0.0

    def run(self) -> str:
        """Trains to the end, and says why it ended. An interruption leaves a saved state.

        Raises ModelError where the loss is no number any more, or the model's vectors are none; of
        the states that were saved the last good one is kept.
        """
        self._saved_at = self._told_at = time.monotonic()
        self.progress.start("Training", self.plan.steps, "steps")
        self.progress.advance(self.state.step)
        try:
            self._measure()  # or a training that was interrupted before it could
            ended = self._steps()
            if not self._sound():
                raise self._broken(self.state.step)
            return ended
        except KeyboardInterrupt:
            if not self._updating:  # else the weights are between two steps
                self._save()
            raise

    def _steps(self) -> str:
        config = self.plan.config
        for step, batch in self.plan.batches(self.state.step):
            if self.judge and config.patience and self.state.without_better >= config.patience:
                return f"no better for {config.patience} measurements"
            began = time.perf_counter()
            self._step(step, batch)
            self.state.seconds += time.perf_counter() - began
            self.progress.advance(1)
            self._measure()
            now = time.monotonic()
            if now - self._saved_at > config.checkpoint_seconds:
                self._save()
            if now - self._told_at > NOTE_SECONDS and self.state.loss_count:
                self._told_at = now
                self.progress.note(
                    f"step {step} of {self.plan.steps}: loss {self._mean_loss():.4f}"
                )
        return "done"

    def _step(self, step: int, batch: Sequence[Row]) -> None:
        import torch

        config = self.plan.config
        factor = self.schedule.before_step(step - 1)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * factor
        torch.manual_seed((config.seed << 32) + step)
        texts = texts_of(batch)
        loss_of = batch_loss(batch, self.loss, config, self.guide)
        if config.cached:
            loss = self.embedder.backward(texts, loss_of, self.scaler.get_scale())
        else:
            found = loss_of(self.embedder.embed(texts))
            self.scaler.scale(found).backward()
            loss = float(found.detach())
        self._check(loss, step)
        self._update(step)
        self.state.tokens += sum(len(self.embedder.ids[text]) for text in texts)
        self.state.loss_sum += loss
        self.state.loss_count += 1
        self.state.last_loss = loss

    def _update(self, step: int) -> None:
        import torch

        self.scaler.unscale_(self.optimizer)
        weights = [w for group in self.optimizer.param_groups for w in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(weights, self.plan.config.max_grad_norm)
        if not self.scaler.is_enabled():  # which passes over such a step by itself
            self._check(float(norm), step)
        self._updating = True
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.state.step = step
        self._updating = False
        self.optimizer.zero_grad()

    def _check(self, value: float, step: int) -> None:
        if math.isfinite(value):
            return
        self.optimizer.zero_grad()
        self._save()
        raise self._broken(step)

    def _sound(self) -> bool:
        """Whether the model is of use: an update can end in weights that are no numbers, or in such
        that vectors are none."""
        texts = range(len(self.embedder.ids))[:TRIED_TEXTS]
        return finite_weights(self.embedder.model) and is_sound(
            embed_in_peace(self.embedder, texts)
        )

    def _broken(self, step: int) -> ModelError:
        kept = self.checkpoints.last()
        told = "no state was saved before"
        if kept is not None:
            told = f"the last good state, of step {step_of(kept)}, is kept in {kept}"
        return ModelError(
            f"the loss is no number any more at step {step} of {self.plan.steps}; {told}. "
            f"Train anew with a lower learning_rate than {self.plan.config.learning_rate:g}, or in "
            "float32"
        )

    def _measure(self) -> None:
        """Measures the held-out examples where it is time; the best state's weights are kept."""
        state, model = self.state, self.embedder.model
        done = bool(state.measured) and state.measured[-1].step == state.step
        if self.judge is None or done or state.step not in self.plan.measured_after:
            return
        loss = self._mean_loss() if state.loss_count else None
        with mixed(model, self.base, self.plan.config.base_share or 0.0):
            metric = self.judge.measure()
            if metric is None or not finite_weights(model):
                raise self._broken(state.step)
            if state.best is None or metric > state.best:
                state.best_step = state.step
                self.checkpoints.save_best(weights_of(model))
        state.measured.append(Measured(step=state.step, loss=loss, metric=metric))
        state.loss_sum, state.loss_count = 0.0, 0
        told = "" if loss is None else f"loss {loss:.4f}, "
        self.progress.note(f"step {state.step}: {told}{self.judge.held_out.metric} {metric:.4f}")

    def _mean_loss(self) -> float:
        return self.state.loss_sum / max(1, self.state.loss_count)

    def _save(self) -> None:
        if not self._sound():
            raise self._broken(self.state.step)
        self._saved_at = time.monotonic()
        self.state.scaler = self.scaler.state_dict()
        self.checkpoints.save(
            self.state,
            weights_of(self.embedder.model),
            optimizer_state(self.optimizer, self.embedder.model),
        )


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Held-out examples and their texts as ids."""

    held_out: HeldOut
    embedder: TextEmbedder

    def measure(self) -> float | None:
        """The metric of the model as it is now; None where its vectors are no numbers."""
        vectors = embed_in_peace(self.embedder, range(len(self.embedder.ids)))
        return self.held_out.measure(vectors.cpu().numpy()) if is_sound(vectors) else None


def embed_in_peace(embedder: TextEmbedder, texts: Sequence[int]) -> torch.Tensor:
    """Unit vectors (texts, dim) without dropout or gradients."""
    import torch

    training = [module for module in embedder.model.modules() if module.training]
    embedder.model.eval()
    with torch.no_grad():
        vectors = embedder.embed(texts)
    for module in training:
        module.training = True
    return vectors


def is_sound(vectors: torch.Tensor) -> bool:
    """Whether vectors are numbers, and not all zero as those of values that overflowed are."""
    return bool(vectors.isfinite().all() and vectors.any())


def finite_weights(model: Any) -> bool:
    """Whether every weight is a number."""
    return all(bool(weight.isfinite().all()) for weight in model.parameters())


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    """The model's tensors by name, on the CPU, each its own memory."""
    return {
        name: value.detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
    }


def optimizer_state(optimizer: Any, model: Any) -> dict[str, torch.Tensor]:
    """The optimizer's tensors by `weight's name/what`."""
    names = {id(value): name for name, value in model.named_parameters()}
    return {
        f"{names[id(weight)]}/{key}": value.detach().cpu().contiguous().clone()
        for weight, values in optimizer.state.items()
        for key, value in values.items()
    }


def restore_optimizer(optimizer: Any, model: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Puts back what `optimizer_state` gave."""
    weights = dict(model.named_parameters())
    for name, value in tensors.items():
        weight, _, key = name.rpartition("/")
        target = weights[weight]
        # a fused optimizer counts its steps where the weights are, others on the CPU
        at_hand = key != "step" or optimizer.defaults.get("fused")
        optimizer.state[target][key] = value.to(target.device) if at_hand else value
