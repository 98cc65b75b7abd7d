"""What a full disk says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

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
