"""What a training that is interrupted says: whether it goes on, and from what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOTHING_SAVED = "interrupted; nothing was saved, the same command begins anew"
_STATE = "state.json"
"""In the folder of every state, written as its last file."""


class Interrupted(Exception):  # noqa: N818 - it is none
    """An interruption from the keyboard, with what is to be said."""


@contextmanager
def resumable(state: Path, *, made: Path | None = None) -> Iterator[None]:
    """Raises Interrupted for an interruption. `state` is the folder that the training keeps its
    state in, `made` what it makes, where something else follows that."""
    try:
        yield
    except KeyboardInterrupt:
        told = NOTHING_SAVED
        if any(state.rglob(_STATE)):
            told = f"interrupted; the same command goes on from the state in {state}"
        elif made is not None and made.exists():
            told = f"interrupted; {made} is done, the same command goes on with what follows it"
        raise Interrupted(told) from None
