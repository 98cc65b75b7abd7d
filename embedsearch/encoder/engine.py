"""What computes the vectors of a model folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from embedsearch.types import Vectors

Task = Literal["query", "document"]
"""Which side of the search a text stands on; it decides the prompt put before it."""


class Engine(Protocol):
    """For the same model folder, every engine computes the same vectors up to rounding."""

    @property
    def name(self) -> str:
        """For instance `torch`."""

    @property
    def device(self) -> str:
        """Where it computes, for instance `cpu` or `cuda:0`."""

    def embed(self, texts: list[str], task: Task) -> Vectors:
        """Unit vectors, C-contiguous float32 of shape (len(texts), dim); `texts` is not empty."""


ENGINE = "torch"
"""The engine that `SentenceEncoder` takes."""
