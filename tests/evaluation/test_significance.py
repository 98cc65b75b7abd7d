"""Paired comparison: against scipy's permutation test, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from embedsearch.errors import InputError
from embedsearch.evaluation.significance import compare_paired


def test_the_p_value_is_that_of_the_permutation_test():
    from scipy.stats import permutation_test

    random = np.random.default_rng(0)
    before = random.random(40)
    after = before + random.normal(0.05, 0.15, 40)
    expected = permutation_test(
        (after, before),
        lambda x, y: np.mean(x - y),
        permutation_type="samples",
        n_resamples=20_000,
        random_state=np.random.default_rng(1),
    )
    found = compare_paired(before, after)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.02)
    assert found.difference == pytest.approx((after - before).mean())
    assert found.low < found.difference < found.high
    error = np.std(after - before) / np.sqrt(40)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert {type(value) for value in found.as_json().values()} == {float, int}


def test_the_same_and_the_clearly_better():
    same = compare_paired([0.5] * 20, [0.5] * 20)
    assert (same.difference, same.p_value) == (0.0, 1.0)
    better = compare_paired([0.1] * 20, [0.9] * 20)
    assert better.p_value < 0.001
    assert better.low == pytest.approx(0.8)
    assert compare_paired([0.9] * 20, [0.1] * 20).difference == pytest.approx(-0.8)


def test_scores_that_are_no_pairs():
    with pytest.raises(InputError, match="in pairs"):
        compare_paired([0.1], [0.1, 0.2])
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="finite"):
            compare_paired([0.1, wrong], [0.1, 0.2])
