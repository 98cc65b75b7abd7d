"""Token vectors whose weighted sums come near to an encoder's vectors of the same texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedsearch.types import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

ROUNDS = 2
"""The lengths that the sums are divided by depend on the token vectors, so they are set anew."""
STEPS = 20


def bags_of(rows: list[list[int]], vocabulary: int) -> Any:
    """Counts of the token ids of each row: a SciPy CSR matrix of shape (len(rows), vocabulary)."""
    import numpy as np
    from scipy.sparse import csr_matrix

    ends = np.cumsum([0, *map(len, rows)])
    ids = np.fromiter((token for row in rows for token in row), dtype=np.int64, count=ends[-1])
    bags = csr_matrix(
        (np.ones(len(ids), dtype=np.float32), ids, ends), shape=(len(rows), vocabulary)
    )
    bags.sum_duplicates()
    return bags


def fit_tokens(
    bags: Any, targets: Matrix, tokens: Matrix, ridge: float, progress: Progress
) -> Matrix:
    """`tokens` moved towards the least squares between texts' sums of them and `targets`.

    Args:
        bags: counts, shape (texts, vocabulary).
        targets: unit vectors of the texts, shape (texts, dim).
        tokens: where to start and what is kept near to, shape (vocabulary, dim).
        ridge: weight of the squared distance from there; a token that no text has stays.

    A text's sum is taken at unit length, because that is how it is used. The idea is that of
    tokenlearn (https://github.com/MinishLab/tokenlearn), solved as ridge regression by conjugate
    gradients instead of by stochastic descent.
    """
    import numpy as np
    from scipy.sparse import diags

    progress.start("Fitting", ROUNDS * STEPS, "steps")
    for _ in range(ROUNDS):
        lengths = np.linalg.norm(bags @ tokens, axis=1)
        scaled = (diags(1 / np.maximum(lengths, 1e-6)) @ bags).astype(np.float32)
        tokens = tokens + _ridge(scaled, targets - scaled @ tokens, ridge, progress)
    return tokens


def _ridge(inputs: Any, targets: Matrix, ridge: float, progress: Progress) -> Matrix:
    """D that minimises |inputs D - targets|² + ridge |D|², every column by conjugate gradients
    (Hestenes and Stiefel 1952) from D = 0."""
    import numpy as np

    residual = inputs.T @ targets
    found = np.zeros_like(residual)
    direction = residual.copy()
    square = (residual * residual).sum(axis=0)
    weight, tiny = np.float32(ridge), np.float32(1e-20)
    for _ in range(STEPS):
        image = inputs.T @ (inputs @ direction) + weight * direction
        step = square / np.maximum((direction * image).sum(axis=0), tiny)
        found += step * direction
        residual -= step * image
        before, square = square, (residual * residual).sum(axis=0)
        direction = residual + square / np.maximum(before, tiny) * direction
        progress.advance(1)
    matrix: Matrix = found
    return matrix
