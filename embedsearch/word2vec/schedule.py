"""What belongs to a place in a training run: ids, learning rate, random numbers, progress."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedsearch.word2vec.config import Word2VecConfig
from embedsearch.word2vec.corpus import Corpus

if TYPE_CHECKING:
    from embedsearch.word2vec.vocabulary import Ids


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A corpus in blocks of `block_ids` ids. A sequence is cut where a block ends."""

    corpus: Corpus
    config: Word2VecConfig
    block_ids: int

    @property
    def blocks(self) -> int:
        return -(-self.corpus.size // self.block_ids)

    def read(self, block: int) -> Ids:
        """The ids of a block."""
        return self.corpus.read(block * self.block_ids, self.block_ids)

    def alpha(self, epoch: int, block: int) -> float:
        """The learning rate where a block begins."""
        done = epoch + min(block * self.block_ids / self.corpus.size, 1.0)
        first, last = self.config.alpha, self.config.min_alpha
        return first + (last - first) * done / self.config.epochs

    def seed(self, epoch: int, block: int) -> int:
        """Below 2**63. It depends on the place alone, whichever thread works there."""
        text = f"{self.config.seed} {epoch} {block}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1

    def words(self, block: int) -> int:
        """Words of the text in a block; those without a vector are spread evenly."""
        return self._words_before(block + 1) - self._words_before(block)

    def _words_before(self, block: int) -> int:
        return self.corpus.words * min(block * self.block_ids, self.corpus.size) // self.corpus.size
