"""BM25 as FTS5 computes it, from FTS5's own postings, read term by term and kept in memory.

`ORDER BY rank` costs FTS5 some microseconds for every row that holds any word of the query, which
for a question in plain language is most of them. The postings of one term, read through an
fts5vocab table, cost a tenth of that once, and nothing the next time. The scores are the same, so
which of the two answered cannot be told from a result.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from sqlite_utils import Database

from embedsearch.store.stems import Stems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedsearch.types import RowIds

K1, B = 1.2, 0.75
"""FTS5's constants."""

LEAST_IDF = 1e-6
"""What FTS5 takes for the weight of a term that more than half of the rows hold."""

CACHED_POSTINGS = 8_000_000
"""Postings kept in memory, 12 bytes each; beyond that all are dropped and read again as needed."""


class Postings:
    """The keyword index as of one state of the chunks; the caller makes a new one when they change.

    Memory: 16 bytes a chunk, and what `CACHED_POSTINGS` allows.
    """

    def __init__(self, db: Database) -> None:
        rows = db.execute("SELECT id, sz FROM chunks_fts_docsize ORDER BY id").fetchall()
        self._ids = np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))
        lengths = _lengths([row[1] for row in rows])
        average = max(float(lengths.sum()) / max(1, len(lengths)), 1e-9)
        self._norm = K1 * (1 - B + B * lengths / average)
        self._terms: dict[str, tuple[NDArray[np.int32], NDArray[np.float64]]] = {}
        self._cached = 0
        self._last: tuple[tuple[str, ...], NDArray[np.float64]] | None = None
        self._stems = Stems()

    def search(
        self, db: Database, terms: Sequence[str], limit: int, allowed: RowIds | None = None
    ) -> list[tuple[int, float]]:
        """The best (chunk row, score), best first, ties by row; `allowed` rows only, if given."""
        scores = self._scores(db, terms)
        found = np.flatnonzero(scores)
        if allowed is not None:
            found = np.intersect1d(found, self._positions(allowed), assume_unique=True)
        if len(found) > limit:
            least = np.partition(scores[found], len(found) - limit)[len(found) - limit]
            found = found[scores[found] >= least]
        best = found[np.lexsort((found, -scores[found]))][:limit]
        return list(zip(self._ids[best].tolist(), scores[best].tolist(), strict=True))

    def score(
        self, db: Database, terms: Sequence[str], rows: Sequence[int]
    ) -> list[tuple[int, float]]:
        """(chunk row, score) of those of `rows` that hold a term."""
        positions = self._positions(np.array(sorted(rows), dtype=np.int64))
        scores = self._scores(db, terms)[positions]
        found = scores > 0
        return list(zip(self._ids[positions[found]].tolist(), scores[found].tolist(), strict=True))

    def _scores(self, db: Database, terms: Sequence[str]) -> NDArray[np.float64]:
        """BM25 of every chunk, shape (chunks,); 0 where no term stands. Not to be written to: the
        last query's are kept, since hybrid search asks for them twice."""
        if self._last and self._last[0] == tuple(terms):
            return self._last[1]
        scores = np.zeros(len(self._ids))
        for stem, times in Counter(self._stems.of(terms)).items():
            positions, weights = self._posting(db, stem)
            scores[positions] += times * weights
        self._last = tuple(terms), scores
        return scores

    def _posting(self, db: Database, stem: str) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Positions of the chunks that hold the stem, and what it adds to the score of each."""
        known = self._terms.get(stem)
        if known is not None:
            return known
        db.execute(  # it goes with the transaction in which it was made
            "CREATE VIRTUAL TABLE IF NOT EXISTS temp.chunk_terms "
            "USING fts5vocab('main', 'chunks_fts', 'instance')"
        )
        (listed,) = db.execute(
            "SELECT group_concat(doc) FROM temp.chunk_terms WHERE term = ?", [stem]
        ).fetchone()
        occurrences = np.fromstring(listed or "", dtype=np.int64, sep=",")
        # They come row by row, so equal ones stand together.
        starts = np.flatnonzero(np.diff(occurrences, prepend=-1))
        rows, frequency = occurrences[starts], np.diff(starts, append=len(occurrences))
        positions = np.searchsorted(self._ids, rows).astype(np.int32)
        every, holding = len(self._ids), len(rows)
        idf = max(float(np.log((every - holding + 0.5) / (holding + 0.5))), LEAST_IDF)
        weights = idf * frequency * (K1 + 1) / (frequency + self._norm[positions])
        if self._cached > CACHED_POSTINGS:
            self._terms, self._cached = {}, 0
        self._terms[stem] = positions, weights
        self._cached += holding
        return positions, weights

    def _positions(self, rows: RowIds) -> NDArray[np.intp]:
        """Where `rows` (ascending) stand among the chunks; rows that are not there are left out."""
        positions = np.searchsorted(self._ids, rows)
        inside = positions < len(self._ids)
        positions, rows = positions[inside], rows[inside]
        return np.asarray(positions[self._ids[positions] == rows])


def _lengths(sizes: Sequence[bytes]) -> NDArray[np.float64]:
    """Tokens of each row. FTS5 keeps one varint a column: big-endian, seven bits a byte, the high
    bit set on all but the last (https://sqlite.org/fileformat2.html#varint)."""
    if not sizes:
        return np.ones(0)
    data = np.frombuffer(b"".join(sizes), dtype=np.uint8)
    ends = np.flatnonzero(data < 128)
    starts = np.concatenate(([0], ends[:-1] + 1))
    values = (data[starts] & 127).astype(np.int64)
    for more in range(1, int((ends - starts).max()) + 1):
        longer = ends - starts >= more
        values[longer] = values[longer] * 128 + (data[starts[longer] + more] & 127)
    return np.asarray(values.reshape(len(sizes), -1).sum(axis=1, dtype=np.float64))
