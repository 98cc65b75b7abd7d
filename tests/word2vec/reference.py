"""The kernel in plain Python and NumPy, number by number: the oracle of `kernel.train_block`."""

from __future__ import annotations

import math

import numpy as np

MASK = (1 << 64) - 1


class Random:
    """splitmix64, as published by Steele et al. 2014."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def bits(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)


def draw(random: Random, threshold: np.ndarray, alias: np.ndarray) -> int:
    bits = random.bits()
    place = ((bits >> 32) * len(threshold)) >> 32
    return place if bits & 0xFFFFFFFF <= int(threshold[place]) else int(alias[place])


def train_block(
    ids: list[int],
    syn0: np.ndarray,
    syn1: np.ndarray,
    *,
    keep: np.ndarray,
    noise: tuple[np.ndarray, np.ndarray],
    window: int,
    negative: int,
    alpha: float,
    alpha_end: float,
    seed: int,
) -> tuple[float, int]:
    """Changes the matrices, float64 of shape (words, size); loss and number of pairs."""
    random = Random(seed)
    kept = [i for i in ids if i < 0 or random.bits() >> 32 <= int(keep[i])]
    ahead = [draw(random, *noise) for _ in range(negative)]
    loss, pairs = 0.0, 0
    for centre, word in enumerate(kept):
        drawn, ahead = ahead, [draw(random, *noise) for _ in range(negative)]
        reach = 1 + (((random.bits() >> 32) * window) >> 32)
        if word < 0:
            continue
        context = []
        for step in (-1, 1):
            for distance in range(1, reach + 1):
                place = centre + step * distance
                if not 0 <= place < len(kept) or kept[place] < 0:
                    break
                context.append(kept[place])
        rate = alpha + (alpha_end - alpha) * centre / len(kept)
        outputs = [(word, 1)] + [(other, 0) for other in drawn if other != word]
        logits = [[float(syn0[i] @ syn1[o]) for o, _ in outputs] for i in context]
        delta0, delta1 = np.zeros_like(syn0), np.zeros_like(syn1)
        for row, i in zip(logits, context, strict=True):
            for logit, (o, label) in zip(row, outputs, strict=True):
                probability = 1 / (1 + math.exp(-logit))
                loss -= math.log(probability if label else 1 - probability)
                delta0[i] += rate * (label - probability) * syn1[o]
                delta1[o] += rate * (label - probability) * syn0[i]
            pairs += 1
        syn0 += delta0
        syn1 += delta1
    return loss, pairs
