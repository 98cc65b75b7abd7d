"""What a training of an encoder is asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from embedsearch.errors import InputError

Loss = Literal["auto", "ranking", "gist", "late", "triplet", "cosent"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class EncoderTrainingConfig:
    """How an encoder is trained. Steps are of the optimizer, one a batch.

    `loss`: `ranking` is multiple-negatives ranking (InfoNCE over the batch), `gist` the same but
    for candidates that the encoder, as it was before, holds nearer to the anchor than the positive
    less `gist_margin`; `late` ranks the texts of a batch as the base's late interaction does, token
    by token, and takes no pair for an answer; `triplet` keeps a positive `triplet_margin` nearer
    than its negative; `cosent` orders scored pairs. `auto` is `cosent` for scored pairs, `ranking`
    for all others. `scale` multiplies cosines but those of triplets (the inverse temperature).
    `negatives` of a pair are drawn anew for every epoch. `matryoshka_dims` trains the first so many
    numbers of a vector too, so that it can be cut. `cached` embeds a batch twice, so that memory
    holds `batch_tokens` tokens of it at a time instead of all.

    `learning_rate` rises over the share `warmup` of all steps and falls evenly to 0. `new_terms` of
    the texts at most become tokens, and the first `frozen_share` of the steps train their rows
    alone. `freeze_layers` and `freeze_embeddings` keep
    the lowest layers as they are. `dropout` is the
    model's own, in force or not: without it training is faster, and as good on few epochs.
    `max_tokens` cuts texts in training, None where the model does. Of the weights that are measured
    and written, `base_share` is the base's and the rest was trained (see `mixing`); None is 0, or
    what `improve_encoder` holds right for the examples.

    `held_out` of the examples are kept from training and measured `evaluations` times an epoch; the
    best state becomes the model, and training stops after `patience` measurements without a better
    one (0: never). `checkpoint_seconds` pass between two states saved for resuming.
    """

    loss: Loss = "auto"
    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 3e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    scale: float = 20.0
    gist_margin: float = 0.0
    triplet_margin: float = 0.2
    negatives: int = 2
    matryoshka_dims: tuple[int, ...] = ()
    cached: bool = False
    batch_tokens: int = 4096
    max_tokens: int | None = None
    precision: Precision = "auto"
    dropout: bool = False
    gradient_checkpointing: bool = False
    freeze_embeddings: bool = False
    freeze_layers: int = 0
    new_terms: int = 0
    frozen_share: float = 0.1
    base_share: float | None = None
    held_out: float = 0.1
    evaluations: int = 1
    patience: int = 0
    checkpoint_seconds: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_choices()
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise InputError(f"{name} must be a whole number from {least} on, not {value!r}")
        if self.seed > _MOST_SEED:
            raise InputError(f"seed must be at most {_MOST_SEED}, not {self.seed}")
        for name in ("learning_rate", "scale", "max_grad_norm"):
            self._check_number(name, above=0.0)
        for name in ("weight_decay", "triplet_margin", "checkpoint_seconds", "gist_margin"):
            self._check_number(name, least=0.0)
        for name in ("warmup", "frozen_share", "base_share", "held_out"):
            value = getattr(self, name)
            none = value is None and name == "base_share"
            if not none and (not _is_number(value) or not 0 <= value < 1):
                raise InputError(f"{name} must be from 0 to below 1, not {value!r}")
        most = self.max_tokens
        if most is not None and (type(most) is not int or most < _LEAST_TOKENS):
            raise InputError(
                f"max_tokens must be a whole number from {_LEAST_TOKENS} on, not {most!r}"
            )
        if self.new_terms and (self.freeze_embeddings or self.freeze_layers):
            raise InputError("new_terms have to learn: leave freeze_embeddings and freeze_layers")
        object.__setattr__(self, "matryoshka_dims", tuple(self.matryoshka_dims))
        if any(type(dim) is not int or dim < 1 for dim in self.matryoshka_dims):
            raise InputError(
                f"matryoshka_dims must be whole numbers from 1 on, not {self.matryoshka_dims!r}"
            )

    def _check_choices(self) -> None:
        for name, choices in (("loss", get_args(Loss)), ("precision", get_args(Precision))):
            value = getattr(self, name)
            if value not in choices:
                raise InputError(f"{name} must be one of {', '.join(choices)}, not {value!r}")

    def _check_number(self, name: str, *, above: float | None = None, least: float = -1) -> None:
        value = getattr(self, name)
        if not _is_number(value) or value < least or (above is not None and value <= above):
            bound = (
                f"a number above {above:g}" if above is not None else f"a number from {least:g} on"
            )
            raise InputError(f"{name} must be {bound}, not {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)


_LEAST = {
    "epochs": 1,
    "batch_size": 2,
    "negatives": 0,
    "batch_tokens": 1,
    "freeze_layers": 0,
    "new_terms": 0,
    "evaluations": 1,
    "patience": 0,
    "seed": 0,
}
_LEAST_TOKENS = 8
_MOST_SEED = (1 << 32) - 1
"""A seed and the number of a step fill the 64 bits that torch takes."""
