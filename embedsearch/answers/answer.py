"""Questions answered from a collection, each statement with the place that it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from embedsearch.answers.markers import without_markers
from embedsearch.collection.retrieval import SearchConfig
from embedsearch.errors import InputError
from embedsearch.types import Hit, Mode

EXTRACTIVE = "extractive"
"""The `generator` of an answer that was put together without a language model."""

NO_ANSWER = "The passages that were found do not answer the question."


@dataclass(frozen=True, kw_only=True)
class Citation:
    """Where a statement comes from: `text` is `document.text[start:end]`, character by character.

    `marker` stands in the answer behind what it supports, `[1]` for instance.
    """

    marker: str
    document_id: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with an answer that a language model wrote.

    `marker`: it points to no passage and was taken out; `quote`: these words do not stand in the
    passage cited; `support`: a sentence that cites nothing, or something else than it says;
    `length`: the text was cut off at `max_new_tokens`; `filter`: by the server's content filter;
    `refusal`: the text is no answer but the model's refusal to give one; `server`: it broke off,
    and why.
    """

    kind: Literal["marker", "quote", "support", "length", "filter", "refusal", "server"]
    text: str


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What an answer took. `seconds` by stage, in their order; tokens are the language model's.

    The stages are `query_vector`, `search`, and `reading`; or with a language model `packing`,
    `first_token` (the model reads the prompt) and `further_tokens`, or where the text does not
    come in pieces `generating`.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was found out. `text` holds the markers of `citations`.

    `hits` are the passages that were read, best first. `generator` is the language model's name,
    or `extractive`. `abstained`: the passages do not answer, which is all that `text` says then. It
    is empty where a language model was cut off before it began to answer.
    `problems` is what the check of a language model's text found.
    """

    text: str
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    generator: str
    abstained: bool
    usage: Usage
    problems: tuple[Problem, ...] = ()

    @property
    def plain_text(self) -> str:
        """The text without markers."""
        if self.generator == EXTRACTIVE and self.citations:  # what is quoted may look like one
            return " ".join(one_line(citation.text) for citation in self.citations)
        return without_markers(self.text)


@dataclass(frozen=True, kw_only=True)
class AnswerConfig:
    """How a question is answered.

    `passages` are retrieved and read. Without a language model at most `sentences` of them are
    quoted: the best one, and others that are nearly as good. `least_support`, from 0 to 1, is how
    well the best sentence must fit for an answer to be given at all; 0 always answers. With a
    language model, a passage that does not fit whole is cut behind a sentence; with `cut_sentences`
    behind a word.
    """

    passages: int = 8
    mode: Mode = SearchConfig.mode
    sentences: int = 2
    least_support: float = 0.37
    cut_sentences: bool = False

    def __post_init__(self) -> None:
        SearchConfig(k=self.passages, mode=self.mode)
        if type(self.sentences) is not int or not 1 <= self.sentences <= 20:
            raise InputError(
                f"sentences must be a whole number from 1 to 20, not {self.sentences!r}"
            )
        if not _is_number(self.least_support) or not 0 <= self.least_support <= 1:
            raise InputError(
                f"least_support must be a number from 0 to 1, not {self.least_support!r}"
            )


def one_line(text: str) -> str:
    """The text with a blank for every run of white space."""
    return " ".join(text.split())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
