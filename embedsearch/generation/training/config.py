"""How a language model is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from embedsearch.errors import InputError
from embedsearch.generation.config import LARGEST_SEED, check_whole
from embedsearch.generation.training.recall import LONGEST

Method = Literal["full", "lora"]


@dataclass(frozen=True, kw_only=True)
class LMTrainingConfig:
    """How a language model learns to give responses to prompts.

    Examples are packed into rows of `max_tokens`, `rows_per_step` of which make a step of the
    optimizer (AdamW); no more than `max_tokens` go through the model at a time. The loss is that of
    the responses. The learning rate rises over `warmup_steps`, then falls to 0. In the first
    `recall_steps` a new model learns to look things up in rows of random tokens (recall.py); then
    come the pairs.
    `lora` trains low-rank updates of every linear layer, of `lora_rank` and scaled by `lora_alpha`
    over the rank (Hu et al., "LoRA", 2021), which are merged into the weights at the end; `full`
    trains all weights, with `freeze_embeddings` all but the input embedding. With new tokens, their
    rows learn alone for `frozen_steps`. After every `checkpoint_steps` the state is saved.
    """

    epochs: int = 3
    max_tokens: int = 512
    rows_per_step: int = 8
    learning_rate: float = 2e-4
    weight_decay: float = 0.01
    warmup_steps: int = 20
    recall_steps: int = 0
    method: Method = "full"
    lora_rank: int = 16
    lora_alpha: int = 32
    freeze_embeddings: bool = False
    frozen_steps: int = 0
    checkpoint_steps: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole("seed", self.seed, 0, LARGEST_SEED)
        least = dict.fromkeys(("warmup_steps", "recall_steps", "frozen_steps"), 0)
        least["max_tokens"] = LONGEST if self.recall_steps else 8
        for name in (
            "epochs",
            "max_tokens",
            "rows_per_step",
            "warmup_steps",
            "recall_steps",
            "lora_rank",
            "lora_alpha",
            "frozen_steps",
            "checkpoint_steps",
        ):
            check_whole(name, getattr(self, name), least.get(name, 1))
        _check_number("learning_rate", self.learning_rate, above=True)
        _check_number("weight_decay", self.weight_decay, above=False)
        if self.method not in get_args(Method):
            raise InputError(f"method must be full or lora, not {self.method!r}")
        if self.method == "lora" and (self.freeze_embeddings or self.frozen_steps):
            raise InputError(
                "freeze_embeddings and frozen_steps belong to the method full: lora leaves the "
                "embeddings as they are"
            )
        if self.recall_steps and (self.method == "lora" or self.frozen_steps):
            raise InputError(
                "recall_steps are for a new model, all of which learns: leave lora and frozen_steps"
            )
        if self.freeze_embeddings and self.frozen_steps:
            raise InputError(
                "frozen_steps trains rows of the embeddings, which freeze_embeddings keeps as they "
                "are: choose one"
            )


@dataclass(frozen=True, kw_only=True)
class ArchitectureConfig:
    """A new model, of Qwen3's architecture with tied embeddings; `context` is its `max_tokens`.

    That is Llama's with normed queries and keys (Henry et al., "Query-Key Normalization", 2020),
    with which a small model learns sooner where to look; so it does with heads of a larger
    `head_dim` than `hidden_size` over `heads`, which 0 stands for.
    """

    hidden_size: int = 256
    layers: int = 4
    heads: int = 4
    head_dim: int = 0
    context: int = 1024

    def __post_init__(self) -> None:
        for name in ("hidden_size", "layers", "heads", "context"):
            check_whole(name, getattr(self, name), 1)
        check_whole("head_dim", self.head_dim, 0)
        if self.head_dim % 2:
            raise InputError(f"head_dim must be even, not {self.head_dim}")
        if not self.head_dim and self.hidden_size % (2 * self.heads):
            raise InputError(
                f"hidden_size {self.hidden_size} must be an even multiple of heads {self.heads}: "
                "choose others, or a head_dim"
            )


def _check_number(name: str, value: object, *, above: bool) -> None:
    sound = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not sound or not math.isfinite(value) or value < 0 or (above and not value):  # type: ignore[arg-type,operator]
        raise InputError(f"{name} must be a number {'above' if above else 'from'} 0, not {value!r}")
