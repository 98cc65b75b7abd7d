"""What kind of thing a question asks for, and whether a sentence has one to offer.

The kinds are those of the usual taxonomies of question types (Li and Roth, "Learning Question
Classifiers", 2002), told by the question words alone; what they look for in a sentence are
surface signs: digits, years, capitals, words of reason and of place.
"""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["person", "time", "number", "place", "reason", "name"]

_NUMBERS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred thousand million billion half third quarter dozen once twice several single both"
)
_DAYS = (
    "January February March April May June July August September October November December "
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
)


_MEASURES = "many much long old far large big high tall deep fast often heavy wide"
_QUANTITIES = (
    "number percentage percent proportion amount price cost population rate ratio share size age "
    "distance temperature length height weight speed value"
)
_TIMES = "year date day month decade century centuries time period era age"
_PLACES = (
    "country countries city cities town state nation continent region place location area river "
    "island province county"
)
_PEOPLE = "person people man woman king queen"
_NAMED = "company organization organisation group party university school team book act treaty law"


def _one_of(words: str) -> str:
    return f"(?:{'|'.join(words.split())})"


def _asks(start: str, nouns: str = "") -> re.Pattern[str]:
    """A question word, or *what* or *which* with one of the nouns near behind it."""
    what = r"|\b(?:what|which)(?: (?:is|was|are|were) the)? (?:\w+ )?"
    noun = f"{what}{_one_of(nouns)}s?\\b" if nouns else ""
    return re.compile(start + noun, re.IGNORECASE)


_QUESTIONS: dict[Kind, re.Pattern[str]] = {
    "number": _asks(rf"\bhow {_one_of(_MEASURES)}\b", _QUANTITIES),
    "time": _asks(r"\bwhen\b|\bhow (?:recently|early|late)\b", _TIMES),
    "reason": _asks(r"\bwhy\b|\bhow come\b", "reason cause purpose motive"),
    "place": _asks(r"\bwhere\b", _PLACES),
    "person": _asks(r"\bwho(?:m|se)?\b", _PEOPLE),
    "name": _asks(r"\bnamed?\b|\bcalled\b|\bknown as\b", _NAMED),
}

_NUMBER = re.compile(rf"\d|\b{_one_of(_NUMBERS)}\b", re.IGNORECASE)
_TIME = re.compile(
    rf"\b1\d{{3}}\b|\b20\d\d\b|\b\d{{3,4}}s\b|\b{_one_of(_DAYS)}\b|\bcentur(?:y|ies)\b"
    r"|\b\d{1,4} (?:BC|AD|BCE|CE)\b"
)
_REASON = re.compile(
    r"\b(?:because|due to|in order|so that|since|thus|therefore|as a result|led to|caused?|reasons?"
    r"|owing to|for (?:fear|lack|this)|to (?:avoid|prevent|protect|escape|gain|make|allow|help))\b",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"\b(?:in|at|from|to|near|of|into|between|across|through)\s+(?:the\s+)?[A-Z]\w+"
)
_NAME = re.compile(r"(?<![.!?]\s)(?<!\A)\b[A-Z][\w'’.-]+")  # not the capital of a sentence

_SIGNS = {"number": _NUMBER, "time": _TIME, "place": _PLACE, "person": _NAME, "name": _NAME}


def kind_of(question: str) -> Kind | None:
    """What the question asks for, by the first of its words that tells; None where none does."""
    starts: dict[Kind, int] = {}
    for kind, pattern in _QUESTIONS.items():
        if found := pattern.search(question):
            starts[kind] = found.start()
    return min(starts, key=starts.__getitem__, default=None)


def offers(sentence: str, kind: Kind, question: str) -> bool:
    """Whether the sentence has a sign of what is asked for that does not stand in the question."""
    if kind == "reason":
        return _REASON.search(sentence) is not None
    known = question.casefold()
    found = _SIGNS[kind].finditer(sentence)
    return any(sign.group().casefold() not in known for sign in found)
