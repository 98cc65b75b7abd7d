"""Whether what a language model wrote stands in the passages that it was given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from embedsearch.answers.answer import NO_ANSWER, Citation, Problem
from embedsearch.answers.prompting import Passage
from embedsearch.store.keyword import parse_query
from embedsearch.store.stems import Stems
from embedsearch.text.sentences import sentences

LEAST_SHARE = 0.5
"""A sentence is supported when this share of its words stands in what it cites or the question."""

_MARKERS = re.compile(r"[ \t]*\[\s*(\d{1,9}(?:\s*[,;]\s*\d{1,9})*)\s*\]")
_LEADING = re.compile(r"(?:\s*\[\d+\])+")
_QUOTES = re.compile(r'"([^"\n]+)"|“([^”\n]+)”|«([^»\n]+)»')
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NOT_QUOTED = ".,;:!? "


@dataclass(frozen=True, kw_only=True)
class Checked:
    """`text` has the markers of `citations` and no others."""

    text: str
    citations: tuple[Citation, ...]
    problems: tuple[Problem, ...]


def says_nothing(text: str) -> bool:
    """Whether the model wrote that the passages do not answer."""
    wanted = _folded(NO_ANSWER).rstrip(".")
    return not _folded(text) or _folded(text).startswith(wanted)


def check(text: str, question: str, passages: Sequence[Passage]) -> Checked:
    """Compares every marker, quote and sentence of an answer with the passages.

    A marker that points to no passage is taken out. A quote must stand in a passage that its
    sentence cites, character by character but for runs of white space. A sentence must cite, and
    what it cites must hold its numbers and half of its other words.
    """
    given = {passage.number: passage for passage in passages}
    text, problems = _own_markers(text.strip(), given)
    words = _Words(question)
    citations: dict[tuple[str, int, int], Citation] = {}
    for statement in _statements(text):
        cited = [given[number] for number in dict.fromkeys(_numbers(statement))]
        said = _MARKERS.sub("", statement).strip()
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


def _own_markers(text: str, given: Mapping[int, Passage]) -> tuple[str, list[Problem]]:
    """The text with one marker a number, as `[1] [2]`, those of passages alone."""
    problems: list[Problem] = []

    def rewrite(found: re.Match[str]) -> str:
        kept = ""
        for number in re.split(r"\s*[,;]\s*", found[1]):
            if int(number) in given:
                kept += f" [{int(number)}]"
            else:
                problems.append(Problem(kind="marker", text=f"[{number}]"))
        return kept

    return _MARKERS.sub(rewrite, text).strip(), problems


def _statements(text: str) -> list[str]:
    """The sentences, each with its markers, also with those that stand behind the full stop."""
    found: list[str] = []
    for start, end in sentences(text):
        sentence = text[start:end]
        if found and (markers := _LEADING.match(sentence)):
            found[-1] += markers.group()
            sentence = sentence[markers.end() :]
        if sentence.strip():
            found.append(sentence)
    return found


def _numbers(statement: str) -> Iterator[int]:
    for found in _MARKERS.finditer(statement):
        yield int(found[1])


def _check_quotes(
    said: str, question: str, cited: Sequence[Passage]
) -> tuple[dict[int, tuple[int, int]], list[str]]:
    """Where quotes stand, (start, end) in the passage by its number; and those that do not."""
    places: dict[int, tuple[int, int]] = {}
    wrong: list[str] = []
    for match in _QUOTES.finditer(said):
        quote = next(part for part in match.groups() if part is not None)
        found = {p.number: place for p in cited if (place := _find(quote, p.text))}
        places = found | places
        if not found and _find(quote, question) is None:
            wrong.append(quote)
    return places, wrong


def _find(quote: str, text: str) -> tuple[int, int] | None:
    """The place of a quote in a text; a full stop may belong to the sentence around it."""
    for form in (quote.strip(), quote.strip(_NOT_QUOTED)):
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


class _Words:
    """Compares words by their stems, as the keyword index does; those of the question are known."""

    def __init__(self, question: str) -> None:
        self._stems = Stems()
        self._question = self._of(question)

    def _of(self, text: str) -> set[str]:
        return set(self._stems.of(parse_query(text).terms))

    def supported(self, said: str, cited: Sequence[Passage]) -> bool:
        if not cited:
            return False
        source = " ".join(f"{passage.label} {passage.text}" for passage in cited)
        known = self._of_all(source) | self._question
        numbers = {number for number in _NUMBER.findall(said) if number not in source}
        if any(not (self._of(number) <= known) for number in numbers):
            return False
        words = self._of(said)
        return len(words & known) >= LEAST_SHARE * len(words)

    def _of_all(self, text: str) -> set[str]:
        """The words of a text of any length, which a query is not."""
        found: set[str] = set()
        for start, end in sentences(text):
            found |= self._of(text[start:end])
        return found

    def nearest(self, said: str, passage: Passage) -> tuple[int, int]:
        """The sentence of a passage that has most words of the statement."""
        words = self._of(said)
        return max(
            sentences(passage.text),
            key=lambda span: len(words & self._of(passage.text[span[0] : span[1]])),
        )


def _folded(text: str) -> str:
    return " ".join(_MARKERS.sub("", text).casefold().split())
