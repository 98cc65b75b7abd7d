"""Examples kept from training, and how good an encoder is on them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.encoder.training.dataset import Dataset, make_dataset
from embedsearch.encoder.training.examples import (
    Example,
    LabelledText,
    ScoredPair,
    asked,
    check_examples,
    shape_of,
)
from embedsearch.errors import InputError
from embedsearch.text.words import counted
from embedsearch.types import SILENT, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.encoder.training.dataset import Row
    from embedsearch.encoder.training.examples import Shape
    from embedsearch.types import Vectors

CUT_RANK = 10
MEASURED_CELLS = 1 << 24
"""Scores that are in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What is measured: `ndcg@10` of each question among all held-out texts, `spearman` of scored
    pairs, or `accuracy` of the nearest neighbour's label; higher is better, 1 is best."""

    shape: Shape
    data: Dataset

    @property
    def metric(self) -> str:
        return {"pairs": "ndcg@10", "scored": "spearman", "labelled": "accuracy"}[self.shape]

    def measure(self, vectors: Vectors) -> float:
        """The metric, from the unit vectors of `data.texts`, shape (texts, dim)."""
        if self.shape == "scored":
            return _spearman(self.data, vectors)
        return _ndcg(self.data, vectors) if self.shape == "pairs" else _accuracy(self.data, vectors)


def make_held_out(examples: Sequence[Example]) -> HeldOut:
    """What is measured on these examples; InputError where they are of several shapes."""
    return HeldOut(shape=shape_of(examples), data=make_dataset(examples))


def part(
    examples: Sequence[Example],
    held_out: Sequence[Example] | None,
    share: float,
    seed: int,
    progress: Progress = SILENT,
) -> tuple[Sequence[Example], Sequence[Example]]:
    """Examples for training, and those to measure: `held_out`, or where that is None a share.

    Raises InputError for examples that cannot be used, and `held_out` that cannot be measured.
    """
    check_examples(examples, 1)
    if held_out is None:
        learned, kept = split(examples, share, seed)
        if share and not kept:
            progress.note(
                f"nothing is held out: {share:g} of {counted(len(examples), 'example')} is too "
                "little to measure or to spare, so the state at the end is the model"
            )
        return learned, kept
    if held_out:
        try:
            check_examples(held_out, 1)
        except InputError as error:
            raise InputError(f"the held-out examples cannot be used: {error}") from None
        if not _measurable(make_held_out(held_out)):
            raise InputError(
                f"{counted(len(held_out), 'held-out example')} cannot be measured, as no encoder "
                "is wrong about that: bring more, of other answers or of other classes"
            )
    return examples, held_out


def split(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Examples for training and those held out: `share` of the questions with all their answers, of
    the scored pairs, or of the labelled texts, of these at least two of a class.

    None is held out where these would be below two, could not be measured, or where the rest could
    not be trained on.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for number, example in enumerate(examples):
        groups[asked(example)].append(number)
    count = round(share * len(groups))
    if count < 2:
        return list(examples), []
    names = list(groups)
    order = [names[i] for i in np.random.default_rng([seed, 1]).permutation(len(names))]
    kinds = {name: _kind(examples[found[0]]) for name, found in groups.items()}
    out = {number for name in _drawn(order, kinds, count) for number in groups[name]}
    learned = [example for number, example in enumerate(examples) if number not in out]
    kept = [example for number, example in enumerate(examples) if number in out]
    if kept and _teaches(learned) and _measurable(make_held_out(kept)):
        return learned, kept
    return list(examples), []


def _kind(example: Example) -> str | float | None:
    """What has to differ for an order, or a class, to be there to learn or to measure."""
    if isinstance(example, LabelledText):
        return example.label
    return example.score if isinstance(example, ScoredPair) else None


def _drawn(order: Sequence[str], kinds: Mapping[str, Any], count: int) -> list[str]:
    """The first `count` in this order, but of each class two or none, and not all of one kind."""
    labelled = isinstance(kinds[order[0]], str)
    found = _two_of_each(order, kinds, count) if labelled else list(order[:count])
    only = {kinds[name] for name in found}
    other = next((name for name in order if kinds[name] not in only), None)
    if len(only) == 1 and other is not None:
        found[-1] = other
    return found


def _two_of_each(order: Sequence[str], kinds: Mapping[str, Any], count: int) -> list[str]:
    found: list[str] = []
    first: dict[str, list[str]] = {}
    for name in order:
        waiting = first.setdefault(kinds[name], [name])
        more = [name] if not waiting else [*waiting, name]
        if waiting != [name] and len(found) + len(more) <= count:
            found += more
            waiting.clear()
    return found


def _teaches(examples: Sequence[Example]) -> bool:
    """Whether there is something to learn: of scored pairs two scores, of labelled texts two
    classes, one of them with two texts."""
    if not examples or shape_of(examples) == "pairs":
        return bool(examples)
    kinds = Counter(kind for _, kind in {(asked(each), _kind(each)) for each in examples})
    return len(kinds) > 1 and (shape_of(examples) == "scored" or max(kinds.values()) > 1)


def _measurable(held: HeldOut) -> bool:
    """Whether an encoder can be better or worse on these examples."""
    rows = held.data.rows
    if held.shape == "scored":
        return len({row.score for row in rows}) > 1
    if held.shape == "labelled":
        return any(len(held.data.texts) > len(row.answers) for row in rows)
    pool = {text for row in rows for text in (row.positive, *row.negatives)}
    return any(pool - row.answers - row.echoes for row in rows)


def _ndcg(data: Dataset, vectors: Vectors) -> float:
    """nDCG@10 with every answer worth the same, averaged over the questions. A question that is
    another's answer is not found by itself."""
    questions = list({row.anchor: row for row in data.rows}.values())
    pool = list(dict.fromkeys(text for r in data.rows for text in (r.positive, *r.negatives)))
    places = {text: place for place, text in enumerate(pool)}
    discounts = 1 / np.log2(np.arange(2, CUT_RANK + 2))
    total = 0.0
    for part in _parts(questions, len(pool)):
        scores = vectors[[row.anchor for row in part]] @ vectors[pool].T
        for found, row in zip(scores, part, strict=True):
            found[[places[text] for text in row.echoes if text in places]] = -np.inf
            best = np.argsort(-found, kind="stable")[:CUT_RANK]
            gains = np.array([pool[place] in row.answers for place in best])
            there = sum(text in places for text in row.answers)
            total += float(gains @ discounts[: len(gains)] / discounts[:there].sum())
    return total / len(questions)


def _parts(rows: Sequence[Row], texts: int) -> Iterator[Sequence[Row]]:
    """Rows whose scores of so many texts go into memory together."""
    size = max(1, MEASURED_CELLS // texts)
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _spearman(data: Dataset, vectors: Vectors) -> float:
    first, second = vectors[[r.anchor for r in data.rows]], vectors[[r.positive for r in data.rows]]
    return spearman((first * second).sum(axis=1), np.array([row.score for row in data.rows]))


def spearman(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> float:
    """Spearman's rank correlation, ties by their mean rank; 0 where one side is constant."""
    from scipy.stats import rankdata

    if np.ptp(found) == 0 or np.ptp(wanted) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(found), rankdata(wanted))[0, 1])


def _accuracy(data: Dataset, vectors: Vectors) -> float:
    """The share of texts whose nearest other text is of their class, over those that have one of
    their class at all."""
    right = 0
    for part in _parts(data.rows, len(vectors)):
        texts = [row.anchor for row in part]
        scores = vectors[texts] @ vectors.T
        scores[np.arange(len(texts)), texts] = -np.inf
        nearest = scores.argmax(axis=1).tolist()
        right += sum(text in row.answers for text, row in zip(nearest, part, strict=True))
    return right / len(data.rows)
