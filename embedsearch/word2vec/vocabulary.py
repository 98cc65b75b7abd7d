"""Which words get a vector, how often they are kept, and how noise is drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import InputError
from embedsearch.text.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Thresholds = NDArray[np.uint32]
    """Probabilities as floor(p * 2**32), at most 2**32 - 1."""
    Ids = NDArray[np.int32]

_SCALE = 2**32


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Words and how often each occurs, int64 of shape (len(keys),)."""

    keys: list[str]
    counts: Counts


def choose_words(
    keys: list[str], counts: Counts, *, min_count: int, max_vocab: int | None
) -> NDArray[np.int64]:
    """Positions of the words that stay, the most frequent first, ties in order of appearance.

    Raises InputError where none stays.
    """
    order = np.argsort(-counts, kind="stable")
    chosen = order[counts[order] >= min_count][:max_vocab]
    if not len(chosen):
        if not len(counts):
            raise InputError("there is nothing to train on: the text has no words")
        best = int(order[0])
        raise InputError(
            f"no word is left of {len(keys)}: min_count is {min_count} and the most frequent, "
            f"{keys[best]!r}, occurs {counted(int(counts[best]), 'time')}; set a lower min_count"
        )
    return chosen


def keep_thresholds(counts: Counts, sample: float) -> Thresholds:
    """How likely each word is kept: sqrt(sample / f) + sample / f of the share f of all words.

    The formula of word2vec.c, not the one in the paper. 0 keeps all.
    """
    if not sample:
        return np.full(len(counts), _SCALE - 1, np.uint32)
    # A word that does not occur in this text is never asked about.
    ratio = sample * counts.sum() / np.maximum(counts, 1)
    return _thresholds(np.sqrt(ratio) + ratio)


def noise_tables(counts: Counts, exponent: float) -> tuple[Thresholds, Ids]:
    """Tables to draw words with probability counts ** exponent in constant time.

    Walker's alias method, built as Vose 1991 does: draw a place uniformly; it stands for itself
    with the probability in the first table, else for the word in the second.
    """
    powers = exponent * np.log(np.maximum(counts, 1))
    weights = np.exp(powers - powers.max())  # so that no exponent is too large for a float
    share = weights * (len(weights) / weights.sum())
    alias = np.arange(len(share), dtype=np.int32)
    small = np.flatnonzero(share < 1).tolist()
    large = np.flatnonzero(share >= 1).tolist()
    left = share.tolist()
    while small and large:
        needy, rich = small.pop(), large[-1]
        alias[needy] = rich
        left[rich] -= 1 - left[needy]
        if left[rich] < 1:
            small.append(large.pop())
    for rounded in small + large:
        left[rounded] = 1.0
    return _thresholds(np.asarray(left)), alias


def _thresholds(probabilities: NDArray[np.float64]) -> Thresholds:
    return np.minimum(probabilities * _SCALE, _SCALE - 1).astype(np.uint32)
