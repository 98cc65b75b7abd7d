"""What is refused at the door of an index, so that the scoring code need not ask."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import InputError

if TYPE_CHECKING:
    from embedsearch.types import RowIds, Vectors

LONGEST = 1.001
"""The longest vector that passes for one of unit length: room for a float16 round trip."""

ROWS_AT_A_TIME = 8192


def check_ids(ids: RowIds, name: str = "ids") -> None:
    """Raises InputError unless `ids` is one row of int64, not negative, strictly ascending."""
    if not isinstance(ids, np.ndarray) or ids.dtype != np.int64 or ids.ndim != 1:
        raise InputError(f"{name} must be an int64 array of one dimension, not {_describe(ids)}")
    if len(ids) and ids[0] < 0:
        raise InputError(f"{name} must not be negative: the first is {ids[0]}")
    wrong = np.flatnonzero(ids[1:] <= ids[:-1])
    if len(wrong):
        at = int(wrong[0])
        raise InputError(f"{name} must be sorted and unique: {ids[at + 1]} follows {ids[at]}")


def check_shape(vectors: Vectors, dim: int | None, name: str = "vectors") -> None:
    """Raises InputError unless `vectors` is C-contiguous float32 of shape (n, dim)."""
    if (
        not isinstance(vectors, np.ndarray)
        or vectors.dtype != np.float32
        or vectors.ndim != 2
        or not vectors.flags.c_contiguous
    ):
        raise InputError(
            f"{name} must be a C-contiguous float32 array of shape (n, dim), "
            f"not {_describe(vectors)}; np.ascontiguousarray(x, np.float32) makes one"
        )
    if vectors.shape[1] < 1:
        raise InputError(f"{name} must have at least one dimension, not shape {vectors.shape}")
    if dim is not None and vectors.shape[1] != dim:
        raise InputError(
            f"{name} have {vectors.shape[1]} dimensions where the index has {dim}: "
            "they come from another model"
        )


def check_vectors(vectors: Vectors, dim: int | None, name: str = "vectors") -> None:
    """`check_shape`, and every row finite and not longer than one (shorter ones do no harm)."""
    check_shape(vectors, dim, name)
    for start in range(0, len(vectors), ROWS_AT_A_TIME):
        rows = vectors[start : start + ROWS_AT_A_TIME]
        with np.errstate(over="ignore"):  # infinite is too long as well
            squares = np.vecdot(rows, rows)
        right = squares <= LONGEST**2  # NaN is not <= anything
        if not right.all():
            at = int(right.argmin())
            raise InputError(
                f"row {start + at} of the {name} has length {math.sqrt(squares[at]):.6g}: it must "
                "be a unit vector, so that a score is the cosine"
            )


def check_k(k: int) -> int:
    """`k` as an int; InputError unless it is a whole number from 1."""
    try:
        number = operator.index(k)
    except TypeError:
        raise InputError(f"k must be a whole number, not {k!r}") from None
    if number < 1:
        raise InputError(f"k must be at least 1, not {k}")
    return number


def _describe(value: object) -> str:
    if not isinstance(value, np.ndarray):
        return type(value).__name__
    order = "" if value.flags.c_contiguous else ", not C-contiguous"
    return f"{value.dtype} of shape {value.shape}{order}"
