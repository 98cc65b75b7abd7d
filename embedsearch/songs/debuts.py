"""Songs that first came up when the seeds did.

A list of the week's releases goes on with other releases of that week, though its songs may share
few playlists yet. So the time at which songs were first in a playlist is compared: how many of
the seeds came up about when a song did, against how many would have by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.songs.cooccurrence import Cooccurrence, Rows, Scores

SPANS = 100
"""Parts of equal size into which the playlists are cut, in their order."""
WIDTH = 1.5
"""Spans after which nearness in time has fallen to 1 / e."""
PRIOR = 5.0
"""Seeds that come up as chance has it, added to those given: few seeds tell little."""
OF_ALL = 0.2
"""What all playlists have in the expectation; the rest of it is that of the candidates."""


class Debuts:
    """The span in which each song was in a playlist for the first time, 0 for the latest."""

    def __init__(self, playlists: Cooccurrence) -> None:
        since_first, _ = playlists.ages
        self.spans = np.minimum((since_first * SPANS).astype(np.intp), SPANS - 1)
        plays = np.bincount(self.spans[playlists.songs], minlength=SPANS)
        self._plays = OF_ALL * plays / max(len(playlists.songs), 1)
        distances = np.abs(np.arange(SPANS)[:, None] - np.arange(SPANS))
        nearness = np.exp(-distances / WIDTH)
        self._nearness = nearness / nearness.sum(axis=1, keepdims=True)

    def factors(self, seeds: Sequence[int], rows: Rows, shared: Scores, weight: float) -> Scores:
        """What the scores of songs are multiplied by, shape (rows,); 1 where time tells nothing.

        (seeds of about that time / those expected) ** (weight * agreement). The agreement is how
        well the time of each seed is foretold by the others, so that playlists from all times, and
        single seeds, are left as they are.

        Args:
            seeds: at least one.
            rows: the candidates.
            shared: their scores by shared playlists, of which what is expected is made up.
        """
        if len(seeds) == 1:  # no other agrees with it
            return np.ones(len(rows), np.float32)
        count, own = len(seeds), self.spans[list(seeds)]
        sums = np.bincount(self.spans[rows], shared, SPANS)
        likely = sums * ((1 - OF_ALL) / max(float(sums.sum()), 1e-30)) + self._plays
        found, expected = np.stack((np.bincount(own, minlength=SPANS), likely)) @ self._nearness
        others = np.maximum(found[own] - self._nearness[own, own], 0)
        agreement = float(_logs(others, expected[own], count - 1).mean())
        exponent = weight * max(agreement, 0.0)
        factors: Scores = np.exp(exponent * _logs(found, expected, count)).astype(np.float32)
        return factors[self.spans[rows]]


def _logs(
    found: NDArray[np.float64], expected: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """log(share of `count` seeds / share expected), with those of `PRIOR` added to the seeds."""
    logs: NDArray[np.float64] = np.log((found + PRIOR * expected) / ((count + PRIOR) * expected))
    return logs
