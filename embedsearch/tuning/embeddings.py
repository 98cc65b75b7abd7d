"""A model's embedding brought along when its tokenizer gets further tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedsearch.errors import InputError, ModelError
from embedsearch.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Resized:
    """`rows` of the embedding before and after, and the ids that were given a starting vector."""

    rows_before: int
    rows: int
    new_ids: tuple[int, ...]


def check_vocabulary(model: Any, tokenizer: Tokenizer) -> None:
    """ModelError where a tokenizer has ids that a model's embedding has no row for."""
    rows = int(_input_weight(model).shape[0])
    if rows < tokenizer.vocab_size:
        raise ModelError(
            f"the tokenizer has {tokenizer.vocab_size:,} ids and the model's embedding {rows:,} "
            "rows, so they do not belong together: load the model's own tokenizer, or bring the "
            "model along with resize_embeddings"
        )


def resize_embeddings(model: Any, before: Tokenizer, after: Tokenizer) -> Resized:
    """Gives a model the rows that `after`, an extension of `before`, needs; in place.

    A new token starts as the mean of the pieces that it was split into, in the input and in the
    output embedding (the bias too), tied or not; a special token as the mean of all tokens (Hewitt
    2021, "Initializing New Word Embeddings for Pretrained Language Models"). Rows that a model has
    beyond its vocabulary are used before it grows. `model` is a transformers model, or any torch
    module with `get_input_embeddings`, `get_output_embeddings` and `resize_token_embeddings`.

    ModelError where the model does not fit `before`, InputError where `after` does not extend it.
    """
    import torch

    check_vocabulary(model, before)
    pieces = _pieces(before, after)
    rows = int(_input_weight(model).shape[0])
    if after.vocab_size > rows:
        model.resize_token_embeddings(after.vocab_size, mean_resizing=False)
    known = torch.tensor(sorted(set(before.vocabulary().values())))
    with torch.no_grad():
        for weight in _weights(model):
            average = weight[known.to(weight.device)].mean(dim=0)
            starts = {
                token_id: weight[list(ids)].mean(dim=0) if ids else average
                for token_id, ids in pieces.items()
            }
            for token_id, start in starts.items():
                weight[token_id] = start
    return Resized(
        rows_before=rows, rows=int(_input_weight(model).shape[0]), new_ids=tuple(sorted(pieces))
    )


def _pieces(before: Tokenizer, after: Tokenizer) -> dict[int, Sequence[int]]:
    """For each new id the old ids of its text; none for a special token."""
    old, new = before.vocabulary(), after.vocabulary()
    changed = next((token for token, number in old.items() if new.get(token) != number), None)
    if changed is not None:
        raise InputError(
            f"the new tokenizer is no extension of the old one: {changed!r} had the id "
            f"{old[changed]} and has {new.get(changed)}; make it with Tokenizer.with_tokens"
        )
    return {
        token_id: before.encode(after.decode([token_id]), special_tokens=False).ids
        for token, token_id in new.items()
        if token not in old
    }


def _weights(model: Any) -> list[torch.Tensor]:
    """Every tensor with a row for each token, each once: the embeddings of a tied model are one."""
    found = [_input_weight(model)]
    output = model.get_output_embeddings()
    if output is not None:
        found.append(output.weight)
        if getattr(output, "bias", None) is not None:
            found.append(output.bias)
    unique: Mapping[int, torch.Tensor] = {weight.data_ptr(): weight for weight in found}
    return list(unique.values())


def _input_weight(model: Any) -> torch.Tensor:
    embedding = model.get_input_embeddings()
    weight: torch.Tensor = embedding.weight
    return weight
