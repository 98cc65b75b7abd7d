"""Examples as numbers: each text once, rows that name texts, and batches drawn from rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from embedsearch.encoder.training.examples import (
    Example,
    LabelledText,
    ScoredPair,
    TrainingPair,
    normal,
    shape_of,
)

if TYPE_CHECKING:
    import numpy as np

    from embedsearch.encoder.engine import Task

Text = tuple["Task", str]
Number = Callable[["Task", str], int]
"""The number of a text, given when it is new."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """An example; the numbers are those of texts. `answers` are all that belong to the anchor,
    `echoes` the documents that say it over again."""

    anchor: int
    positive: int
    negatives: tuple[int, ...] = ()
    score: float = 1.0
    answers: frozenset[int] = frozenset()
    echoes: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """`texts` with the side of a search that each stands on, and the rows made of them.

    With labels, `classes` has the texts of each row's class, of which an epoch draws the positive.
    """

    texts: Sequence[Text]
    rows: Sequence[Row]
    classes: Mapping[int, Sequence[int]]

    def epoch(self, seed: int, number: int, batch_size: int, negatives: int) -> list[list[Row]]:
        """The batches of an epoch, the same for the same numbers."""
        import numpy as np

        random = np.random.default_rng([seed, number])
        order = [self.rows[index] for index in random.permutation(len(self.rows))]
        drawn = [self._drawn(row, random, negatives) for row in order]
        return _batches(drawn, batch_size)

    def _drawn(self, row: Row, random: np.random.Generator, negatives: int) -> Row:
        positive = row.positive
        if row.anchor in self.classes:
            others = self.classes[row.anchor]
            while positive == row.anchor:
                positive = others[int(random.integers(len(others)))]
        kept = row.negatives
        if len(kept) > negatives:
            chosen = random.choice(len(kept), negatives, replace=False)
            kept = tuple(kept[index] for index in sorted(chosen))
        return replace(row, positive=positive, negatives=kept)


def make_dataset(examples: Sequence[Example]) -> Dataset:
    """Interns the texts. Anchors are queries, all other texts of pairs documents; a pair that comes
    again is left out. Labelled texts whose class has no other are there as negatives alone."""
    numbers: dict[Text, int] = {}

    def number(task: Task, text: str) -> int:
        return numbers.setdefault((task, text), len(numbers))

    shape = shape_of(examples)
    classes: dict[int, Sequence[int]] = {}
    if shape == "pairs":
        rows = _pair_rows([each for each in examples if isinstance(each, TrainingPair)], number)
    elif shape == "scored":
        rows = [
            Row(
                anchor=number("document", each.first),
                positive=number("document", each.second),
                score=each.score,
            )
            for each in examples
            if isinstance(each, ScoredPair)
        ]
    else:
        rows, classes = _labelled_rows(
            [each for each in examples if isinstance(each, LabelledText)], number
        )
    return Dataset(texts=list(numbers), rows=rows, classes=classes)


def _pair_rows(pairs: Sequence[TrainingPair], number: Number) -> list[Row]:
    """Questions and documents that differ in case or white space alone are taken for the same where
    one must not be told from the other."""
    texts = dict.fromkeys(text for pair in pairs for text in pair.texts)
    keys = {text: normal(text) for text in texts}
    answers: dict[str, set[str]] = defaultdict(set)
    documents: dict[str, set[int]] = defaultdict(set)
    negatives: dict[tuple[int, int], dict[int, None]] = {}
    questions: dict[int, str] = {}
    for pair in pairs:
        anchor, positive = number("query", pair.anchor), number("document", pair.positive)
        questions[anchor] = keys[pair.anchor]
        answers[questions[anchor]].add(keys[pair.positive])
        found = negatives.setdefault((anchor, positive), {})
        found.update(dict.fromkeys(number("document", text) for text in pair.negatives))
        for text in pair.texts[1:]:
            documents[keys[text]].add(number("document", text))
    shared = {
        question: frozenset(text for key in found for text in documents[key])
        for question, found in answers.items()
    }
    return [
        Row(
            anchor=anchor,
            positive=positive,
            negatives=tuple(each for each in found if each not in shared[questions[anchor]]),
            answers=shared[questions[anchor]],
            echoes=frozenset(documents.get(questions[anchor], ())),
        )
        for (anchor, positive), found in negatives.items()
    ]


def _labelled_rows(
    texts: Sequence[LabelledText], number: Number
) -> tuple[list[Row], dict[int, Sequence[int]]]:
    """A row for each text that has another of its class; one of several classes belongs to all."""
    members: dict[str, dict[int, None]] = defaultdict(dict)
    labels: dict[int, dict[str, None]] = defaultdict(dict)
    for each in texts:
        text = number("document", each.text)
        members[each.label].setdefault(text)
        labels[text].setdefault(each.label)
    together = {
        names: list(dict.fromkeys(text for name in names for text in members[name]))
        for names in {tuple(found) for found in labels.values()}
    }
    shared = {names: frozenset(found) for names, found in together.items()}
    rows: list[Row] = []
    classes: dict[int, Sequence[int]] = {}
    for found in members.values():
        for text in found:
            names = tuple(labels[text])
            if text not in classes and len(shared[names]) > 1:
                rows.append(Row(anchor=text, positive=text, answers=shared[names]))
                classes[text] = together[names]
    return rows, classes


def _batches(rows: Sequence[Row], size: int) -> list[list[Row]]:
    """Rows in batches in which no anchor and no positive comes twice: each goes into the first
    batch that has room for it and none of its texts.

    A single row that has no negative is dropped: there is nothing to tell its positive from.
    """
    batches: list[list[Row]] = []
    taken: list[set[int]] = []
    tried: dict[int, int] = {}  # before this batch none takes the text: looked for once, not anew
    with_room = 0

    def first(text: int) -> int:
        at = max(tried.get(text, 0), with_room)
        while at < len(batches) and (len(batches[at]) == size or text in taken[at]):
            at += 1
        tried[text] = at
        return at

    for row in rows:
        texts = {row.anchor, row.positive}
        at = max(map(first, texts))
        while at < len(batches) and (len(batches[at]) == size or texts & taken[at]):
            at += 1
        if at == len(batches):
            batches.append([])
            taken.append(set())
        batches[at].append(row)
        taken[at] |= texts
        while with_room < len(batches) and len(batches[with_room]) == size:
            with_room += 1
    return [batch for batch in batches if len(batch) > 1 or batch[0].negatives]
