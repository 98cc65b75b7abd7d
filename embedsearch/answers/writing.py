"""Answers that a language model writes from the passages it is given, and the check of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from embedsearch.answers.answer import NO_ANSWER, Answer, AnswerConfig, Citation, Problem, Usage
from embedsearch.answers.citing import Checked, check, says_nothing
from embedsearch.answers.prompting import Passage, pack, prompt
from embedsearch.errors import InputError, ServerError
from embedsearch.generation import Generation, GenerationConfig, LanguageModel
from embedsearch.text.words import counted
from embedsearch.timing import Stages
from embedsearch.types import Hit

_THOUGHT = re.compile(r"</think>[ \t]*(?:\n|\Z)")

Stands = Callable[[str, int, str], bool]
"""Whether a document has a text at a place: (document id, start, text)."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Who writes and how. `on_text` gets the text in pieces as they come, as they come: not yet
    checked."""

    model: LanguageModel
    config: GenerationConfig = field(default_factory=GenerationConfig)
    on_text: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if self.config.num_return_sequences > 1:
            raise InputError("num_return_sequences must be 1: a question has one answer")


def write_answers(
    questions: Sequence[str],
    found: Sequence[Sequence[Hit]],
    writing: Writing,
    config: AnswerConfig,
    stands: Stands,
    searching: Stages,
) -> list[Answer]:
    """The answer to each question. A single one is streamed, several are computed together."""
    stages = Stages()
    with stages.time("packing"):
        packed = [
            pack(
                question,
                hits,
                writing.model,
                max_new_tokens=writing.config.max_new_tokens,
                cut_sentences=config.cut_sentences,
            )
            for question, hits in zip(questions, found, strict=True)
        ]
    written = _write(questions, packed, writing, stages)
    times = {**searching.seconds, **stages.seconds}
    seconds = {stage: taken / max(len(questions), 1) for stage, taken in times.items()}
    return [
        _answer(question, hits, passages, text, writing.model.name, stands, seconds)
        for question, hits, passages, text in zip(questions, found, packed, written, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class _Written:
    """What came from the model; `problem` when it is not all that should have come."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    problem: Problem | None = None


def _write(
    questions: Sequence[str],
    packed: Sequence[Sequence[Passage]],
    writing: Writing,
    stages: Stages,
) -> list[_Written]:
    """The model is not asked where it has nothing to read."""
    asked = [i for i, passages in enumerate(packed) if passages]
    prompts = [prompt(questions[i], packed[i]) for i in asked]
    if len(questions) == 1 and prompts and writing.config.num_beams == 1:
        texts = [_stream(prompts[0], writing, stages)]
    else:
        with stages.time("generating"):
            texts = [_of(one) for one in writing.model.generate(prompts, writing.config)]
        if writing.on_text and len(texts) == 1:
            writing.on_text(texts[0].text)
    written = [_Written(text="") for _ in packed]
    for place, text in zip(asked, texts, strict=True):
        written[place] = text
    return written


def _stream(messages: list[dict[str, str]], writing: Writing, stages: Stages) -> _Written:
    """The text as it comes, the time to its first piece told apart; what came stays when the
    server breaks off, unless nothing came."""
    began, stage, text = time.perf_counter(), "first_token", ""
    stream = writing.model.stream(messages, writing.config)
    try:
        for piece in stream:
            if not text:
                stages.add(stage, time.perf_counter() - began)
                began, stage = time.perf_counter(), "further_tokens"
            text += piece
            if writing.on_text:
                writing.on_text(piece)
    except ServerError as error:
        if not text:
            raise
        return _Written(text=text, problem=Problem(kind="server", text=str(error)))
    finally:
        stages.add(stage, time.perf_counter() - began)
        stream.close()
    assert stream.generation is not None
    return _of(stream.generation)


def _of(generation: Generation) -> _Written:
    problem = None
    if generation.finish == "length":
        told = "max_new_tokens came before the end"
        if not _without_thoughts(generation.text).strip():
            used = counted(generation.completion_tokens, "token")
            told = f"its room of {used} was used up before it began"
        problem = Problem(kind="length", text=told)
    elif generation.finish == "filter":
        problem = Problem(kind="filter", text="the server's content filter withheld what followed")
    elif generation.finish == "refusal":
        problem = Problem(kind="refusal", text="the model refused to give one")
    return _Written(
        text=generation.text,
        prompt_tokens=generation.prompt_tokens,
        completion_tokens=generation.completion_tokens,
        problem=problem,
    )


def _answer(
    question: str,
    hits: Sequence[Hit],
    passages: Sequence[Passage],
    written: _Written,
    generator: str,
    stands: Stands,
    seconds: dict[str, float],
) -> Answer:
    usage = Usage(
        prompt_tokens=written.prompt_tokens,
        completion_tokens=written.completion_tokens,
        seconds=seconds,
    )
    broken = [written.problem] if written.problem else []
    said = _without_thoughts(written.text)
    refused = written.problem is not None and written.problem.kind == "refusal"
    abstained = not refused and says_nothing(said) and not (broken and not said.strip())
    if refused:
        checked = Checked(text=said, citations=(), problems=())
    elif abstained:
        checked = Checked(text=NO_ANSWER, citations=(), problems=())
    else:
        checked = check(said, question, passages)
    return Answer(
        text=checked.text,
        citations=checked.citations,
        hits=tuple(hits),
        generator=generator,
        abstained=abstained,
        usage=usage,
        problems=(*checked.problems, *_changed(checked.citations, stands), *broken),
    )


def _without_thoughts(text: str) -> str:
    """What a model that thinks aloud first says then: Qwen3, DeepSeek-R1 and others close their
    thoughts so; where a chat template has opened them, only the end is there."""
    thinks = text.lstrip().startswith("<think>")
    if thinks or _THOUGHT.search(text):
        return text.partition("</think>")[2]
    return text


def _changed(citations: Sequence[Citation], stands: Stands) -> list[Problem]:
    """Citations of what its document does not say any more: it was changed meanwhile."""
    return [
        Problem(kind="quote", text=citation.text)
        for citation in citations
        if not stands(citation.document_id, citation.start, citation.text)
    ]
