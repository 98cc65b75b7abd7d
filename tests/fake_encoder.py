"""An encoder without a model: quick, the same everywhere, and words decide what is similar.

It stands in for a model where a test is about something else: the store, the collection, what
becomes of both when a process dies.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_TOKEN = re.compile(r"\w+|[^\w\s]")


class FakeTokens:
    """Words and single marks; `offsets` are exact."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [sum(1 for _ in _TOKEN.finditer(text)) for text in texts]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return [found.span() for found in _TOKEN.finditer(text)]


class FakeEncoder:
    """A `types.Encoder`: a text's vector is the sum of its words' random vectors, of unit length.

    `seed` draws the vectors of words and so stands for the weights: with `dim` it decides the
    fingerprint. `delay` seconds pass before each batch of documents is done, so that there is a
    middle in which a process can be killed.
    """

    engine = "fake"
    max_tokens = 64

    def __init__(self, dim: int = 32, seed: int = 0, delay: float = 0.0) -> None:
        self.dim = dim
        self.seed = seed
        self.delay = delay
        self.name = f"fake-{dim}-{seed}"
        self.fingerprint = hashlib.sha256(self.name.encode()).hexdigest()
        self.tokens = FakeTokens()

    def encode_query(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self._encode(text) for text in texts]) if texts else self._none()

    def encode_document(self, texts: Sequence[str]) -> NDArray[np.float32]:
        time.sleep(self.delay)
        return self.encode_query(texts)

    def _none(self) -> NDArray[np.float32]:
        return np.empty((0, self.dim), dtype=np.float32)

    def _encode(self, text: str) -> NDArray[np.float32]:
        words = [found.group().casefold() for found in _TOKEN.finditer(text)][: self.max_tokens]
        total = np.sum([_word(word, self.dim, self.seed) for word in words or [""]], axis=0)
        return np.asarray(total / np.linalg.norm(total), dtype=np.float32)


@lru_cache(maxsize=50_000)
def _word(word: str, dim: int, seed: int) -> NDArray[np.float64]:
    digest = hashlib.sha256(f"{seed}:{word}".encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:8])).standard_normal(dim)
