"""Pairs as rows of tokens: templated, with the loss on the response, packed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from embedsearch.errors import InputError, ModelError
from embedsearch.generation.prompts import PromptEncoder
from embedsearch.generation.training.pairs import Pair
from embedsearch.types import Skipped


@dataclass(frozen=True, kw_only=True)
class Example:
    """Ids of a prompt and its response; the response, with the end token, begins at `answer`."""

    ids: tuple[int, ...]
    answer: int

    @property
    def learned(self) -> int:
        """How many tokens the loss counts."""
        return len(self.ids) - self.answer


Row = Sequence[Example]


def encode_pairs(
    pairs: Sequence[Pair], prompts: PromptEncoder, *, end: int | None, max_tokens: int
) -> tuple[list[Example], list[Skipped]]:
    """The examples, and the pairs that are longer than `max_tokens`: nothing is cut off.

    `end` is the token that ends a response. A pair that cannot be put into tokens is skipped too.
    InputError when nothing is left.
    """
    responses = prompts.tokenizer.encode_ids([p.response for p in pairs], special_tokens=False)
    examples: list[Example] = []
    skipped: list[Skipped] = []
    for pair, response in zip(pairs, responses, strict=True):
        try:
            [prompt] = prompts.encode([pair.prompt])
            ids = (*prompt, *response, *(() if end is None else (end,)))
            if len(ids) > max_tokens:
                raise InputError(f"{len(ids)} tokens, over max_tokens {max_tokens}")
            if len(ids) == len(prompt):
                raise InputError("nothing to learn: the response has no token")
            examples.append(Example(ids=ids, answer=len(prompt)))
        except (InputError, ModelError) as error:  # or a template that refuses the messages
            skipped.append(Skipped(path=pair.place, reason=str(error)))
    if not examples:
        why = f"; the first, {skipped[0].path}: {skipped[0].reason}" if skipped else ""
        raise InputError(f"there is no pair to learn from{why}")
    return examples, skipped


def pack_rows(examples: Sequence[Example], max_tokens: int, seed: int) -> list[list[Example]]:
    """All examples in rows of at most `max_tokens`, in an order drawn by `seed`.

    Each goes into the fullest of the last rows that has room (best fit), so few tokens are lost.
    """
    drawn = random.Random(seed)  # noqa: S311
    order = list(examples)
    drawn.shuffle(order)
    rows: list[list[Example]] = []
    open_rows: list[tuple[int, int]] = []  # free tokens, number of the row
    for example in order:
        size = len(example.ids)
        fitting = [entry for entry in open_rows if entry[0] >= size]
        if fitting:
            best = min(fitting)
            open_rows.remove(best)
            free, number = best
        else:
            free, number = max_tokens, len(rows)
            rows.append([])
        rows[number].append(example)
        open_rows = sorted([*open_rows, (free - size, number)])[-_OPEN_ROWS:]
    drawn.shuffle(rows)
    return rows


def side_by_side(examples: Sequence[Example], max_tokens: int) -> list[list[Example]]:
    """All examples in groups of about one length, the longest first; a group holds at most
    `max_tokens`, each example counted as its longest."""
    groups: list[list[Example]] = []
    for example in sorted(examples, key=lambda each: len(each.ids), reverse=True):
        if not groups or (len(groups[-1]) + 1) * len(groups[-1][0].ids) > max_tokens:
            groups.append([])
        groups[-1].append(example)
    return groups


_OPEN_ROWS = 64
"""Rows that are filled at a time."""
