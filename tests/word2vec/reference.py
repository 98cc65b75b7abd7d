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
        outputs = [word, *drawn]
        steps = np.zeros((len(context), len(outputs)))
        for row, i in enumerate(context):
            for column, o in enumerate(outputs):
                if column and o == word:
                    continue
                label = 0 if column else 1
                probability = 1 / (1 + math.exp(-float(syn0[i] @ syn1[o])))
                loss -= math.log(probability if label else 1 - probability)
                steps[row, column] = rate * (label - probability)
            pairs += 1
        apply(syn0, syn1, context, outputs, steps)
    return loss, pairs


def apply(
    syn0: np.ndarray, syn1: np.ndarray, inputs: list[int], outputs: list[int], steps: np.ndarray
) -> None:
    """Three outputs at a time, whose change is added when all inputs have had theirs; so a word
    that stands twice in a window sees its own first update."""
    for k in range(0, len(outputs), 3):
        three = outputs[k : k + 3]
        old = syn1[three]
        change = np.zeros_like(old)
        for i, step in zip(inputs, steps[:, k : k + 3], strict=True):
            change += np.outer(step, syn0[i])
            syn0[i] += step @ old
        for o, each in zip(three, change, strict=True):
            syn1[o] += each
