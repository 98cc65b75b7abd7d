"""What every language model offers, wherever it runs."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from embedsearch.generation.config import GenerationConfig

Finish = Literal["end", "stop", "length", "filter", "refusal"]
Prompt = str | Sequence[Mapping[str, str]]
"""A text to continue, or the messages of a conversation, each with `role` and `content`."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One continuation. `finish` tells why it ended: the model's end token, a stop string (which is
    not in `text`), `max_new_tokens`, a server's content filter, or that the model refused, in the
    words of `text`. `token_ids` are all that were generated; a server tells only how many,
    `completion_tokens`."""

    text: str
    finish: Finish
    prompt_tokens: int
    completion_tokens: int
    token_ids: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.text


class Stream(Iterator[str]):
    """A continuation in pieces as they come; `generation` is there once all have come."""

    def __init__(self, pieces: Generator[str, None, Generation]) -> None:
        self._pieces = pieces
        self.generation: Generation | None = None

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except StopIteration as ended:
            self.generation = ended.value or self.generation
            raise StopIteration from None

    def close(self) -> None:
        """Ends the generation."""
        self._pieces.close()


class LanguageModel(Protocol):
    """A model on this machine (`CausalLM`) or behind a server (`ServerLM`)."""

    @property
    def name(self) -> str: ...

    @property
    def max_tokens(self) -> int | None:
        """Tokens of prompt and continuation together; None where there is no limit."""

    def count(self, prompt: Prompt) -> int:
        """Tokens of a prompt as the model is given it."""

    def generate(
        self, prompts: Sequence[Prompt], config: GenerationConfig | None = None
    ) -> list[Generation]:
        """Continues every prompt; `num_return_sequences` for each, those of a prompt together."""

    def stream(self, prompt: Prompt, config: GenerationConfig | None = None) -> Stream:
        """The continuation in pieces, each as soon as the model has it."""
