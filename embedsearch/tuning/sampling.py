"""A part of what is too much to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def sample_stream(stream: Iterable[Item], count: int, below: Callable[[int], int]) -> list[Item]:
    """At most `count` items of a stream, each as likely as any other, in no order; they alone are
    held (Vitter's algorithm R, 1985, "Random Sampling with a Reservoir").

    `below(n)` draws a whole number from 0 to n - 1.
    """
    kept: list[Item] = []
    for number, item in enumerate(stream):
        if number < count:
            kept.append(item)
        elif (place := int(below(number + 1))) < count:
            kept[place] = item
    return kept
