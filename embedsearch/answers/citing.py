"""Whether what a language model wrote stands in the passages that it was given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from embedsearch.answers.answer import NO_ANSWER, Citation, Problem
from embedsearch.answers.markers import (
    markers_before,
    numbers_of,
    set_markers,
    without_markers,
)
from embedsearch.answers.prompting import Passage
from embedsearch.answers.words import Words
from embedsearch.text.sentences import sentences

LEAST_SHARE = 0.5
"""A sentence is supported when this share of its words stands in what it cites or the question."""

_QUOTES = re.compile(
    r'(?<!\w)"([^"\n]+)"'  # 5" is a length
    r"|„([^“”\n]+)[“”]|“([^”\n]+)”|»([^«»\n]+)«|«([^»\n]+)»|「([^」\n]+)」"
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r"[.,](?=\d{3}(?!\d))")
_SMALL = "zero one two three four five six seven eight nine ten eleven twelve".split()
_ITEM = re.compile(r"\A(?:[-*+•]\s+)?\(?\d{1,3}[.)](?:\s+|\Z)")
_AROUND = re.compile(r"^[\W_]+|[\W_]+$")
_NOT_QUOTED = ".,;:!? "


@dataclass(frozen=True, kw_only=True)
class Checked:
    """`text` has the markers of `citations` and no others."""

    text: str
    citations: tuple[Citation, ...]
    problems: tuple[Problem, ...]


def says_nothing(text: str) -> bool:
    """Whether the model wrote that the passages do not answer."""
    said, _ = set_markers(text, ())
    return not _folded(said) or _folded(said).startswith(_folded(NO_ANSWER))


def check(text: str, question: str, passages: Sequence[Passage]) -> Checked:
    """Compares every marker, quote and sentence of an answer with the passages.

    A marker that points to no passage is taken out. A quote must stand in a passage that its
    sentence cites, character by character but for runs of white space. A sentence must cite, and
    what it cites must hold its numbers and half of its other words.
    """
    given = {passage.number: passage for passage in passages}
    text, unknown = set_markers(text, given)
    problems = [Problem(kind="marker", text=f"[{number}]") for number in unknown]
    words = _Known(question)
    citations: dict[tuple[str, int, int], Citation] = {}
    for statement in _statements(text):
        cited = [given[n] for n in dict.fromkeys(numbers_of(statement)) if n in given]
        said = _ITEM.sub("", without_markers(statement), count=1)
        if not any(map(str.isalnum, said)):
            continue
        places, wrong = _check_quotes(said, question, cited)
        problems += [Problem(kind="quote", text=quote) for quote in wrong]
        if not words.supported(said, cited):
            problems.append(Problem(kind="support", text=said))
        for passage in cited:
            start, end = places.get(passage.number) or words.nearest(said, passage)
            found = _citation(passage, start, end)
            citations.setdefault((found.marker, found.start, found.end), found)
    return Checked(text=text, citations=tuple(citations.values()), problems=tuple(problems))


def _statements(text: str) -> list[str]:
    """The sentences, each with its markers, also with those that stand behind the full stop."""
    found: list[str] = []
    for start, end in sentences(text):
        sentence = text[start:end]
        if found and (markers := markers_before(sentence)):
            found[-1] += f" {markers}"
            sentence = sentence.removeprefix(markers)
        if sentence.strip():
            found.append(sentence)
    return found


def _check_quotes(
    said: str, question: str, cited: Sequence[Passage]
) -> tuple[dict[int, tuple[int, int]], list[str]]:
    """Where quotes stand, (start, end) in the passage by its number; and those that do not."""
    places: dict[int, tuple[int, int]] = {}
    wrong: list[str] = []
    for match in _QUOTES.finditer(said):
        quote = next(part for part in match.groups() if part is not None)
        if not any(map(str.isalnum, quote)):
            continue
        found = {p.number: place for p in cited if (place := _find(quote, p.text))}
        places = found | places
        if not found and _find(quote, question) is None:
            wrong.append(quote)
    return places, wrong


def _find(quote: str, text: str) -> tuple[int, int] | None:
    """The place of a quote in a text; a full stop may belong to the sentence around it, and what
    the model was given has `&lt;` in some places (prompting.py)."""
    as_it_was = quote.replace("&lt;", "<")
    for form in (quote.strip(), quote.strip(_NOT_QUOTED), as_it_was.strip(_NOT_QUOTED)):
        if not form:
            continue
        if found := re.search(r"\s+".join(map(re.escape, form.split())), text):
            return found.span()
    return None


def _citation(passage: Passage, start: int, end: int) -> Citation:
    return Citation(
        marker=f"[{passage.number}]",
        document_id=passage.hit.document_id,
        start=passage.start + start,
        end=passage.start + end,
        text=passage.text[start:end],
    )


class _Known:
    """Compares words and numbers of statements with those of passages and of the question."""

    def __init__(self, question: str) -> None:
        self._words = Words()
        self._question = self._words.of(question)
        self._numbers = _numbers(question)

    def supported(self, said: str, cited: Sequence[Passage]) -> bool:
        if not cited:
            return False
        source = " ".join(f"{passage.label} {passage.text}" for passage in cited)
        if not _numbers(said) <= _numbers(source) | _small_numbers(source) | self._numbers:
            return False
        words = self._words.of(said)
        return len(words & (self._of_all(source) | self._question)) >= LEAST_SHARE * len(words)

    def _of_all(self, text: str) -> set[str]:
        """The words of a text of any length, which a query is not."""
        found: set[str] = set()
        for start, end in sentences(text):
            found |= self._words.of(text[start:end])
        return found

    def nearest(self, said: str, passage: Passage) -> tuple[int, int]:
        """The sentence of a passage that has most words of the statement."""
        words = self._words.of(said)
        return max(
            sentences(passage.text),
            key=lambda span: len(words & self._words.of(passage.text[span[0] : span[1]])),
        )


def _numbers(text: str) -> set[str]:
    """The numbers of a text: `1,000` is 1000, `07` is 7, and `1,2` are two."""
    found = (_THOUSANDS.sub("", number).split(",") for number in _NUMBER.findall(text))
    return {number.lstrip("0") or "0" for numbers in found for number in numbers}


def _small_numbers(text: str) -> set[str]:
    """Those that stand there as words."""
    words = set(re.findall(r"\w+", text.casefold()))
    return {str(number) for number, word in enumerate(_SMALL) if word in words}


def _folded(text: str) -> str:
    return _AROUND.sub("", " ".join(text.casefold().split()))
