"""A small world of invented facts: documents, questions, answers, as many as one likes.

Towns have a leader, a river, a trade and a year, drawn anew for every world. The words are the same
in all worlds; which belong together is not, so an answer has to be read from the passages.
"""

from __future__ import annotations

import json
import random
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedsearch.answers.answer import NO_ANSWER
from embedsearch.answers.prompting import Messages, Passage, prompt
from embedsearch.types import Document, Hit

_FIRST = "Al Ber Cor Dal El Fen Gar Hol Is Jor Kel Lun Mor Nev Or Pel Quin Ros Sar Tor".split()
_LAST = "adan ebel irik omond aster uton avia enor olas ipher agate ewick".split()
_NAMES = [first + last for first in _FIRST for last in _LAST]
random.Random(0).shuffle(_NAMES)
TOWNS, _RIVERS, _FAMILIES = _NAMES[:80], _NAMES[80:140], _NAMES[140:200]
_GIVEN = (
    "Ada Bela Cleo Dora Emil Fritz Greta Hugo Ines Jonas Karl Lena Mara Nils Olga Paul Quentin "
    "Rosa Sven Tilda Ulf Vera Wanda Xaver Yann Zoe"
).split()
_GOODS = (
    "amber barley copper cider felt glass honey iron lace linen marble oil paper pepper rope salt "
    "silk slate soap tea tin wax wine wool"
).split()
_RELATIONS = {
    "leader": ("The leader of {town} is {value}.", "Who is the leader of {town}?"),
    "river": ("The river of {town} is {value}.", "What is the river of {town}?"),
    "trade": ("The trade of {town} is {value}.", "What is the trade of {town}?"),
    "year": ("The first year of {town} is {value}.", "What is the first year of {town}?"),
}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What a town's leader, river, trade or first year is: one sentence, and what it answers."""

    town: str
    relation: str
    value: str

    @property
    def sentence(self) -> str:
        return _RELATIONS[self.relation][0].format(town=self.town, value=self.value)

    @property
    def question(self) -> str:
        return _RELATIONS[self.relation][1].format(town=self.town)

    @property
    def document(self) -> Document:
        return Document(id=f"{self.town}-{self.relation}".lower(), text=self.sentence)


def world(seed: int) -> list[Fact]:
    """All facts of a world, in an order drawn like them; the same for the same seed."""
    drawn = random.Random(seed)
    facts = [_fact(drawn, town, relation) for town in TOWNS for relation in _RELATIONS]
    drawn.shuffle(facts)
    return facts


def pairs(
    seed: int, count: int, *, passages: int, without: Container[Fact] = ()
) -> Iterator[tuple[Messages, str]]:
    """Prompts as `ask` makes them, with the responses wanted; no fact of `without` is in them.

    Every pair has a world of its own. As a search would find them, the other passages are about the
    same town or answer the same question about another one; there are `passages` or fewer. In one
    pair of eight nothing answers.
    """
    drawn = random.Random(seed)
    for _ in range(count):
        places = _neighbours(drawn, drawn.choice([*range(1, passages + 1), passages]) + 1)
        shown = [_fact_outside(drawn, *place, without) for place in places]
        asked, answered = shown[0], drawn.random() > 1 / 8
        shown = shown[:-1] if answered else shown[1:]
        drawn.shuffle(shown)
        yield _asked_from(asked, shown)


def held_out(seed: int, count: int, *, passages: int) -> list[tuple[Messages, str]]:
    """As `pairs`, about the facts of one world, all of them answered, with as many passages each
    and the right one at any place."""
    drawn = random.Random(seed)
    facts = {(fact.town, fact.relation): fact for fact in world(seed)}
    made = []
    for _ in range(count):
        shown = [facts[place] for place in _neighbours(drawn, passages)]
        asked = shown[0]
        drawn.shuffle(shown)
        made.append(_asked_from(asked, shown))
    return made


def write_pairs(
    path: Path, seed: int, count: int, *, passages: int, without: Container[Fact] = ()
) -> Path:
    """A file of JSON lines for `train lm`."""
    with path.open("w", encoding="utf-8") as file:
        for messages, response in pairs(seed, count, passages=passages, without=without):
            file.write(json.dumps({"prompt": messages, "response": response}) + "\n")
    return path


def _asked_from(asked: Fact, shown: Sequence[Fact]) -> tuple[Messages, str]:
    """The prompt that asks for a fact with these passages, and the response wanted."""
    response = f"{asked.sentence} [{shown.index(asked) + 1}]" if asked in shown else NO_ANSWER
    return prompt(asked.question, [_passage(i, f) for i, f in enumerate(shown, 1)]), response


def _neighbours(drawn: random.Random, count: int) -> list[tuple[str, str]]:
    """Town and relation of a fact, and of others of the same town or the same relation."""
    town, relation = drawn.choice(TOWNS), drawn.choice(list(_RELATIONS))
    places = [(town, relation)]
    while len(places) < count:
        if drawn.random() < 0.5:
            place = (town, drawn.choice(list(_RELATIONS)))
        else:
            place = (drawn.choice(TOWNS), relation)
        if place not in places:
            places.append(place)
    return places


def _fact_outside(drawn: random.Random, town: str, relation: str, without: Container[Fact]) -> Fact:
    fact = _fact(drawn, town, relation)
    while fact in without:
        fact = _fact(drawn, town, relation)
    return fact


def _fact(drawn: random.Random, town: str, relation: str) -> Fact:
    values = {
        "leader": f"{drawn.choice(_GIVEN)} {drawn.choice(_FAMILIES)}",
        "river": drawn.choice(_RIVERS),
        "trade": drawn.choice(_GOODS),
        "year": str(drawn.randint(1500, 1899)),
    }
    return Fact(town=town, relation=relation, value=values[relation])


def _passage(number: int, fact: Fact) -> Passage:
    document = fact.document
    end = len(document.text)
    hit = Hit(rank=number, document_id=document.id, score=1.0, text=document.text, start=0, end=end)
    return Passage(number=number, hit=hit, start=0, end=end)
