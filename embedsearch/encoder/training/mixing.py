"""Trained weights, and a share of those before.

What fine-tuning gains on texts like its examples it loses in part on others; the mean of both sets
of weights keeps most of the one and next to all of the other (Wortsman et al. 2022, "Robust
fine-tuning of zero-shot models").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def mix_in(model: Any, base: Mapping[str, torch.Tensor], share: float) -> None:
    """Makes the model's weights 1 - `share` of what they are, and `share` of `base`."""
    for name, value in model.state_dict().items():  # the model's own memory
        if share and value.is_floating_point():
            value.lerp_(base[name].to(value.device), share)


@contextmanager
def mixed(model: Any, base: Mapping[str, torch.Tensor], share: float) -> Iterator[None]:
    """The model with `mix_in`, for as long as the block lasts."""
    if not share:
        yield
        return
    trained = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        mix_in(model, base, share)
        yield
    finally:
        model.load_state_dict(trained)
