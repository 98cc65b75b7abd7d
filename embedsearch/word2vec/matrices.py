"""The two matrices of word2vec, laid out for the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import Vectors
    from embedsearch.word2vec.keyed_vectors import KeyedVectors

PADDING = 16
"""Rows are padded to a multiple of so many floats: one cache line, one `kernel.Lanes`."""
_LINE_BYTES = 64
_ROWS_AT_A_TIME = 1 << 12


@dataclass(frozen=True, kw_only=True)
class Matrices:
    """`syn0` has the vectors of words, `syn1` those of words as centres and noise.

    Both float32, shape (rows, padded size), on whole cache lines; the padding is zero.
    """

    syn0: NDArray[np.float32]
    syn1: NDArray[np.float32]
    vector_size: int

    @classmethod
    def initial(
        cls, rows: int, vector_size: int, seed: int, start: KeyedVectors | None = None
    ) -> Matrices:
        """Small random vectors and zeros as in word2vec.c; the first rows from `start`.

        Raises InputError where `start` has another vector size.
        """
        padded = -(-vector_size // PADDING) * PADDING
        syn0, syn1 = _zeros(rows, padded), _zeros(rows, padded)
        known = len(start) if start is not None else 0
        random = np.random.default_rng([seed, known])
        for at in range(known, rows, _ROWS_AT_A_TIME):
            chunk = syn0[at : at + _ROWS_AT_A_TIME, :vector_size]
            chunk[:] = (random.random(chunk.shape, np.float32) - 0.5) / vector_size
        if start is not None:
            if start.vector_size != vector_size:
                raise InputError(
                    f"the vectors to go on from have {start.vector_size} floats, not {vector_size}:"
                    f" set vector_size={start.vector_size}"
                )
            syn0[:known, :vector_size] = start.vectors
            if start.output is not None:
                syn1[:known, :vector_size] = start.output
        return cls(syn0=syn0, syn1=syn1, vector_size=vector_size)

    def sum_of_all(self) -> float:
        """Not finite where one of the numbers is not."""
        return sum(
            float(matrix[at : at + _ROWS_AT_A_TIME].sum(dtype=np.float64))
            for matrix in (self.syn0, self.syn1)
            for at in range(0, len(matrix), _ROWS_AT_A_TIME)
        )

    def release(self) -> tuple[Vectors, Vectors]:
        """Both matrices without the padding, in the same memory: this object is used up."""
        return _tight(self.syn0, self.vector_size), _tight(self.syn1, self.vector_size)


def _zeros(rows: int, padded: int) -> NDArray[np.float32]:
    spare = _LINE_BYTES // 4
    flat = np.zeros(rows * padded + spare, np.float32)
    first = -flat.ctypes.data // 4 % spare
    return flat[first : first + rows * padded].reshape(rows, padded)


def _tight(matrix: NDArray[np.float32], vector_size: int) -> Vectors:
    rows = len(matrix)
    tight = matrix.reshape(-1)[: rows * vector_size].reshape(rows, vector_size)
    for at in range(0, rows, _ROWS_AT_A_TIME):  # NumPy copies a part that overlaps itself first
        tight[at : at + _ROWS_AT_A_TIME] = matrix[at : at + _ROWS_AT_A_TIME, :vector_size]
    return tight
