"""Which index to build: a rule of thumb, which `tune` then tries."""

from __future__ import annotations

import math
from dataclasses import dataclass

from embedsearch.index.config import IndexConfig

EXACT_BELOW = 30_000
"""Vectors up to which every row is scored: 384 dimensions take 2.5 ms, and nothing is missed."""

FLAT = "Flat"
LISTS_PER_ROOT = 0.45
"""Lists of an inverted file, in square roots of the vectors, to the nearest power of two. On
300,000 sentences 256 lists serve 1.1 to 1.2 times the single queries of 512, and up to 1.3 times
those of 128."""

SAMPLE_PER_LIST = 256
"""FAISS's k-means looks at no more."""

SMALL_SAMPLE_PER_LIST = 64
"""Where memory is short."""

LEAST_SAMPLE = 20_000
MEMORY_SHARE = 0.5
"""Of the memory that is free, what building may take: the rest belongs to others."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`factory` is a FAISS factory string, `Flat` for exact search. `sample` vectors train it."""

    factory: str
    sample: int
    note: str = ""

    @property
    def exact(self) -> bool:
        return self.factory == FLAT


def choose(
    count: int, dim: int, config: IndexConfig, memory: int | None = None
) -> tuple[Plan, ...]:
    """The indexes to try for `count` vectors: each where the one before misses the recall.

    `memory` is what is free in bytes, None where unknown. The codes are 4-bit product quantization
    laid out for SIMD look-ups in registers (André, Kermarrec, Le Scouarnec, "Quicker ADC", 2018;
    FAISS's fast-scan) in an inverted file. They find candidates, which are scored exactly. A graph
    takes many times the memory and the time to build (benchmarks/neighbours.py measures both), so
    it is built on demand only.
    """
    if config.factory != "auto":
        return (Plan(factory=bare(config.factory), sample=_sample(count, _lists(count))),)
    if config.recall >= 1 or count < EXACT_BELOW:
        return (Plan(factory=FLAT, sample=0),)
    lists = _lists(count)

    def fitting(codes: list[tuple[str, int]], sample: int, note: str = "") -> tuple[Plan, ...]:
        room = math.inf if memory is None else memory * MEMORY_SHARE
        return tuple(
            Plan(factory=f"IVF{lists},{code}", sample=sample, note=note)
            for code, size in codes
            if count * (size + 8) + 2 * sample * dim * 4 <= room
        )

    small = "smaller codes than usual, for want of memory"
    return (
        fitting(_codes(dim), _sample(count, lists))
        or fitting(_smaller_codes(dim), _sample(count, lists, SMALL_SAMPLE_PER_LIST), small)[:1]
        or (Plan(factory=FLAT, sample=0, note="no codes fit the memory that is free"),)
    )


def bare(factory: str) -> str:
    """Without FAISS's own re-ranking: the vectors are there already, and are ranked exactly."""
    text = factory.strip()
    for ending in (",RFlat", ",Refine(Flat)"):
        text = text.removesuffix(ending)
    return text


def _lists(count: int) -> int:
    return 1 << max(4, round(math.log2(max(1.0, LISTS_PER_ROOT * math.sqrt(count)))))


def _sample(count: int, lists: int, per_list: int = SAMPLE_PER_LIST) -> int:
    return min(count, max(LEAST_SAMPLE, per_list * lists))


def _codes(dim: int) -> list[tuple[str, int]]:
    """Codes with their bytes, those to try first before finer ones.

    Four dimensions in 4 bits: half the bytes of two serve more queries one by one, as these wait
    for memory, although twice as many candidates have to be scored (on 300,000 sentences 1.4 times
    as many at recall 0.95, 1.6 at 0.99).
    """
    width = next((width for width in (4, 3) if dim % width == 0), None)
    found = [_product_codes(dim, width)] if width else []
    return [*found, _product_codes(dim, 2) if dim % 2 == 0 else ("SQ8", dim)]


def _smaller_codes(dim: int) -> list[tuple[str, int]]:
    return [_product_codes(dim, width) for width in (5, 6, 7, 8) if dim % width == 0]


def _product_codes(dim: int, width: int) -> tuple[str, int]:
    """4 bits for every `width` dimensions, and what that takes."""
    return f"PQ{dim // width}x4fs", -(-dim // width // 2)
