"""Logits to the next token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from embedsearch.generation.config import GenerationConfig

if TYPE_CHECKING:
    import torch

_COLDEST, _LARGEST = 1e-30, 3e38
"""Nothing is divided by less and nothing grows beyond: float32 has no room there, and infinities
have no differences."""


def reshape(logits: torch.Tensor, ids: Sequence[int], config: GenerationConfig) -> torch.Tensor:
    """Logits as repetition penalty, temperature, top-k, top-p and min-p leave them, in the order of
    transformers; excluded tokens have -inf.

    *Shape*: logits (vocab,), float32; `ids` are the tokens so far.
    """
    logits = penalize(logits, ids, config.repetition_penalty)
    if not config.sampling:
        return logits
    logits = (logits / max(config.temperature, _COLDEST)).clamp(-_LARGEST, _LARGEST)
    if config.top_k:
        least = logits.topk(min(config.top_k, len(logits))).values[-1]
        logits = logits.masked_fill(logits < least, -float("inf"))
    if config.top_p < 1:
        ascending, order = logits.sort()
        beyond = ascending.softmax(-1).cumsum(-1) <= 1 - config.top_p
        beyond[-1] = False  # the likeliest always stays
        logits = logits.index_fill(0, order[beyond], -float("inf"))
    if config.min_p:
        chances = logits.softmax(-1)
        logits = logits.masked_fill(chances < config.min_p * chances.max(), -float("inf"))
    return logits


def penalize(logits: torch.Tensor, ids: Sequence[int], penalty: float) -> torch.Tensor:
    """Logits of tokens that were there made smaller: Keskar et al., "CTRL", 2019.

    *Shape*: (vocab,).
    """
    if penalty == 1 or not ids:
        return logits
    import torch

    seen = torch.tensor(sorted(set(ids)), device=logits.device)
    found = logits[seen]
    found = torch.where(found < 0, found * penalty, found / penalty).clamp(-_LARGEST, _LARGEST)
    return logits.index_copy(0, seen, found)


def choose(logits: torch.Tensor, generator: torch.Generator | None) -> int:
    """The likeliest token, or with a generator one that is drawn. *Shape*: (vocab,)."""
    if generator is None:
        return int(logits.argmax())
    import torch

    chances = logits.softmax(-1).cpu()
    return int(torch.multinomial(chances, 1, generator=generator))
