"""What learns when: new embedding rows alone at first, then the whole model, each warmed up.

A model that gets new tokens has good weights around a few rough rows. Trained all together, the
large gradients of those rows disturb the rest; so the rows learn alone until they fit, then
everything does (gradual unfreezing after Howard and Ruder 2018, ULMFiT, section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedsearch.errors import InputError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """When a model learns what, in steps of the optimizer.

    In the first `frozen_steps` only the new rows learn. The learning rate rises over `warmup_steps`
    at the beginning and again when the model is unfrozen, then falls evenly to 0 at `total_steps`.
    """

    total_steps: int
    frozen_steps: int = 0
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        for name, least in (("total_steps", 1), ("frozen_steps", 0), ("warmup_steps", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name} must be a whole number from {least} on, not {value!r}")
        if self.frozen_steps >= self.total_steps:
            raise InputError(
                f"frozen_steps, {self.frozen_steps}, must be less than total_steps, "
                f"{self.total_steps}: the whole model would never learn"
            )

    def learning_rate_factor(self, step: int) -> float:
        """What the learning rate is multiplied by in a step, counted from 0."""
        frozen = step < self.frozen_steps
        since = step if frozen else step - self.frozen_steps
        if since < self.warmup_steps:
            return (since + 1) / (self.warmup_steps + 1)
        if frozen:
            return 1.0
        falling = self.total_steps - self.frozen_steps - self.warmup_steps
        return max(0.0, 1.0 - (since - self.warmup_steps) / max(1, falling))


class Unfreezing:
    """Freezes a model but for some rows of its embeddings, and unfreezes it when it is time.

    Call `before_step` with the number of every step, from 0 on; it gives the factor of the learning
    rate. Until `frozen_steps` gradients reach the rows `new_ids` of the input and output embedding
    alone, and all other weights come out bit for bit as they were, weight decay or not. With
    `frozen_steps` 0 nothing is ever frozen.

    To resume, make it of the model as it was at the beginning, then restore the weights; the first
    step may be any.
    """

    def __init__(self, model: Any, config: ScheduleConfig, new_ids: Sequence[int]) -> None:
        self._config = config
        self._thawed: list[torch.nn.Parameter] = []
        self._tables: list[tuple[torch.nn.Parameter, torch.Tensor, torch.Tensor]] = []
        self._hooks: list[Any] = []
        if config.frozen_steps:
            self._freeze(model, new_ids)

    @property
    def frozen(self) -> bool:
        return bool(self._tables)

    def before_step(self, step: int) -> float:
        """Unfreezes the model when the step is the first to train it whole; the rate's factor."""
        if self.frozen and step >= self._config.frozen_steps:
            # a later first step goes on from weights that have all learned already
            self._unfreeze(keep_old_rows=step == self._config.frozen_steps)
        return self._config.learning_rate_factor(step)

    def _freeze(self, model: Any, new_ids: Sequence[int]) -> None:
        import torch

        if not new_ids:
            raise InputError(
                "frozen_steps needs new tokens: there are no rows to train alone; set it to 0"
            )
        modules = [model.get_input_embeddings(), model.get_output_embeddings()]
        tables = {id(m.weight): m.weight for m in modules if m is not None}
        for parameter in model.parameters():
            if id(parameter) not in tables and parameter.requires_grad:
                parameter.requires_grad_(False)
                self._thawed.append(parameter)
        for weight in tables.values():
            old = torch.ones(len(weight), dtype=torch.bool, device=weight.device)
            old[list(new_ids)] = False
            self._tables.append((weight, old, weight.detach()[old].clone()))
            self._hooks.append(
                weight.register_hook(lambda grad, old=old: grad.masked_fill(old[:, None], 0))
            )

    def _unfreeze(self, *, keep_old_rows: bool) -> None:
        import torch

        for hook in self._hooks:
            hook.remove()
        with torch.no_grad():
            for weight, old, values in self._tables if keep_old_rows else ():
                weight[old] = values  # weight decay moves rows without a gradient too
        for parameter in self._thawed:
            parameter.requires_grad_(True)
        self._hooks, self._tables, self._thawed = [], [], []
