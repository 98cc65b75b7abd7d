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
    """A document of one sentence, a question that it answers, and what the answer comes down to."""

    name: str
    sentence: str
    question: str
    value: str

    @property
    def document(self) -> Document:
        return Document(id=self.name.lower(), text=self.sentence)


_SENTENCES = (
    ("The leader of {name} is {person}.", "Who is the leader of {name}?", "person"),
    ("The river of {name} is {place}.", "What is the river of {name}?", "place"),
    ("The first year of {name} is {year}.", "What is the first year of {name}?", "year"),
    ("The trade of {name} is {goods}.", "What is the trade of {name}?", "goods"),
)


class World:
    """Draws facts about things of different names; the same for the same seed."""

    def __init__(self, seed: int, *, names: int = len(_FIRST) * len(_LAST)) -> None:
        """`names` is how many different names there are at most."""
        self._drawn = random.Random(seed)
        every = [first + last for first in _FIRST for last in _LAST]
        self._names = random.Random(0).sample(every, k=names)

    def facts(self, count: int) -> list[Fact]:
        """Facts about as many things."""
        return [self._fact(name) for name in self._drawn.sample(self._names, k=count)]

    def pairs(self, count: int, *, most_passages: int = 4) -> Iterator[dict[str, object]]:
        """Prompts as `ask` makes them, with the responses wanted, as objects for JSON lines.

        In one of ten nothing answers.
        """
        for _ in range(count):
            asked, *others = self.facts(self._drawn.randint(2, most_passages + 1))
            answered = self._drawn.random() > 0.1
            shown = [asked, *others[:-1]] if answered else others
            self._drawn.shuffle(shown)
            response = NO_ANSWER
            if answered:
                response = f"{asked.sentence} [{shown.index(asked) + 1}]"
            yield {"prompt": prompt(asked.question, _passages(shown)), "response": response}

    def _fact(self, name: str) -> Fact:
        choose = self._drawn.choice
        values = {
            "person": f"{choose(self._names)} {choose(self._names)}",
            "place": choose(self._names),
            "year": str(self._drawn.randint(1500, 1899)),
            "goods": choose(_GOODS),
        }
        sentence, question, kind = choose(_SENTENCES)
        return Fact(
            name=name,
            sentence=sentence.format(name=name, **values),
            question=question.format(name=name),
            value=values[kind],
        )


def _passages(facts: list[Fact]) -> list[Passage]:
    passages = []
    for number, document in enumerate((fact.document for fact in facts), start=1):
        hit = Hit(
            rank=number,
            document_id=document.id,
            score=1.0,
            text=document.text,
            start=0,
            end=len(document.text),
        )
        passages.append(Passage(number=number, hit=hit, start=0, end=hit.end))
    return passages


def write_pairs(
    path: Path, seed: int, count: int, *, most_passages: int = 4, names: int | None = None
) -> Path:
    """A file of JSON lines for `train lm`."""
    world = World(seed) if names is None else World(seed, names=names)
    with path.open("w", encoding="utf-8") as file:
        for pair in world.pairs(count, most_passages=most_passages):
            file.write(json.dumps(pair) + "\n")
    return path
