"""The training of a language model: rows in, weights changed, state kept."""

from __future__ import annotations

import hashlib
import json
import random
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from embedsearch.device import has_cpu_bf16
from embedsearch.errors import DependencyError, ModelError
from embedsearch.generation.training.checkpoint import Checkpoint, Progressed
from embedsearch.generation.training.config import LMTrainingConfig
from embedsearch.generation.training.interruption import uninterrupted
from embedsearch.generation.training.recall import recall_rows
from embedsearch.generation.training.rows import Example, Row, pack_rows, side_by_side
from embedsearch.text.words import counted
from embedsearch.tuning.schedule import ScheduleConfig, Unfreezing
from embedsearch.types import Progress

if TYPE_CHECKING:
    import torch

GRADIENT_NORM = 1.0
"""Longer gradients are shortened to this."""


def prepare(model: Any, config: LMTrainingConfig) -> Any:
    """The model to train: itself with what is frozen, or with low-rank updates on every linear
    layer. DependencyError where peft is needed and not there."""
    if config.method == "full":
        if config.freeze_embeddings:
            model.get_input_embeddings().weight.requires_grad_(False)
        return model
    import torch

    try:
        import peft
    except ImportError:
        raise DependencyError(
            "the method lora needs peft: pip install 'embedsearch[lora]', or train with full"
        ) from None
    settings = peft.LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(config.seed)  # what the updates begin with is drawn
    with warnings.catch_warnings():  # peft asks transformers by a name that is out of use
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "fan_in_fan_out")  # GPT-2's layers, which it sees itself
        return peft.get_peft_model(model, settings)


def group_loss(model: Any, group: Sequence[Example]) -> torch.Tensor:
    """The summed cross-entropy of the responses of some examples.

    The examples stand below one another, filled up on the right: a causal model sees nothing of
    what comes after.
    """
    import torch

    length = max(len(example.ids) for example in group)
    first = min(example.answer for example in group)
    ids = torch.zeros(len(group), length, dtype=torch.long)
    responses = torch.zeros(len(group), length, dtype=torch.bool)
    for number, example in enumerate(group):
        ids[number, : len(example.ids)] = torch.tensor(example.ids)
        responses[number, example.answer : len(example.ids)] = True
    ids = ids.to(model.device)
    logits = model(input_ids=ids[:, :-1], logits_to_keep=length - first, use_cache=False).logits
    losses = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), ids[:, first:].flatten(), reduction="none"
    ).view(len(group), -1)
    return losses[responses[:, first:].to(ids.device)].sum()


@dataclass(kw_only=True)
class Trainer:
    """One run over `examples`; `new_ids` are the rows that learn alone at first."""

    model: Any
    examples: Sequence[Example]
    config: LMTrainingConfig
    new_ids: Sequence[int] = ()
    _done: int = 0
    """Steps."""
    _losses: list[tuple[float, int]] = field(default_factory=list)
    """Of each part of the run: recall, if any, and the epochs."""

    @property
    def losses(self) -> list[float]:
        """The mean loss of a token in each epoch."""
        return self._means()[self._before_epochs :]

    @property
    def recall_loss(self) -> float | None:
        """The mean loss of a token before the epochs."""
        return self._means()[0] if self._before_epochs else None

    def digest(self, start: str) -> str:
        """What tells this run from others: settings, data, and `start`, the digest of its Start."""
        settings = {k: v for k, v in asdict(self.config).items() if k != "checkpoint_steps"}
        found = hashlib.sha256(json.dumps([start, settings], sort_keys=True).encode())
        for example in self.examples:
            found.update(json.dumps([example.ids, example.answer]).encode())
        return found.hexdigest()

    def run(self, checkpoint: Checkpoint, progress: Progress) -> int:
        """Trains to the end, from where the checkpoint is; the number of steps."""
        import torch

        config = self.config
        weights = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(
            weights.values(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        steps = self._steps()
        schedule = ScheduleConfig(
            total_steps=len(steps),
            frozen_steps=config.frozen_steps,
            warmup_steps=config.warmup_steps,
        )
        # before a state is restored: it keeps the old rows as they were at the beginning
        unfreezing = Unfreezing(self.model, schedule, self.new_ids)
        done = checkpoint.restore(weights, optimizer)
        self._losses = list(done.losses)
        progress.start("Training", len(steps), "steps")
        progress.advance(done.step)
        if len(steps) <= config.warmup_steps:
            progress.note(
                f"{counted(len(steps), 'step')} in all, and the learning rate rises for "
                f"{config.warmup_steps}: little is learned without more epochs"
            )
        self._done = done.step
        self.model.train()
        try:
            for part, rows in steps[done.step :]:
                factor = unfreezing.before_step(self._done)
                torch.manual_seed(self._seed(self._done))
                self._step(rows, part, optimizer, config.learning_rate * factor, weights)
                progress.advance(1)
                step = self._done
                if step == len(steps) or steps[step][0] != part:
                    epoch = part + 1 - self._before_epochs
                    named = f"epoch {epoch}" if epoch else "recall"
                    progress.note(f"{named}: loss {self._means()[part]:.4f}")
                if step % config.checkpoint_steps == 0 and step < len(steps):
                    checkpoint.save(weights, optimizer, self._progressed())
        except KeyboardInterrupt:
            checkpoint.save(weights, optimizer, self._progressed())
            raise
        self.model.eval()
        return len(steps)

    def _progressed(self) -> Progressed:
        return Progressed(step=self._done, losses=tuple(self._losses))

    def _seed(self, step: int) -> int:
        """What dropout is drawn by in a step, wherever the training was interrupted before."""
        return random.Random(f"{self.config.seed}/{step}").getrandbits(63)  # noqa: S311

    @property
    def _before_epochs(self) -> int:
        """How many parts of the run come before the epochs."""
        return 1 if self.config.recall_steps else 0

    def _means(self) -> list[float]:
        return [total / max(tokens, 1) for total, tokens in self._losses]

    def _steps(self) -> list[tuple[int, list[list[Example]]]]:
        """(part of the run, rows) of every step; the same for the same seed."""
        config, per_step = self.config, self.config.rows_per_step
        steps = [
            (0, rows)
            for rows in recall_rows(
                self.model.get_input_embeddings().num_embeddings,
                steps=config.recall_steps,
                rows=per_step,
                max_tokens=config.max_tokens,
                seed=config.seed,
            )
        ]
        for epoch in range(config.epochs):
            rows = pack_rows(self.examples, config.max_tokens, config.seed * 1_000_003 + epoch)
            part = self._before_epochs + epoch
            steps += [(part, rows[i : i + per_step]) for i in range(0, len(rows), per_step)]
        return steps

    def _step(
        self,
        rows: Sequence[Row],
        part: int,
        optimizer: torch.optim.Optimizer,
        rate: float,
        weights: dict[str, torch.nn.Parameter],
    ) -> None:
        """One step of the optimizer; the loss is the mean over the responses' tokens of its rows.
        It is counted with the change of the weights: an interruption comes before both or after."""
        import torch

        examples = [example for row in rows for example in row]
        learned = sum(example.learned for example in examples)
        total = 0.0
        optimizer.zero_grad(set_to_none=True)
        for some in side_by_side(examples, self.config.max_tokens):
            with self._precision():
                loss = group_loss(self.model, some)
            (loss / learned).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        if not total < float("inf"):
            raise ModelError(
                f"the loss became {total} with the learning rate {rate:g}: try a smaller one"
            )
        torch.nn.utils.clip_grad_norm_(list(weights.values()), GRADIENT_NORM)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with uninterrupted():
            optimizer.step()
            if len(self._losses) == part:
                self._losses.append((0.0, 0))
            so_far, tokens = self._losses[part]
            self._losses[part] = (so_far + total, tokens + learned)
            self._done += 1

    def _precision(self) -> Any:
        """bfloat16 products where the device has them; weights and their updates are float32."""
        import torch

        device = self.model.device.type
        fast = device == "cuda" or (device == "cpu" and has_cpu_bf16())
        return torch.autocast(device, dtype=torch.bfloat16, enabled=fast)


def trained_parameters(model: Any) -> Iterator[int]:
    """Numbers of each weight that is trained."""
    return (p.numel() for p in model.parameters() if p.requires_grad)
