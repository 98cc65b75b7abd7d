"""Which index to build: a rule of thumb, which `tune` then tries."""

from __future__ import annotations

import math
from dataclasses import dataclass

from embedsearch.index.config import IndexConfig

EXACT_BELOW = 30_000
"""Vectors up to which every row is scored: 384 dimensions take 2.5 ms, and nothing is missed."""

FLAT = "Flat"
LISTS_PER_ROOT = 0.75
"""Lists of an inverted file, in square roots of the vectors, to the nearest power of two. On
89,500 sentences with 192x4-bit codes 256 lists serve 1.2 to 1.4 times the queries of 512."""

SAMPLE_PER_LIST = 64
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


def choose(count: int, dim: int, config: IndexConfig, memory: int | None = None) -> Plan:
    """The index for `count` vectors. `memory` is what is free in bytes, None where unknown.

    The codes are 4-bit product quantization laid out for SIMD look-ups in registers (André,
    Kermarrec, Le Scouarnec, "Quicker ADC", 2018; FAISS's fast-scan) in an inverted file. They
    find candidates, which are scored exactly. A graph takes many times the memory and the time to
    build (benchmarks/neighbours.py measures both), so it is built on demand only.
    """
    if config.factory != "auto":
        return Plan(factory=bare(config.factory), sample=_sample(count, _lists(count)))
    if config.recall >= 1 or count < EXACT_BELOW:
        return Plan(factory=FLAT, sample=0)
    lists = _lists(count)
    plans = [(lists, code) for code in _codes(dim)]
    for place, (wanted, (code, code_bytes)) in enumerate(plans):
        sample = _sample(count, wanted)
        needed = count * (code_bytes + 8) + 2 * sample * dim * 4
        if memory is None or needed <= memory * MEMORY_SHARE:
            note = "smaller codes than usual, for want of memory" if place else ""
            return Plan(factory=f"IVF{wanted},{code}", sample=sample, note=note)
    return Plan(factory=FLAT, sample=0, note="no codes fit the memory that is free")


def bare(factory: str) -> str:
    """Without FAISS's own re-ranking: the vectors are there already, and are ranked exactly."""
    text = factory.strip()
    for ending in (",RFlat", ",Refine(Flat)"):
        text = text.removesuffix(ending)
    return text


def _lists(count: int) -> int:
    return 1 << max(4, round(math.log2(max(1.0, LISTS_PER_ROOT * math.sqrt(count)))))


def _sample(count: int, lists: int) -> int:
    return min(count, max(LEAST_SAMPLE, SAMPLE_PER_LIST * lists))


def _codes(dim: int) -> list[tuple[str, int]]:
    """Codes from fine to coarse, with their bytes: 2 dimensions in 4 bits, then 4, then 8."""
    found = [
        (f"PQ{dim // width}x4fs", -(-dim // width // 2))
        for width in (2, 3, 4, 5, 7, 8)
        if dim % width == 0
    ]
    return found or [("SQ8", dim)]
