"""A small world of invented facts: documents, questions, answers, as many as one likes.

Names are put together from syllables. What is drawn for one seed shares with what is drawn for
another the syllables and the words, hardly a name and no fact.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedsearch.answers import NO_ANSWER
from embedsearch.prompting import Passage, prompt
from embedsearch.types import Document, Hit

_FIRST = (
    "Al Ber Cor Dal El Fen Gar Hol Is Jor Kel Lun Mor Nev Or Pel Quin Ros Sar Tor Ul Ver Wil Yar "
    "Zan Bra Cly Dru Fro Gli"
).split()
_LAST = (
    "adan ebel irik omond aster uton avia enor olas ipher agate ewick oren idor umar elis afold "
    "ibury oheim alow enia otas uvel igor asen"
).split()
_GOODS = (
    "amber barley copper cider felt glass honey iron lace linen marble oil paper pepper rope salt "
    "silk slate soap tea tin wax wine wool"
).split()


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A sentence of a document, a question that it answers, and what the answer comes down to."""

    sentence: str
    question: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something that a document is about."""

    name: str
    facts: tuple[Fact, ...]

    @property
    def document(self) -> Document:
        text = " ".join(fact.sentence for fact in self.facts)
        return Document(id=self.name.lower(), title=self.name, text=text)


_KINDS: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (
        ("{name}'s mayor is {person}.", "Who is the mayor of {name}?", "person"),
        ("{name}'s river is the {place}.", "What is the river of {name}?", "place"),
        ("{name}'s founding year is {year}.", "In which year was {name} founded?", "year"),
        ("{name}'s trade is in {goods}.", "What does {name} trade in?", "goods"),
    ),
    (
        ("{name}'s captain is {person}.", "Who is the captain of the {name}?", "person"),
        ("{name}'s home port is {place}.", "What is the home port of the {name}?", "place"),
        ("{name}'s first voyage was in {year}.", "When was the first voyage of {name}?", "year"),
        ("{name}'s cargo is {goods}.", "What is the cargo of the {name}?", "goods"),
    ),
)


class World:
    """Draws subjects and what is asked about them; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._drawn = random.Random(seed)

    def subjects(self, count: int) -> list[Subject]:
        """Subjects of different names."""
        names: dict[str, None] = {}
        while len(names) < count:
            names[self._name()] = None
        return [self._subject(name) for name in names]

    def question(self, subject: Subject) -> Fact:
        return self._drawn.choice(subject.facts)

    def pairs(self, count: int, *, most_passages: int = 5) -> Iterator[dict[str, object]]:
        """Prompts as `ask` makes them, with the responses wanted, as objects for JSON lines.

        In one of ten nothing answers.
        """
        for _ in range(count):
            subjects = self.subjects(self._drawn.randint(2, most_passages + 1))
            asked, *others = subjects
            fact, answered = self.question(asked), self._drawn.random() > 0.1
            shown = others if not answered else [asked, *others[:-1]]
            self._drawn.shuffle(shown)
            response = NO_ANSWER
            if answered:
                response = f"{fact.sentence} [{shown.index(asked) + 1}]"
            yield {"prompt": prompt(fact.question, _passages(shown)), "response": response}

    def _subject(self, name: str) -> Subject:
        values = {
            "person": f"{self._name()} {self._name()}",
            "place": self._name(),
            "year": str(self._drawn.randint(1000, 1999)),
            "goods": self._drawn.choice(_GOODS),
        }
        facts = [
            Fact(
                sentence=sentence.format(name=name, **values),
                question=question.format(name=name),
                value=values[kind],
            )
            for sentence, question, kind in self._drawn.choice(_KINDS)
        ]
        return Subject(name=name, facts=tuple(self._drawn.sample(facts, k=len(facts))))

    def _name(self) -> str:
        choose = self._drawn.choice
        return choose(_FIRST) + choose(_LAST)


def _passages(subjects: list[Subject]) -> list[Passage]:
    passages = []
    for number, document in enumerate((subject.document for subject in subjects), start=1):
        hit = Hit(
            rank=number,
            document_id=document.id,
            score=1.0,
            text=document.text,
            start=0,
            end=len(document.text),
            title=document.title,
        )
        passages.append(Passage(number=number, hit=hit, start=0, end=hit.end))
    return passages


def write_pairs(path: Path, seed: int, count: int, *, most_passages: int = 5) -> Path:
    """A file of JSON lines for `train lm`."""
    with path.open("w", encoding="utf-8") as file:
        for pair in World(seed).pairs(count, most_passages=most_passages):
            file.write(json.dumps(pair) + "\n")
    return path
