"""From texts to the token ids that a model sees, and to batches of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedsearch.encoder.engine import Task
    from embedsearch.encoder.folder import ModelFolder
    from embedsearch.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """How a model's texts become ids: the prompt before, special tokens around, the end cut off."""

    folder: ModelFolder
    tokens: Tokenizer

    def prompt(self, task: Task) -> str:
        """What is put before a text; no prompt of the task's name, no prompt, as in
        sentence-transformers 6."""
        return self.folder.prompts.get(task, "")

    @property
    def special_tokens(self) -> int:
        """How many of them are put around a text; a static model has none."""
        static = self.folder.modules[0].kind == "StaticEmbedding"
        return 0 if static else self.tokens.special_token_count

    def ids(self, texts: Sequence[str], task: Task) -> list[list[int]]:
        """Ids of each text, at most `max_seq_length` of them."""
        prompt = self.prompt(task)
        return self.tokens.encode_ids(
            [prompt + text for text in texts] if prompt else texts,
            special_tokens=self.special_tokens > 0,
            limit=self.folder.max_seq_length,
        )


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices of texts, the longest first, in batches of at most `budget` tokens with padding
    counted; a longer text is a batch of its own.

    Texts of like length stand together, so that padding is a few per cent.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size
