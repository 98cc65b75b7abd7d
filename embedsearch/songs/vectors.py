"""Songs by vectors alone.

Skip-gram with k negatives drawn evenly from n songs is right when sigmoid(u_s . v_t), with u the
vector of s and v the output vector of t, is P(t | s) / (P(t | s) + k / n): the chance that t is in
a playlist with s, against noise (Levy and Goldberg 2014). So the product with the same the other
way round is high where each song foretells the other, which a cosine of u with u tells worse: it
throws one of the matrices and the scale away.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.index import FaissFlat, NumpyIndex, faiss_available

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.songs.cooccurrence import Rows, Scores
    from embedsearch.types import Vectors

_BATCH_CELLS = 1 << 24


class SongVectors:
    """Two matrices of the training, float32 of shape (songs, vector_size): `inputs`, `outputs`."""

    def __init__(self, inputs: Vectors, outputs: Vectors) -> None:
        self.inputs, self.outputs = inputs, outputs

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def units(self) -> Vectors:
        """The inputs at unit length; a zero vector stays."""
        return unit(self.inputs)

    @cached_property
    def index(self) -> NumpyIndex:
        """Exact search among the units, by FAISS where it is installed."""
        kind = FaissFlat if faiss_available() else NumpyIndex
        return kind(np.arange(len(self), dtype=np.int64), self.units, checked=True)

    def nearest(self, query: Scores, count: int) -> tuple[Rows, Scores]:
        """The rows with the highest cosine to a vector, best first."""
        scores, rows = self.index.search(unit(query[None]), min(count, len(self)))
        return rows[0], scores[0]

    def affinity(
        self, inputs: Vectors, outputs: Vectors, rows: Rows | None = None
    ) -> NDArray[np.float32]:
        """How much each song and each seed foretell one another, within 0 and 1.

        Args:
            inputs, outputs: the two vectors of each seed, shape (seeds, vector_size).
            rows: the songs; None for all.

        Returns: shape (songs, seeds).
        """
        own = self.inputs if rows is None else self.inputs[rows]
        other = self.outputs if rows is None else self.outputs[rows]
        found: NDArray[np.float32] = sigmoid(other @ inputs.T)
        found *= sigmoid(own @ outputs.T)
        return found

    def scores(self, inputs: Vectors, outputs: Vectors, weights: Scores) -> Scores:
        """The weighted affinity of all songs, shape (songs,), in parts that fit in memory."""
        found = np.empty(len(self), np.float32)
        step = max(1, _BATCH_CELLS // max(len(inputs), 1))
        for at in range(0, len(self), step):
            rows = np.arange(at, min(at + step, len(self)))
            found[rows] = self.affinity(inputs, outputs, rows) @ weights
        return found


def unit(vectors: Vectors) -> Vectors:
    """Rows at unit length, shape as given; zero stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    norms[norms == 0] = 1
    return np.ascontiguousarray(vectors / norms, np.float32)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)), in place."""
    np.clip(logits, -30, 30, out=logits)
    np.negative(logits, out=logits)
    np.exp(logits, out=logits)
    logits += 1
    return np.reciprocal(logits, out=logits)
