import sys

import pytest

from embedsearch.word2vec import Word2VecConfig, footprint, train_word2vec
from tests.word2vec.texts import sentences

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is given back on Linux")


def resident_compiler() -> int:
    """Kilobytes of LLVM's code in memory."""
    found, inside = 0, False
    for line in footprint.MAPS.with_name("smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            inside = "libllvmlite" in line and " r-xp " in line
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


def test_the_compiler_leaves_memory_and_can_come_back():
    import numba

    numba.njit(lambda x: x + 1)(1)
    before = resident_compiler()
    assert before > 10_000
    config = Word2VecConfig(vector_size=16, min_count=1, epochs=1)
    train_word2vec(sentences(20), config)
    assert resident_compiler() < before / 2
    assert numba.njit(lambda x: x + 2)(1) == 3
