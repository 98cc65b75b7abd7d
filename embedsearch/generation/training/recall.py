"""Rows to learn looking things up from, before a new model learns from pairs.

To find what stands behind a key is worth little to a model until most of it is in place (one head
that tells what stands before a token, one that looks for that: Olsson et al. 2022, "In-context
Learning and Induction Heads"), and pairs, with one question each, are a faint signal. Texts of
random tokens that come again are a strong one, first as they are, then as records that are told
apart by their keys (associative recall: Arora et al. 2023, "Zoology: Measuring and Improving Recall
in Efficient Language Models"). What is learned of such rows stays of use for text (Hu et al. 2025,
"Between Circuits and Chomsky: Pre-pretraining on Formal Languages Imparts Linguistic Biases").
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from embedsearch.generation.training.rows import Example

FEW_TOKENS = 128
"""What the first rows are made of. With few tokens looking up is found out sooner, and then works
for all."""
_FEW_STEPS = 3 / 8
"""The part of the steps."""
_SEGMENTS = 1 / 4
"""The part of segments among the examples after that."""
LONGEST = 48
"""Tokens of a segment or record and of its recall: the least that a row needs."""


def recall_rows(
    vocab_size: int, *, steps: int, rows: int, max_tokens: int, seed: int
) -> list[list[list[Example]]]:
    """For every step its rows of examples, each full of at most `max_tokens`."""
    drawn = random.Random(seed)  # noqa: S311
    tokens = list(range(vocab_size))
    drawn.shuffle(tokens)
    made = []
    for step in range(steps):
        first = step < _FEW_STEPS * steps
        used, segments = (tokens[:FEW_TOKENS], 1.0) if first else (tokens, _SEGMENTS)
        made.append([_row(drawn, used, segments, max_tokens) for _ in range(rows)])
    return made


def segment_again(drawn: random.Random, tokens: Sequence[int]) -> Example:
    """A segment of random tokens and, to be learned from its second token on, itself once or twice.

    Segments are of different lengths, so that it does not do to look back by a number of tokens.
    """
    segment = _some(drawn, tokens, 4, 16)
    times = drawn.randint(2, 3)
    return Example(ids=tuple(segment * times), answer=len(segment) + 1)


def records_again(drawn: random.Random, tokens: Sequence[int], most: int) -> Example:
    """Records with a mark, a key and a value of random tokens; then, to be learned, the key, value
    and mark of each in another order.

    A key is one of a few first tokens with one of a few second ones, so that only both together
    tell one record from the others. Marks stand before the records and behind what is recalled, as
    the number of a source does.
    """
    firsts, seconds = _some(drawn, tokens, 1, 3), _some(drawn, tokens, 2, 4)
    keys = [(first, second) for first in firsts for second in seconds]
    drawn.shuffle(keys)
    opening, between = _some(drawn, tokens, 0, 2), _some(drawn, tokens, 0, 2)
    before_value, closing = _some(drawn, tokens, 1, 2), _some(drawn, tokens, 1, 2)
    records = []
    for first, second in keys[: drawn.randint(min(2, most), min(6, most))]:
        value = _some(drawn, tokens, 1, 2)
        record = [*between, first, *between, second, *before_value, *value, *closing]
        records.append((drawn.choice(tokens), record))
    shown = [token for mark, record in records for token in (mark, *opening, *record)]
    drawn.shuffle(records)
    again = [token for mark, record in records for token in (*record, mark)]
    return Example(ids=(*shown, *again), answer=len(shown))


def _row(
    drawn: random.Random, tokens: Sequence[int], segments: float, max_tokens: int
) -> list[Example]:
    row: list[Example] = []
    free = max_tokens
    while free >= LONGEST:
        if drawn.random() < segments:
            row.append(segment_again(drawn, tokens))
        else:
            row.append(records_again(drawn, tokens, free // LONGEST))
        free -= len(row[-1].ids)
    return row


def _some(drawn: random.Random, tokens: Sequence[int], least: int, most: int) -> list[int]:
    """From `least` to `most` different tokens, no more than there are."""
    return drawn.sample(tokens, min(len(tokens), drawn.randint(least, most)))
