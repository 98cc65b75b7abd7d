"""What an encoder learns from, checked before anything is loaded."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal

from embedsearch.errors import InputError
from embedsearch.text.words import counted

Shape = Literal["pairs", "scored", "labelled"]

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
"""Soft hyphens, joiners and marks of direction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingPair:
    """A question and a text that answers it, perhaps with some that do not.

    `document` is the id of the document that the positive is from, where one is known. `place` says
    where the pair was read, for messages.
    """

    anchor: str
    positive: str
    negatives: tuple[str, ...] = ()
    document: str = ""
    place: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.anchor, self.positive, *self.negatives)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredPair:
    """Two texts and how alike they are, from 0 to 1."""

    first: str
    second: str
    score: float
    place: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.first, self.second)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledText:
    """A text and its class; texts of one class are alike."""

    text: str
    label: str
    place: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.text,)


Example = TrainingPair | ScoredPair | LabelledText
_SHAPES: dict[type, Shape] = {
    TrainingPair: "pairs",
    ScoredPair: "scored",
    LabelledText: "labelled",
}


def shape_of(examples: Sequence[Example]) -> Shape:
    """What the examples are; InputError where there are none or of several shapes."""
    if not examples:
        raise InputError("there are no examples to train on")
    kind = type(examples[0])
    other = next((number for number, each in enumerate(examples) if type(each) is not kind), None)
    if other is not None:
        raise InputError(
            f"{_place(examples, other)} is a {type(examples[other]).__name__}, the first example a "
            f"{kind.__name__}: train on one shape at a time"
        )
    if kind not in _SHAPES:
        raise InputError(
            f"examples must be TrainingPair, ScoredPair or LabelledText, not {kind.__name__}"
        )
    return _SHAPES[kind]


def check_examples(examples: Sequence[Example], batch_size: int) -> Shape:
    """The shape of examples that can be trained on; InputError names the first that cannot."""
    shape = shape_of(examples)
    for number, example in enumerate(examples):
        reason = _problem(example)
        if reason:
            raise InputError(f"{_place(examples, number)}: {reason}")
    if len(examples) < batch_size:
        raise InputError(
            f"{counted(len(examples), 'example')} cannot fill one batch of {batch_size}: bring "
            "more, or lower batch_size"
        )
    if shape == "labelled":
        _check_classes([each for each in examples if isinstance(each, LabelledText)])
    scores = {each.score for each in examples if isinstance(each, ScoredPair)}
    if shape == "scored" and len(scores) < 2:
        raise InputError("all pairs have the same score, so there is no order to learn")
    return shape


def _problem(example: Example) -> str:
    if isinstance(example, TrainingPair) and isinstance(example.negatives, str):
        return "its negatives are one text, not a list of them"
    for text in example.texts:
        if not isinstance(text, str):
            return f"a text is {type(text).__name__}, not a string"
        if not text.strip():
            return "a text is empty"
        if any("\ud800" <= character <= "\udfff" for character in text):
            return "a text has a lone surrogate"
    if isinstance(example, ScoredPair):
        if not isinstance(example.score, Real) or not 0 <= example.score <= 1:
            return f"the score {example.score!r} is not between 0 and 1"
    elif isinstance(example, TrainingPair):
        anchor, positive = normal(example.anchor), normal(example.positive)
        if anchor == positive:
            return f"both sides of the pair are equal: {example.anchor[:60]!r}"
        if any(normal(negative) in (anchor, positive) for negative in example.negatives):
            return "a negative equals the question or its answer"
    elif not isinstance(example.label, str) or not example.label.strip():
        return f"the label is no text, or empty: {example.label!r}"
    return ""


def _check_classes(examples: Sequence[LabelledText]) -> None:
    classes = Counter(example.label for example in examples)
    if len(classes) < 2:
        raise InputError(
            f"all texts have the label {next(iter(classes))!r}: it takes two classes to tell apart"
        )
    if max(classes.values()) < 2:
        raise InputError("no class has two texts, so there is nothing that belongs together")


def check_leakage(
    examples: Sequence[Example], held_out: Sequence[Example], questions: Sequence[str]
) -> None:
    """InputError where what is kept for measuring stands in the training data.

    Kept are `questions`, those of held-out pairs, and held-out labelled texts. None of them may be
    a text that training draws to another one: the question or the positive of a pair, either side
    of a scored pair, a labelled text. A negative is only pushed away, which tells nothing of what
    the kept one belongs to. Of a held-out scored pair it is the two texts together that may not
    be trained on, in either order and of either shape.
    """
    kept = {normal(each) for each in questions}
    kept |= {normal(each.texts[0]) for each in held_out if not isinstance(each, ScoredPair)}
    together = {_sides(each) for each in held_out if isinstance(each, ScoredPair)}
    leaked = [
        number
        for number, example in enumerate(examples)
        if not kept.isdisjoint(_sides(example)) or _sides(example) in together
    ]
    if leaked:
        first = examples[leaked[0]]
        told = next((text for text in first.texts[:2] if normal(text) in kept), first.texts[0])
        raise InputError(
            f"{len(leaked)} of {len(examples)} training examples are kept for measuring, which "
            f"would then prove nothing; the first is {_place(examples, leaked[0])}: "
            f"{told[:80]!r}. Take them out"
        )


def _sides(example: Example) -> tuple[str, ...]:
    """What an example draws together, in one order, to compare by."""
    return tuple(sorted(normal(text) for text in example.texts[:2]))


def asked(example: Example) -> str:
    """What an example asks, to compare by: its question, its text, or both sides of it."""
    if isinstance(example, ScoredPair):
        return " | ".join(sorted((normal(example.first), normal(example.second))))
    return normal(example.texts[0])


def normal(text: str) -> str:
    """A text to compare by: without its case, white space and invisible signs, in one form of
    Unicode."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
        text = unicodedata.normalize("NFKC", text.casefold())
    return " ".join(text.casefold().split())


def _place(examples: Sequence[Example], number: int) -> str:
    return examples[number].place or f"example {number + 1}"
