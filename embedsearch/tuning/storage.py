"""What is on the disk, and what a full one says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NUMBER = re.compile(r"\(os error (\d+)\)")


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns what safetensors raises where it cannot write into the OSError of everybody else."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        found = _NUMBER.search(str(error))
        if found is None:
            raise OSError(str(error)) from None
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from None


def on_disk(path: Path, *, below: bool = True) -> None:
    """Waits until a file, or a folder with all that is `below` it, has reached the disk."""
    for each in (path, *(path.rglob("*") if below else ())):
        if each.is_file():
            with each.open("rb+") as file:  # Windows wants to be able to write for it
                os.fsync(file.fileno())
        elif os.name != "nt":  # where a folder cannot be opened
            handle = os.open(each, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
