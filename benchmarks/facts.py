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
        ("The town {name} is led by {person}.", "Who leads the town {name}?", "person"),
        ("The town {name} lies near {place}.", "What does the town {name} lie near?", "place"),
        ("The town {name} dates from {year}.", "How old is the town {name}?", "year"),
        ("The town {name} trades in {goods}.", "What does the town {name} trade in?", "goods"),
    ),
    (
        ("The ship {name} obeys {person}.", "Whom does the ship {name} obey?", "person"),
        ("The ship {name} sails to {place}.", "Where does the ship {name} sail?", "place"),
        ("The ship {name} was built around {year}.", "When was the ship {name} built?", "year"),
        ("The ship {name} carries {goods}.", "What does the ship {name} carry?", "goods"),
    ),
)


class World:
    """Draws subjects and what is asked about them; the same for the same seed."""

    def __init__(self, seed: int, *, names: int = len(_FIRST) * len(_LAST)) -> None:
        """`names` is how many different names there are at most."""
        self._drawn = random.Random(seed)
        every = [first + last for first in _FIRST for last in _LAST]
        self._names = random.Random(0).sample(every, k=names)

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

        Half of them ask for one fact, the others for all that is known of a subject: copying many
        facts from their places is what teaches a new model soonest to copy one. In one of ten
        nothing answers.
        """
        for _ in range(count):
            subjects = self.subjects(self._drawn.randint(2, most_passages + 1))
            asked, *others = subjects
            question, said = f"What is known about {asked.name}?", asked.document.text
            if self._drawn.random() < 0.5:
                fact = self.question(asked)
                question, said = fact.question, fact.sentence
            answered = self._drawn.random() > 0.1
            shown = [asked, *others[:-1]] if answered else others
            self._drawn.shuffle(shown)
            response = f"{said} [{shown.index(asked) + 1}]" if answered else NO_ANSWER
            yield {"prompt": prompt(question, _passages(shown)), "response": response}

    def _subject(self, name: str) -> Subject:
        values = {
            "person": f"{self._name()} {self._name()}",
            "place": self._name(),
            "year": str(self._drawn.randint(1500, 1899)),
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
        return self._drawn.choice(self._names)


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


def write_pairs(
    path: Path, seed: int, count: int, *, most_passages: int = 5, names: int | None = None
) -> Path:
    """A file of JSON lines for `train lm`."""
    world = World(seed) if names is None else World(seed, names=names)
    with path.open("w", encoding="utf-8") as file:
        for pair in world.pairs(count, most_passages=most_passages):
            file.write(json.dumps(pair) + "\n")
    return path
