"""What songs are asked for by: the seeds as rows and vectors, and how much each counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.songs.cooccurrence import Scores
    from embedsearch.types import Vectors


@dataclass(frozen=True, kw_only=True)
class Query:
    """Seeds: `rows` (-1 for what is in no playlist), weights (n,), two vectors each (n, dim), and
    the numbers of their artists."""

    rows: tuple[int, ...]
    weights: Scores
    inputs: Vectors
    outputs: Vectors
    artists: tuple[tuple[int, ...], ...]

    @property
    def known(self) -> NDArray[np.intp]:
        """Places of the seeds that playlists have."""
        return np.flatnonzero(np.array(self.rows) >= 0)

    @property
    def unheard(self) -> NDArray[np.intp]:
        """Places of what no playlist has: songs known by their texts, a description."""
        return np.flatnonzero(np.array(self.rows) < 0)


def seed_weights(count: int, recency: float) -> Scores:
    """Weights of seeds in order: from exp(-recency) for the first up to 1 for the last."""
    ages = np.arange(count - 1, -1, -1, dtype=np.float32) / max(count - 1, 1)
    return np.exp(-recency * ages)
