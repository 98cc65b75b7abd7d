"""Whether one system is better than another on the same questions, or was merely luckier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from embedsearch.errors import InputError

ROUNDS = 10_000


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """Two means over the same questions. `difference` is after less before, with the bounds of its
    95 % interval (percentile bootstrap over questions); `p_value` is two-sided."""

    before: float
    after: float
    difference: float
    low: float
    high: float
    p_value: float
    questions: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def compare_paired(
    before: Sequence[float], after: Sequence[float], *, seed: int = 0
) -> PairedComparison:
    """Compares scores of two systems, question by question.

    The test is the paired randomisation test: how often a difference as large comes about when each
    question's two scores are swapped by chance (Smucker, Allan and Carterette 2007, "A comparison
    of statistical significance tests for information retrieval evaluation"). Raises InputError
    where the two are not of the same questions, or one is no number.
    """
    if len(before) != len(after) or not len(before):
        raise InputError(f"{len(before)} and {len(after)} scores cannot be compared in pairs")
    if not np.isfinite([before, after]).all():
        raise InputError("scores to be compared must be finite numbers; one is not")
    differences = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    random = np.random.default_rng(seed)
    observed = abs(differences.mean())
    as_large, means = 0, np.empty(ROUNDS)
    for number in range(ROUNDS):
        signs = random.integers(0, 2, len(differences)) * 2 - 1
        # rounding must not make a swap that changes nothing look smaller
        as_large += bool(abs((signs * differences).mean()) >= observed - 1e-12)
        means[number] = differences[random.integers(0, len(differences), len(differences))].mean()
    low, high = np.quantile(means, (0.025, 0.975))
    return PairedComparison(
        before=float(np.mean(before)),
        after=float(np.mean(after)),
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        p_value=(as_large + 1) / (ROUNDS + 1),
        questions=len(differences),
    )
