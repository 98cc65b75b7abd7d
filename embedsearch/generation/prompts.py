"""Prompts to ids: a text as it is, messages by the model's chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from embedsearch.errors import InputError
from embedsearch.generation.interface import Prompt
from embedsearch.text.tokenizer import Tokenizer

_MESSAGE = ("role", "content")


class PromptEncoder:
    """Encodes prompts for one model; `templated`: its tokenizer has a chat template."""

    def __init__(self, tokenizer: Tokenizer, *, templated: bool) -> None:
        self.tokenizer = tokenizer
        self._templated = templated
        self._tags = _tags_of(tokenizer)

    def encode(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Ids of each prompt. Messages are put into words by the model's chat template, which
        writes the special tokens; without one, their contents follow one another. A special token
        that stands in a message is text there: what a document says must not end its message.

        InputError for a prompt without a token.
        """
        encoded: list[list[int]] = []
        for prompt in prompts:
            check_prompt(prompt)
            text, templated = (prompt, False) if isinstance(prompt, str) else self._chat(prompt)
            ids = self.tokenizer.encode_ids([text], special_tokens=not templated)[0]
            if not ids:
                raise InputError(f"the prompt {prompt!r} is empty: say what to continue")
            encoded.append(ids)
        return encoded

    def _chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[str, bool]:
        said = [
            {**message, "content": as_text(message["content"], self._tags)} for message in messages
        ]
        if not self._templated:
            return "".join(f"{message['content']}\n\n" for message in said), False
        try:
            text = self.tokenizer.apply_chat_template(said, add_generation_prompt=True)
        except InputError:  # there are templates without a system message
            merged = _without_system(said)
            if len(merged) == len(said):
                raise
            text = self.tokenizer.apply_chat_template(merged, add_generation_prompt=True)
        return text, True


def check_prompt(prompt: Prompt) -> None:
    """InputError for what is neither a text nor a list of messages."""
    sound = isinstance(prompt, (str, Sequence)) and not isinstance(prompt, bytes)
    if not sound or not (isinstance(prompt, str) or all(map(_is_message, prompt))):
        raise InputError(
            "a prompt is a text or a list of messages, each with a text as `role` and as "
            f"`content`, not {prompt!r:.200}"
        )
    texts = [prompt] if isinstance(prompt, str) else [m[key] for m in prompt for key in _MESSAGE]
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"a prompt has a lone surrogate at character {error.start}, which is no text"
            ) from None


def check_prompts(prompts: Sequence[Prompt]) -> None:
    """InputError for what is no list of prompts."""
    if isinstance(prompts, (str, bytes, Mapping)) or not isinstance(prompts, Sequence):
        raise InputError(f"generate takes a list of prompts, not {prompts!r:.200}")
    for prompt in prompts:
        check_prompt(prompt)


def _is_message(message: object) -> bool:
    return isinstance(message, Mapping) and all(
        isinstance(message.get(key), str) for key in _MESSAGE
    )


def as_text(content: str, tags: Sequence[str]) -> str:
    """The content with a blank in every special token, so that it is read as text.

    >>> as_text("a <|end|> b", ["<|end|>"])
    'a < |end|> b'
    """
    while found := [tag for tag in tags if tag in content]:
        for tag in found:
            content = content.replace(tag, f"{tag[0]} {tag[1:]}")
    return content


def _tags_of(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The special tokens of more than one character, longest first."""
    found = tokenizer.special_vocabulary()
    tags = [token for token in found if len(token) > 1 and token == token.strip()]
    return tuple(sorted(tags, key=len, reverse=True))


def _without_system(messages: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The same with a system message at the beginning put before what the user says."""
    if len(messages) < 2 or messages[0].get("role") != "system":
        return list(messages)
    first = dict(messages[1])
    first["content"] = f"{messages[0]['content']}\n\n{first['content']}"
    return [first, *messages[2:]]
