"""Samples of streams."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from embedsearch.tuning.sampling import sample_stream


@pytest.mark.parametrize("below", [random.Random(0).randrange, np.random.default_rng(0).integers])
def test_each_item_is_as_likely_as_any_other(below):
    drawn = Counter(item for _ in range(3000) for item in sample_stream(iter("abcdef"), 2, below))
    assert drawn.keys() == set("abcdef")
    assert all(abs(count - 1000) < 130 for count in drawn.values())  # five standard deviations


def test_a_sample_has_no_item_twice_and_a_short_stream_stays_whole():
    below = random.Random(0).randrange
    assert len(set(sample_stream(range(100), 30, below))) == 30
    assert sample_stream(range(3), 5, below) == [0, 1, 2]
    assert sample_stream([], 5, below) == []
