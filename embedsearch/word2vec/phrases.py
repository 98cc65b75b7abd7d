"""Words that belong together become one: new_york (Mikolov et al. 2013, section 4).

The score of a pair is (count(a, b) - min_count) * words / (count(a) * count(b)), as in
word2phrase.c: how much more often the two stand together than by chance, rare pairs discounted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.word2vec.corpus import FLUSH_IDS, Scan, read_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.word2vec.vocabulary import Counts, Ids

    Pairs = NDArray[np.int64]
    """Pairs of numbers as first * n + second, sorted."""

JOINT = "_"


def join_phrases(scan: Scan, min_count: int, threshold: float) -> None:
    """Rewrites a scan so that each pair with a score above `threshold` is one word, from the left.

    Words rarer than `min_count` are in no pair.
    """
    pairs, counts = _count_pairs(scan, min_count)
    if not len(pairs):
        return
    first, second = np.divmod(pairs, len(scan.keys))
    chance = scan.counts[first].astype(np.float64) * scan.counts[second]
    chosen = (counts - min_count) * float(scan.words) / chance > threshold
    if chosen.any():
        _rewrite(scan, pairs[chosen])


def _count_pairs(scan: Scan, min_count: int) -> tuple[Pairs, Counts]:
    frequent = np.append(scan.counts >= min_count, False)  # the last stands for END
    pairs, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for ids in _chunks(scan):
        both = frequent[ids[:-1]] & frequent[ids[1:]]
        codes = ids[:-1][both].astype(np.int64) * len(scan.keys) + ids[1:][both]
        found, times = np.unique(codes, return_counts=True)
        together = np.concatenate((pairs, found))
        pairs, place = np.unique(together, return_inverse=True)
        counts = np.bincount(place, np.concatenate((counts, times))).astype(np.int64)
    return pairs, counts


def _rewrite(scan: Scan, phrases: Pairs) -> None:
    size = len(scan.keys)
    numbers = _number_phrases(scan, phrases, size)
    counts = np.zeros(len(scan.keys), np.int64)
    written = 0
    with scan.path.open("r+b") as file:
        for ids in _chunks(scan):
            codes = ids[:-1].astype(np.int64) * size + ids[1:]
            codes[(ids[:-1] < 0) | (ids[1:] < 0)] = -1
            place = np.minimum(np.searchsorted(phrases, codes), len(phrases) - 1)
            starts = np.flatnonzero(_every_other(phrases[place] == codes))
            ids[starts] = numbers[place[starts]]
            ids = np.delete(ids, starts + 1)
            counts += np.bincount(ids[ids >= 0], minlength=len(counts))
            file.seek(written * ids.itemsize)
            file.write(ids.tobytes())
            file.flush()
            written += len(ids)
        file.truncate(written * ids.itemsize)
    scan.counts, scan.size = counts, written


def _number_phrases(scan: Scan, phrases: Pairs, size: int) -> Ids:
    """The number of each phrase's word, which may be there already."""
    known = {key: number for number, key in enumerate(scan.keys) if JOINT in key}
    numbers = []
    for first, second in zip(*(part.tolist() for part in np.divmod(phrases, size)), strict=True):
        key = scan.keys[first] + JOINT + scan.keys[second]
        number = known.setdefault(key, len(scan.keys))
        if number == len(scan.keys):
            scan.keys.append(key)
        numbers.append(number)
    return np.array(numbers, np.int32)


def _every_other(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """In each run of True the first, third, fifth: a word cannot be in two phrases."""
    places = np.arange(len(flags))
    before_run = np.maximum.accumulate(np.where(flags, -1, places))
    found: NDArray[np.bool_] = flags & ((places - before_run) % 2 == 1)
    return found


def _chunks(scan: Scan) -> Iterator[Ids]:
    for start in range(0, scan.size, FLUSH_IDS):
        yield read_ids(scan.path, start, FLUSH_IDS)
