"""Paths that people type."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from embedsearch.errors import InputError

_SHOWN = 200


def typed_path(path: str | Path) -> Path:
    """The path with `~` resolved; InputError for what no file can be called, or where none may be
    looked for."""
    shown = f"the path {_cut(str(path))!r}"
    if "\0" in str(path):
        raise InputError(f"{shown} has a null character, which no path has")
    try:
        found = Path(path).expanduser()
        os.lstat(found)
        found.stat()
    except (UnicodeEncodeError, RuntimeError) as error:  # RuntimeError: `~name` of nobody's
        raise InputError(f"{shown} cannot be used: {error}") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{shown} is too long for a path") from None
        if error.errno == errno.ELOOP:
            raise InputError(f"{shown} is one of links that lead back to themselves") from None
        if isinstance(error, PermissionError):
            raise InputError(f"{shown} cannot be used: you may not enter its folder") from None
    return found


def _cut(path: str) -> str:
    return path if len(path) <= _SHOWN else f"{path[:_SHOWN]}…"
