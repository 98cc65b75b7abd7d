"""A language model that says what it is told to, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Sequence

from embedsearch.errors import ServerError
from embedsearch.generation import Generation, GenerationConfig, Stream
from embedsearch.generation.interface import Prompt


class ScriptedLM:
    """Tokens are words. `breaks` ends every stream with a ServerError after so many pieces."""

    name = "scripted"

    def __init__(
        self, *says: str, max_tokens: int | None = None, breaks: int | None = None
    ) -> None:
        self.says = list(says)
        self.max_tokens = max_tokens
        self.breaks = breaks
        self.asked: list[Prompt] = []

    def count(self, prompt: Prompt) -> int:
        texts = [prompt] if isinstance(prompt, str) else [m["content"] for m in prompt]
        return sum(len(text.split()) for text in texts)

    def generate(
        self, prompts: Sequence[Prompt], config: GenerationConfig | None = None
    ) -> list[Generation]:
        return [self._say(prompt, config) for prompt in prompts]

    def stream(self, prompt: Prompt, config: GenerationConfig | None = None) -> Stream:
        return Stream(self._pieces(self._say(prompt, config)))

    def _pieces(self, generation):
        for number, character in enumerate(generation.text):
            if number == self.breaks:
                raise ServerError("the server broke off")
            yield character
        return generation

    def _say(self, prompt: Prompt, config: GenerationConfig | None) -> Generation:
        self.asked.append(prompt)
        text = self.says.pop(0)
        words = text.split()
        most = (config or GenerationConfig()).max_new_tokens
        return Generation(
            text=" ".join(words[:most]) if len(words) > most else text,
            finish="length" if len(words) > most else "end",
            prompt_tokens=self.count(prompt),
            completion_tokens=min(len(words), most),
        )
