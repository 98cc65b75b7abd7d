"""How a byte-pair tokenizer compresses as its vocabulary grows, merge by merge."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from embedsearch.errors import InputError
from embedsearch.text.anatomy import Anatomy
from embedsearch.text.tokenizer import Tokenizer

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class CompressionCurve:
    """`tokens[i]` is what the texts cost with the first `merges[i]` merges alone, a vocabulary of
    `vocab_sizes[i]` tokens.

    The first entry is without any merge, the last with all; entries between are where a merge that
    the texts use comes in.
    """

    merges: tuple[int, ...]
    vocab_sizes: tuple[int, ...]
    tokens: tuple[int, ...]
    characters: int

    def at(self, merges: int) -> int:
        """Tokens with that many merges."""
        return self.tokens[max(0, bisect_right(self.merges, merges) - 1)]


def compression_curve(tokenizer: Tokenizer, texts: Sequence[str]) -> CompressionCurve:
    """Tokens of the texts after each merge of a byte-pair tokenizer.

    One pass yields the whole curve: merges are applied lowest rank first (Sennrich et al. 2016,
    https://aclanthology.org/P16-1162), so what is done before rank k is what the first k do.
    Special tokens are not counted.

    Raises InputError for a tokenizer of another kind: its vocabulary does not grow by merges.
    """
    anatomy = Anatomy(tokenizer)
    if anatomy.kind != "BPE":
        raise InputError(
            f"a {anatomy.kind} tokenizer has no merges: only a byte-pair one grows merge by merge"
        )
    model = anatomy.model_settings
    ranks = {_pair(merge): rank for rank, merge in enumerate(model["merges"])}
    prefix = str(model.get("continuing_subword_prefix") or "")
    whole = _whole_words(ranks, prefix, model) if model.get("ignore_merges") else {}
    before, saved = 0, Counter[int]()
    for symbols, times in Counter(anatomy.symbols(texts)).items():
        left, found = len(symbols), whole.get("".join(symbols))
        applied = [] if found == 0 else list(_applied(symbols, ranks, prefix))
        if found is not None:
            applied = [point for point in applied if point < found]
            applied += [found] * (left - len(applied) - 1)
        before += left * times
        for point in applied:
            saved[point] += times
    before -= saved.pop(0, 0)
    used = sorted(saved)
    points = [0, *used]
    tokens = [before, *(before - gone for gone in accumulate(saved[point] for point in used))]
    if points[-1] < len(ranks):
        points.append(len(ranks))
        tokens.append(tokens[-1])
    sizes = _vocab_sizes(ranks, prefix, anatomy.vocab_size)
    return CompressionCurve(
        merges=tuple(points),
        vocab_sizes=tuple(sizes[point] for point in points),
        tokens=tuple(tokens),
        characters=sum(map(len, texts)),
    )


def _vocab_sizes(ranks: Mapping[Pair, int], prefix: str, vocab_size: int) -> list[int]:
    """The number of tokens with the first k merges, by k; several may make the same token."""
    made: set[str] = set()
    sizes = [0]
    for first, second in ranks:
        made.add(first + second.removeprefix(prefix))
        sizes.append(len(made))
    return [vocab_size - len(made) + size for size in sizes]


def _pair(merge: str | list[str]) -> Pair:
    """A merge as tokenizer.json writes it: a list, in older files a string with a blank."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _whole_words(
    ranks: Mapping[Pair, int], prefix: str, model: Mapping[str, Any]
) -> dict[str, int]:
    """The tokens that a word may be without being merged, with the number of merges from which on
    each is there."""
    words = dict.fromkeys(model["vocab"], 0)
    for number, (first, second) in reversed(list(enumerate(ranks, 1))):
        words[first + second.removeprefix(prefix)] = number
    return words


def _applied(symbols: Sequence[str], ranks: Mapping[Pair, int], prefix: str) -> Iterator[int]:
    """For each merge that is applied to a word, how many of all merges are needed for it.

    Always the lowest rank that can be is applied, at its first place. One that is lower than the
    last became possible by the last alone, so it needs that too. A linked list and a heap of pairs.
    """
    symbols = list(symbols)
    before, after = list(range(-1, len(symbols) - 1)), list(range(1, len(symbols) + 1))
    heap = [
        (ranks[pair], place, pair) for place, pair in enumerate(pairwise(symbols)) if pair in ranks
    ]
    heapq.heapify(heap)
    highest = 0
    while heap:
        rank, place, pair = heapq.heappop(heap)
        right = after[place]
        if right >= len(symbols) or (symbols[place], symbols[right]) != pair:
            continue
        highest = max(highest, rank + 1)
        yield highest
        symbols[place] += symbols[right].removeprefix(prefix)
        symbols[right] = ""  # gone: part of no pair
        after[place] = after[right]
        if after[place] < len(symbols):
            before[after[place]] = place
        for left in (before[place], place):
            if left >= 0 and after[left] < len(symbols):
                joined = (symbols[left], symbols[after[left]])
                if joined in ranks:
                    heapq.heappush(heap, (ranks[joined], left, joined))
