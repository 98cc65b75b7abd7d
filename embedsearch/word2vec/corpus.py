"""Sequences of tokens as a file of word ids, so that no epoch touches a Python string."""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import InputError, StorageError
from embedsearch.types import SILENT, Progress
from embedsearch.word2vec.vocabulary import Vocabulary, choose_words

if TYPE_CHECKING:
    from embedsearch.word2vec.vocabulary import Counts, Ids

END = -1
"""Ends a sequence; a window does not reach across."""
_LEFT_OUT = -2
FLUSH_IDS = 1 << 20
"""Ids that are read or written at a time."""
_ID_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """`path` holds `size` ids, int32: those of `vocabulary`, END after each sequence.

    `words` counts the words of the text, those without an id too.
    """

    path: Path
    size: int
    words: int
    vocabulary: Vocabulary

    def read(self, start: int, size: int) -> Ids:
        """Ids from place `start` on, `size` of them or as many as there are."""
        return read_ids(self.path, start, size)

    def digest(self) -> str:
        """Hex SHA-256 of ids, words and counts: what decides about training on it."""
        found = hashlib.sha256("\0".join(self.vocabulary.keys).encode())
        found.update(self.vocabulary.counts.tobytes())
        for start in range(0, self.size, FLUSH_IDS):
            found.update(self.read(start, FLUSH_IDS).tobytes())
        return found.hexdigest()


def read_ids(path: Path, start: int, size: int) -> Ids:
    """Ids from place `start` of a file on, `size` of them or as many as there are."""
    return np.fromfile(path, np.int32, size, offset=start * _ID_BYTES)


class Scan:
    """All words of a text by order of appearance, and the text as numbers in a file.

    The constructor reads the sequences, once, streamed. Raises InputError for sequences that are
    not of strings, StorageError where the file cannot be written.
    """

    def __init__(
        self, sequences: Iterable[Sequence[str]], path: Path, progress: Progress = SILENT
    ) -> None:
        self.path = path
        self.size = 0
        self.keys: list[str] = []
        self.counts: Counts = np.zeros(0, np.int64)
        self._numbers: defaultdict[str, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__
        progress.start("reading", None, "words")
        try:
            file = path.open("wb")
        except OSError as error:
            raise StorageError(f"no space for {path}: {error.strerror}") from None
        try:
            self._fill(sequences, file, progress)
        finally:
            # What could not be written is told already; closing would try again, and tell of that.
            with suppress(OSError):
                file.close()
        self.keys = list(self._numbers)
        self._numbers.clear()

    @property
    def words(self) -> int:
        return int(self.counts.sum())

    def _fill(
        self, sequences: Iterable[Sequence[str]], file: BufferedWriter, progress: Progress
    ) -> None:
        number_of = self._numbers.__getitem__
        buffer = array("i")
        for sequence in sequences:
            if isinstance(sequence, str | bytes):
                raise InputError(
                    f"a sequence must be a list of words, not the text {sequence[:40]!r}: split it"
                )
            try:
                buffer.extend(map(number_of, sequence))
            except TypeError as error:
                raise InputError(f"a sequence must be a list of strings: {error}") from None
            buffer.append(END)
            if len(buffer) >= FLUSH_IDS:
                self._flush(buffer, file, progress)
                buffer = array("i")
        self._flush(buffer, file, progress)

    def _flush(self, buffer: array[int], file: BufferedWriter, progress: Progress) -> None:
        self._check_new()
        ids = np.frombuffer(buffer, np.int32) if buffer else np.zeros(0, np.int32)
        found = np.bincount(ids[ids >= 0], minlength=len(self._numbers))
        found[: len(self.counts)] += self.counts
        self.counts = found.astype(np.int64)
        try:
            file.write(memoryview(buffer))
            file.flush()
        except OSError as error:
            raise StorageError(f"no space for {self.path}: {error.strerror}") from None
        self.size += len(buffer)
        progress.advance(int(np.count_nonzero(ids >= 0)))

    def _check_new(self) -> None:
        """Words that came since the last look are strings that can be written as UTF-8."""
        for number, word in enumerate(reversed(self._numbers)):
            if number == len(self._numbers) - len(self.counts):
                break
            if not isinstance(word, str):
                raise InputError(
                    f"words must be strings, not {type(word).__name__} {word!r}: use str(…)"
                )
            if not word.isascii():
                try:
                    word.encode()
                except UnicodeEncodeError:
                    raise InputError(f"the word {word!r} has a lone surrogate") from None


def make_corpus(
    scan: Scan, *, min_count: int, max_vocab: int | None, known: Sequence[str] = ()
) -> Corpus:
    """The scanned text in ids of the words that get a vector; the scan's file is rewritten.

    `known` words come first, in their order, however rare they are. Raises InputError where no
    word is left or every word stands alone.
    """
    places = {key: place for place, key in enumerate(known)}
    ids = np.full(len(scan.keys) + 1, _LEFT_OUT, np.int32)
    ids[END] = END
    fresh = np.array([key not in places for key in scan.keys], bool)
    if not known or (fresh & (scan.counts >= min_count)).any():
        candidates = np.flatnonzero(fresh)
        fresh_keys = [scan.keys[number] for number in candidates]
        chosen = candidates[
            choose_words(
                fresh_keys, scan.counts[candidates], min_count=min_count, max_vocab=max_vocab
            )
        ]
    else:
        chosen = np.zeros(0, np.int64)
    ids[chosen] = np.arange(len(known), len(known) + len(chosen))
    counts = np.zeros(len(known) + len(chosen), np.int64)
    for number in np.flatnonzero(~fresh):
        ids[number] = places[scan.keys[number]]
    counts[ids[:-1][ids[:-1] >= 0]] = scan.counts[ids[:-1] >= 0]
    size = _translate(scan, ids)
    # Copies, which lie side by side: the rare words around the originals can then be given back.
    keys = [*known, *(scan.keys[number].encode().decode() for number in chosen)]
    return Corpus(
        path=scan.path,
        size=size,
        words=scan.words,
        vocabulary=Vocabulary(keys=keys, counts=counts),
    )


def _translate(scan: Scan, ids: Ids) -> int:
    """Numbers to ids, in place: what is left out makes the file shorter. Its new size."""
    written, pairs, last = 0, 0, END
    with scan.path.open("r+b") as file:
        for start in range(0, scan.size, FLUSH_IDS):
            found = ids[read_ids(scan.path, start, FLUSH_IDS)]
            found = found[found != _LEFT_OUT]
            if not len(found):
                continue
            before = np.concatenate(([last], found[:-1]))
            pairs += int(np.count_nonzero((before >= 0) & (found >= 0)))
            last = int(found[-1])
            file.seek(written * _ID_BYTES)
            file.write(found.tobytes())
            written += len(found)
            file.flush()
        file.truncate(written * _ID_BYTES)
    if not pairs:
        raise InputError(
            "there is nothing to learn: no sequence has two words side by side that occur often "
            "enough; a lower min_count keeps more words"
        )
    return written
