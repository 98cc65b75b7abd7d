"""Words as the keyword index sees them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from embedsearch.store.schema import KEYWORD_TOKENIZER


class Stems:
    """Words as FTS5's tokenizer makes them: an FTS5 table of one row, in memory, is asked."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.execute(
            f"CREATE VIRTUAL TABLE words USING fts5(word, tokenize='{KEYWORD_TOKENIZER}')"
        )
        self._db.execute("CREATE VIRTUAL TABLE stems USING fts5vocab('words', 'instance')")

    def of(self, words: Sequence[str]) -> list[str]:
        self._db.execute("DELETE FROM words")
        self._db.execute("INSERT INTO words VALUES (?)", [" ".join(words)])
        return [row[0] for row in self._db.execute('SELECT term FROM stems ORDER BY "offset"')]
