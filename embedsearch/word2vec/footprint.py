"""Memory that reading a text and loading a compiled kernel leave behind."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

MAPS = Path("/proc/self/maps")
_COMPILER = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-xp .*/libllvmlite[^/]*\.so$")
_MADV_DONTNEED = 4


def release_memory() -> None:
    """Gives back what is in memory and of no use any more, where the system is Linux.

    That is memory of the C library that was freed, and the pages of LLVM's code: 50 MB that are
    read to load a compiled kernel, as much as both matrices of 60,000 words take. They are clean
    pages of a file, so what is needed again is read again.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):  # glibc has it, musl does not
        library.malloc_trim(0)
    for line in MAPS.read_text(encoding="utf-8").splitlines():
        if found := _COMPILER.match(line):
            start, end = (int(group, 16) for group in found.groups())
            library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)
