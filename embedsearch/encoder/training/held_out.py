"""Examples kept from training, and how good an encoder is on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.encoder.training.dataset import Dataset, make_dataset
from embedsearch.encoder.training.examples import Example, asked, shape_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.encoder.training.examples import Shape
    from embedsearch.types import Vectors

CUT_RANK = 10


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


def split(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Examples for training and those held out: `share` of the questions with all their answers, of
    the scored pairs, or of the labelled texts. None is held out where that would be below two."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, example in enumerate(examples):
        groups[asked(example)].append(number)
    names = list(groups)
    count = round(share * len(names))
    if count < 2:
        return list(examples), []
    drawn = np.random.default_rng([seed, 1]).permutation(len(names))[:count]
    out = {number for index in drawn for number in groups[names[index]]}
    kept = [example for number, example in enumerate(examples) if number not in out]
    return kept, [example for number, example in enumerate(examples) if number in out]


def _ndcg(data: Dataset, vectors: Vectors) -> float:
    """nDCG@10 with every answer worth the same, averaged over the questions. A question that is
    another's answer is not found by itself."""
    questions = {row.anchor: row.answers for row in data.rows}
    echoes = {row.anchor: row.echoes for row in data.rows}
    pool = np.array(
        list(dict.fromkeys(text for row in data.rows for text in (row.positive, *row.negatives)))
    )
    scores = vectors[list(questions)] @ vectors[pool].T
    for place, anchor in enumerate(questions):
        if echoes[anchor]:
            scores[place, np.isin(pool, list(echoes[anchor]))] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :CUT_RANK]
    discounts = 1 / np.log2(np.arange(2, CUT_RANK + 2))
    total = 0.0
    for answers, order in zip(questions.values(), best, strict=True):
        gains = np.array([int(text) in answers for text in pool[order]])
        total += float(gains @ discounts[: len(gains)] / discounts[: len(answers)].sum())
    return total / len(questions)


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
    """The share of texts whose nearest other text is of their class."""
    texts = [row.anchor for row in data.rows]
    if not texts:
        return 0.0
    scores = vectors[texts] @ vectors[texts].T
    np.fill_diagonal(scores, -np.inf)
    nearest = scores.argmax(axis=1)
    return float(np.mean([texts[n] in r.answers for n, r in zip(nearest, data.rows, strict=True)]))
