"""BM25 as FTS5 computes it, written from its documentation, over words that are known to stem so.

idf = max(ln((N - n + 0.5) / (n + 0.5)), 1e-6); a row's score is the sum over the query's terms of
idf * f * (k1 + 1) / (f + k1 * (1 - b + b * length / average length)), k1 = 1.2, b = 0.75.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence

K1, B = 1.2, 0.75
STEMS = {
    "running": "run",
    "runs": "run",
    "cats": "cat",
    "logging": "log",
    "logs": "log",
    "connected": "connect",
    "connection": "connect",
    "connections": "connect",
}
PLAIN = ["zebu", "lynx", "emu", "ox7", "cat", "run", "log", "connect"]
"""Words that are their own stems."""


def stem(word: str) -> str:
    bare = unicodedata.normalize("NFD", word.casefold())
    bare = "".join(c for c in bare if not unicodedata.combining(c))
    return STEMS.get(bare, bare)


def tokens(text: str) -> list[str]:
    composed = unicodedata.normalize("NFC", text)
    return [stem(word) for word in re.findall(r"[^\W_]+", composed)]


def bm25(texts: Mapping[int, str], terms: Sequence[str]) -> dict[int, float]:
    """Scores of the rows that hold a term, best first, ties by row."""
    rows = {row: tokens(text) for row, text in texts.items()}
    average = sum(map(len, rows.values())) / max(1, len(rows))
    scores: dict[int, float] = {}
    for term in map(stem, terms):
        holding = [row for row, words in rows.items() if term in words]
        n, count = len(holding), len(rows)
        idf = max(math.log((count - n + 0.5) / (n + 0.5)), 1e-6)
        for row in holding:
            f, length = rows[row].count(term), len(rows[row])
            gain = f * (K1 + 1) / (f + K1 * (1 - B + B * length / average))
            scores[row] = scores.get(row, 0.0) + idf * gain
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))
