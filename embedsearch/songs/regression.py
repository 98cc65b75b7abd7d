"""Songs by ridge regression of the seeds on the playlists nearest to them.

Each near playlist gets a weight, so that all of them together foretell the seeds; songs score the
weights of their playlists. Several editions of one playlist share the weight that counting would
give to each, and a playlist that resembles those which the seeds leave out may weigh less than
nothing. With all playlists and the same penalty these are the scores of EASE (Steck 2019,
"Embarrassingly shallow autoencoders for sparse data") before its diagonal is set to zero, by its
dual form: the matrix to be solved is as large as there are playlists, not songs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.songs.cooccurrence import Cooccurrence, Rows, Scores


_PRECISION = 1e-6
"""Of the residual, in shares of what is wanted; float32 holds little more."""
_MOST_STEPS = 500
"""At most: the smaller the penalty, the more are needed."""


class Regression:
    """The near playlists `numbers`, their songs, and how they are weighted for given seeds.

    Args:
        likeness: of all playlists, see `Cooccurrence.likeness`; those of 0 have no part.
        neighbours: how many playlists at most.
        penalty: of the weights' squares.
    """

    def __init__(
        self, playlists: Cooccurrence, likeness: Scores, neighbours: int, penalty: float
    ) -> None:
        near = np.flatnonzero(likeness)
        if len(near) > neighbours:
            near = np.sort(near[np.argpartition(-likeness[near], neighbours)[:neighbours]])
        self._playlists, self._near = playlists, near
        self._members = playlists.matrix[near]
        self._penalty = np.float32(penalty)

    def scores(self, seeds: Sequence[int], weights: Scores, rows: Rows) -> Scores:
        """Scores of songs, shape (rows,), with seeds that count as much as their weights."""
        wanted = np.zeros(len(self._playlists), np.float32)
        for seed, weight in zip(seeds, weights, strict=True):
            wanted[self._playlists.playlists_of(seed)] += weight
        found: Scores = (self._members.T @ self._solve(wanted[self._near]))[rows]
        return found

    def shares(self, seeds: Sequence[int], weights: Scores, row: int) -> NDArray[np.float32]:
        """What each seed adds to the score of a song, shape (seeds,)."""
        solved = self._solve(self._members[:, [row]].toarray()[:, 0])
        found: NDArray[np.float32] = weights * (self._members[:, list(seeds)].T @ solved)
        return found.astype(np.float32)

    def _solve(self, wanted: Scores) -> Scores:
        """The weights of the playlists, by conjugate gradients: few steps, and no square matrix."""
        from scipy.sparse.linalg import LinearOperator, cg

        members, turned, penalty = self._members, self._members.T, self._penalty
        products = LinearOperator(
            (len(wanted), len(wanted)),
            matvec=lambda weights: members @ (turned @ weights) + penalty * weights,
            dtype=np.float32,
        )
        solved, _ = cg(products, wanted, rtol=_PRECISION, maxiter=_MOST_STEPS)
        found: Scores = solved.astype(np.float32)
        return found
