"""A small language with a structure that vectors must find."""

from __future__ import annotations

import numpy as np

GROUPS = {
    "animals": ["cat", "dog", "horse", "cow", "sheep"],
    "metals": ["iron", "gold", "copper", "silver", "tin"],
    "drinks": ["tea", "coffee", "water", "juice", "milk"],
}
ENDS = {
    "animals": ["runs", "eats", "sleeps", "breathes"],
    "metals": ["melts", "shines", "bends", "rusts"],
    "drinks": ["flows", "cools", "boils", "spills"],
}


def sentences(count: int, seed: int = 0) -> list[list[str]]:
    """Sentences such as `the cat runs and eats`: words of a group keep the same company."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        group = list(GROUPS)[random.integers(len(GROUPS))]
        noun = GROUPS[group][random.integers(5)]
        first, second = (ENDS[group][i] for i in random.integers(0, 4, 2))
        found.append(["the", noun, first, "and", second])
    return found
