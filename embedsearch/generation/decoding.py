"""The loop from prompt ids to new ids, over a model of transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from embedsearch.errors import ModelError
from embedsearch.generation.config import GenerationConfig
from embedsearch.generation.loading import enough_memory, no_transformer
from embedsearch.generation.sampling import choose, reshape

if TYPE_CHECKING:
    import torch


def left_padded(prompts: Sequence[Sequence[int]], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids, filled up with 0 on the left, and the mask that hides the filling.

    *Shape*: both (batch, longest prompt).
    """
    import torch

    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in prompts])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompts])
    return ids.to(device), mask.to(device)


Watch = Callable[["torch.Tensor", Sequence[int], int], None]
"""Is shown the logits of a step, the tokens before it and the one that was chosen."""


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    going: set[int],
    watch: Watch | None = None,
) -> Iterator[list[tuple[int, int]]]:
    """Continues the prompts, greedily or drawing: at each step the (row, token) of the rows in
    `going`, from which the caller takes those that have ended. `watch` sees every choice.

    Ends when none is left, or after `max_new_tokens` steps. A row that has ended is computed along
    with the others, which costs next to nothing beside reading the weights.
    """
    import torch

    so_far = [list(row) for row in prompts]
    generators = [_generator(config, row) for row in range(len(prompts))]
    ids, mask = left_padded(prompts, model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = None
    for _ in range(config.max_new_tokens):
        # not around the yield: they would hold for the caller too
        with torch.inference_mode(), enough_memory(model.device):
            out = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache, logits = getattr(out, "past_key_values", None), out.logits[:, -1].float()
            if cache is None:
                raise no_transformer(model)
            if not bool(logits.max().isfinite()):
                raise ModelError(
                    f"the {model.config.model_type} in {model.dtype} gives no numbers: its weights "
                    "are damaged, or it needs dtype='float32'"
                )
            chosen = _choose(logits, so_far, config, generators, sorted(going))
        for row, token in chosen:
            if watch is not None:
                watch(logits[row], so_far[row], token)
            so_far[row].append(token)
        yield chosen
        if not going:
            return
        ids = torch.tensor([[row[-1]] for row in so_far], device=model.device)
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=-1)
        positions = positions[:, -1:] + 1


def _choose(
    logits: torch.Tensor,
    so_far: Sequence[Sequence[int]],
    config: GenerationConfig,
    generators: Sequence[torch.Generator | None],
    rows: Sequence[int],
) -> list[tuple[int, int]]:
    """(row, next token). *Shape*: logits (batch, vocab)."""
    if not config.sampling and config.repetition_penalty == 1:
        likeliest = logits.argmax(-1).tolist()  # all at once
        return [(row, likeliest[row]) for row in rows]
    return [
        (row, choose(reshape(logits[row], so_far[row], config), generators[row])) for row in rows
    ]


def _generator(config: GenerationConfig, row: int) -> torch.Generator | None:
    """One for each row, so that what is drawn for a prompt does not hang on its neighbours."""
    if not config.sampling:
        return None
    import torch

    return torch.Generator().manual_seed(config.seed + row % config.num_return_sequences)


def search_beams(
    model: Any,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    ends: frozenset[int],
    watch: Any = None,
) -> list[list[int]]:
    """New ids of the `num_return_sequences` likeliest texts of each prompt, by transformers.

    `watch` is a logits processor of transformers."""
    import torch

    transformers: Any = import_module("transformers")
    ids, mask = left_padded(prompts, model.device)
    wanted = transformers.GenerationConfig(
        max_new_tokens=config.max_new_tokens,
        do_sample=False,
        num_beams=config.num_beams,
        num_return_sequences=config.num_return_sequences,
        repetition_penalty=config.repetition_penalty,
        eos_token_id=sorted(ends) or None,
        pad_token_id=min(ends, default=0),
    )
    with torch.inference_mode(), enough_memory(model.device):
        found = model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=wanted,
            logits_processor=None if watch is None else transformers.LogitsProcessorList([watch]),
        )
    return [_until_end(row, ends) for row in found[:, ids.shape[1] :].tolist()]


def _until_end(ids: list[int], ends: frozenset[int]) -> list[int]:
    """The ids up to the first that ends the text; what follows is filling."""
    place = next((i for i, token in enumerate(ids) if token in ends), None)
    return ids if place is None else ids[: place + 1]
