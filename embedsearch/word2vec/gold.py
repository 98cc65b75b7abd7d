"""Measuring word vectors: analogy questions and pairs of words that people have rated.

Analogy files are those of word2vec.c: `: section` lines, then four words a line. Rated pairs are
`word1 word2 score`, separated by tabs or blanks. All files are UTF-8, `#` begins a remark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import InputError, NotFoundError
from embedsearch.word2vec.keyed_vectors import KeyedVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 256
_MAX_LINE = 10_000
_QUESTION_WORDS = 4

Question = tuple[str, str, str, str]


@dataclass(frozen=True, kw_only=True)
class Section:
    """Questions of one kind: all there are, those whose four words have vectors, those solved."""

    name: str
    questions: int
    covered: int
    correct: int

    @property
    def accuracy(self) -> float:
        """Of the covered questions; 0 where there is none."""
        return self.correct / self.covered if self.covered else 0.0


@dataclass(frozen=True, kw_only=True)
class Analogies:
    """Results by section."""

    sections: tuple[Section, ...]

    @property
    def total(self) -> Section:
        return Section(
            name="total",
            questions=sum(section.questions for section in self.sections),
            covered=sum(section.covered for section in self.sections),
            correct=sum(section.correct for section in self.sections),
        )


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Spearman's rank correlation with people's ratings, over the pairs of known words.

    `spearman` is None where fewer than two pairs are covered or all scores are the same.
    """

    spearman: float | None
    pairs: int
    covered: int


@dataclass(frozen=True, kw_only=True)
class GoldFile:
    """What a file holds: analogy questions by section, or rated pairs."""

    path: Path
    analogies: dict[str, list[Question]]
    pairs: list[tuple[str, str, float]]


def read_gold(path: str | Path) -> GoldFile:
    """Reads a file of analogies or of rated pairs; which, its first line tells.

    Raises NotFoundError, InputError with the line that cannot be read.
    """
    path = Path(path)
    analogies: dict[str, list[Question]] = {}
    pairs: list[tuple[str, str, float]] = []
    section: list[Question] | None = None
    for number, line in _lines(path):
        if line.startswith(":"):
            section = analogies.setdefault(line[1:].strip(), [])
            continue
        words = line.split("\t") if line.count("\t") >= 2 else line.split()
        if section is not None:
            if len(words) != _QUESTION_WORDS:
                raise InputError(f"{path}:{number}: an analogy has four words, not {len(words)}")
            section.append((words[0], words[1], words[2], words[3]))
        else:
            pairs.append(_rated_pair(words, f"{path}:{number}"))
    if not pairs and not any(analogies.values()):
        raise InputError(f"{path} has neither analogies nor rated pairs")
    return GoldFile(path=path, analogies=analogies, pairs=pairs)


def solve_analogies(vectors: KeyedVectors, sections: dict[str, list[Question]]) -> Analogies:
    """Each question a : b, c : d is solved when d is nearest to b - a + c, in unit vectors.

    The three given words are left out of the answers (3CosAdd). Every key is a possible answer.
    Keys that differ in case alone count as one word, whose vector is that of the first, the most
    frequent. gensim's `evaluate_word_analogies` counts the same, over the first 300,000 keys.
    """
    rows = _rows_by_folded_key(vectors)
    words = np.array([rows[key.casefold()] for key in vectors.keys], np.int64)
    others = _other_spellings(words)
    units = vectors.vectors / vectors.norms[:, None]
    found = []
    for name, questions in sections.items():
        known = [[_row(rows, word) for word in question] for question in questions]
        covered = np.array([four for four in known if None not in four], np.int64).reshape(-1, 4)
        correct = sum(
            _count_solved(units, covered[at : at + _BATCH], words, others)
            for at in range(0, len(covered), _BATCH)
        )
        found.append(
            Section(name=name, questions=len(questions), covered=len(covered), correct=correct)
        )
    return Analogies(sections=tuple(found))


def rate_pairs(vectors: KeyedVectors, pairs: Sequence[tuple[str, str, float]]) -> Similarity:
    """How well cosines rank the pairs. Words are looked up whatever their case."""
    rows = _rows_by_folded_key(vectors)
    cosines, scores = [], []
    for one, other, score in pairs:
        a, b = _row(rows, one), _row(rows, other)
        if a is not None and b is not None:
            product = float(vectors.vectors[a] @ vectors.vectors[b])
            cosines.append(product / (float(vectors.norms[a]) * float(vectors.norms[b])))
            scores.append(score)
    return Similarity(spearman=spearman(cosines, scores), pairs=len(pairs), covered=len(scores))


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """The correlation of the ranks, equal values sharing the mean of theirs."""
    if len(one) < 2:
        return None
    a, b = _ranks(one), _ranks(other)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale else None


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    _, place, times = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last: NDArray[np.int64] = np.cumsum(times)
    ranks: NDArray[np.float64] = (last - (times - 1) / 2)[place]
    return ranks


def _count_solved(
    units: NDArray[np.float32],
    questions: NDArray[np.int64],
    words: NDArray[np.int64],
    others: dict[int, list[int]],
) -> int:
    """`words` has the row that stands for each row's word, `others` all other rows of a word."""
    a, b, c, d = questions.T
    scores = (units[b] - units[a] + units[c]) @ units.T
    for place, given in enumerate(questions[:, :3].tolist()):
        for row in given:
            scores[place, [row, *others.get(row, ())]] = -np.inf
    return int(np.count_nonzero(words[scores.argmax(axis=1)] == d))


def _other_spellings(words: NDArray[np.int64]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for row in np.flatnonzero(words != np.arange(len(words))).tolist():
        found.setdefault(int(words[row]), []).append(row)
    return found


def _rows_by_folded_key(vectors: KeyedVectors) -> dict[str, int]:
    rows: dict[str, int] = {}
    for row, key in enumerate(vectors.keys):
        rows.setdefault(key.casefold(), row)
    return rows


def _row(rows: dict[str, int], word: str) -> int | None:
    return rows.get(word.casefold())


def _rated_pair(words: list[str], place: str) -> tuple[str, str, float]:
    try:
        one, other, score = (word.strip() for word in words[:3])
        value = float(score)
    except ValueError:
        raise InputError(
            f"{place}: a rated pair is `word1 word2 score`, not {' '.join(words)[:80]!r}"
        ) from None
    if not math.isfinite(value):
        raise InputError(f"{place}: the score is {score}, not a number")
    return one, other, value


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that hold something, with their numbers from 1."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(iter(lambda: file.readline(_MAX_LINE), b""), 1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if line and not line.startswith("#"):
                    yield number, line
    except FileNotFoundError:
        raise NotFoundError(f"no such file: {path}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
