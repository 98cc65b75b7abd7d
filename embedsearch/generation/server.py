"""A language model behind a server that speaks OpenAI's protocol: vLLM, llama.cpp, Ollama, hosted.

https://platform.openai.com/docs/api-reference/chat (chat completions, streamed)
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from embedsearch.errors import InputError, ServerError
from embedsearch.generation.config import GenerationConfig
from embedsearch.generation.http import Endpoint, ServerLimits
from embedsearch.generation.interface import Finish, Generation, Prompt, Stream
from embedsearch.generation.prompts import check_prompt, check_prompts
from embedsearch.text.tokenizer import Tokenizer

KEY_VARIABLE = "EMBEDSEARCH_LLM_KEY"
DEFAULT_CONTEXT = 4096
"""Tokens of prompt and continuation where the server does not tell."""
AT_ONCE = 8
"""Prompts that are sent together; what serves many computes them as one batch."""

_BYTES_A_TOKEN = 3
_TOKENS_A_MESSAGE = 8
_HALF = "\ufffd"
_FINISHES: Mapping[str, Finish] = {"length": "length", "content_filter": "filter"}
"""All others are ends."""


class ServerLM:
    """Continues prompts through a server. Make one with `ServerLM.connect`."""

    def __init__(
        self, endpoint: Endpoint, *, model: str, max_tokens: int, tokenizer: Tokenizer | None
    ) -> None:
        self._endpoint = endpoint
        self._model = model
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        model: str | None = None,
        context: int | None = None,
        tokenizer: Tokenizer | None = None,
        limits: ServerLimits | None = None,
    ) -> ServerLM:
        """Asks a server what it serves.

        The key, if one is needed, is read from the environment variable `EMBEDSEARCH_LLM_KEY`.

        Args:
            url: the base, such as `http://localhost:8000/v1`.
            model: its name there; None where the server has only one.
            context: tokens of prompt and continuation together. None: what the server tells, as
                vLLM does, else 4096.
            tokenizer: the model's, to count prompts exactly; None counts a token for three bytes,
                which is more than most texts have.

        Raises InputError for a URL that is none or a model that must be named, ServerError for a
        server that does not answer as it should.
        """
        endpoint = Endpoint(url, os.environ.get(KEY_VARIABLE) or None, limits or ServerLimits())
        if context is not None and (type(context) is not int or context < 1):
            raise InputError(f"context must be a whole number of tokens, not {context!r}")
        if model is None or context is None:
            served = _served(endpoint, needed=model is None)
            if model is None:
                model = _only(served, endpoint.url)
            context = context or _context(served.get(model, {}))
        return cls(endpoint, model=model, max_tokens=context, tokenizer=tokenizer)

    @property
    def name(self) -> str:
        return f"{self._model} at {self._endpoint.url}"

    def count(self, prompt: Prompt) -> int:
        """Tokens of a prompt: exact but for the chat template with a tokenizer, else at most."""
        check_prompt(prompt)
        texts = [prompt] if isinstance(prompt, str) else [m["content"] for m in prompt]
        if self._tokenizer is not None:
            counted = sum(self._tokenizer.count(texts))
        else:
            counted = sum(-(-len(text.encode()) // _BYTES_A_TOKEN) for text in texts)
        return counted + _TOKENS_A_MESSAGE * len(texts)

    def generate(
        self, prompts: Sequence[Prompt], config: GenerationConfig | None = None
    ) -> list[Generation]:
        """As `CausalLM.generate`; several prompts are on their way at once."""
        config = config or GenerationConfig()
        check_prompts(prompts)
        bodies = [
            self._body(prompt, config, config.seed + number)
            for prompt in prompts
            for number in range(config.num_return_sequences)
        ]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self._whole, bodies))

    def stream(self, prompt: Prompt, config: GenerationConfig | None = None) -> Stream:
        """As `CausalLM.stream`. ServerError when the server breaks off, after what came."""
        config = config or GenerationConfig()
        if config.num_return_sequences > 1:
            raise InputError("only a single text can be streamed: num_return_sequences must be 1")
        return Stream(self._pieces(self._body(prompt, config, config.seed)))

    def _whole(self, body: dict[str, Any]) -> Generation:
        stream = Stream(self._pieces(body))
        for _ in stream:
            pass
        assert stream.generation is not None
        return stream.generation

    def _pieces(self, body: dict[str, Any]) -> Generator[str, None, Generation]:
        text, held, pieces = "", "", 0
        finish: Finish | None = None
        refused = False
        usage: dict[str, int] = {}
        path = "completions" if "prompt" in body else "chat/completions"
        for event in self._endpoint.events(path, body):
            piece, refuses, ended, told = self._read(event)
            refused, finish, usage = refused or refuses, ended or finish, told or usage
            piece, held = _whole_characters(held + piece)
            if piece:
                text, pieces = text + piece, pieces + 1
                yield piece
        if held:
            text += _HALF
            yield _HALF
        if finish is None:
            raise self._endpoint.failure("broke off before the end")
        return Generation(
            text=text,
            finish="refusal" if refused else finish,
            prompt_tokens=usage.get("prompt_tokens") or self.count(_prompt_of(body)),
            completion_tokens=usage.get("completion_tokens") or pieces,
        )

    def _read(self, event: Any) -> tuple[str, bool, Finish | None, dict[str, int]]:
        """Text, whether that refuses, end and usage of an event, each if it is there."""
        try:
            if error := event.get("error"):
                raise self._endpoint.failure(f"failed: {self._endpoint.shown(repr(error))}")
            usage = event.get("usage") or {}
            counts = {k: v for k, v in usage.items() if type(v) is int}
            if not event.get("choices"):
                return "", False, None, counts
            choice = event["choices"][0]
            part = choice.get("delta") or choice.get("message") or choice
            piece = _text_of(part.get("content") or part.get("text") or "")
            refusal = _text_of(part.get("refusal") or "")
        except (AttributeError, IndexError, KeyError, TypeError):
            shown = self._endpoint.shown(repr(event))
            raise self._endpoint.failure(f"does not speak OpenAI's protocol: {shown}") from None
        reason = choice.get("finish_reason")
        ended = _FINISHES.get(str(reason), "end") if reason else None
        return piece + refusal, bool(refusal), ended, counts

    def _body(self, prompt: Prompt, config: GenerationConfig, seed: int) -> dict[str, Any]:
        if config.num_beams > 1:
            raise InputError("a server does not search by beams: num_beams must be 1")
        asked = self.count(prompt) + config.max_new_tokens
        if asked > self.max_tokens:
            raise InputError(
                f"the prompt and max_new_tokens {config.max_new_tokens} are about {asked} tokens, "
                f"more than the {self.max_tokens} of {self.name}: shorten one, or say the true size"
            )
        said = {"prompt": prompt} if isinstance(prompt, str) else {"messages": list(prompt)}
        body: dict[str, Any] = {
            **said,
            "model": self._model,
            "max_tokens": config.max_new_tokens,
            "temperature": config.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if config.sampling:
            body["seed"] = seed
        # What OpenAI's own server does not know is sent only where it is asked for.
        default = GenerationConfig()
        for name in ("top_p", "top_k", "min_p", "repetition_penalty"):
            if getattr(config, name) != getattr(default, name):
                body[name] = getattr(config, name)
        if config.stop:
            body["stop"] = list(config.stop)
        return body


def _text_of(content: Any) -> str:
    """The text of a message's content, which may come in parts of several kinds: only those of the
    kind `text` belong to it. TypeError for what is no content."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise TypeError
    parts = [part for part in content if part["type"] == "text"]
    return "".join(_text_of(part["text"]) for part in parts)


def _whole_characters(text: str) -> tuple[str, str]:
    """The text, and apart from it the first half of a character at its end: there are servers that
    cut in the middle of one, as JavaScript's strings do."""
    held = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
    whole = text.removesuffix(held).encode("utf-16-le", "surrogatepass")
    return whole.decode("utf-16-le", "replace"), held


def _prompt_of(body: Mapping[str, Any]) -> Prompt:
    prompt: Prompt = body["prompt"] if "prompt" in body else body["messages"]
    return prompt


def _served(endpoint: Endpoint, *, needed: bool) -> dict[str, dict[str, Any]]:
    """What the server tells of its models, by name. Not every server does, and not everything."""
    try:
        told = endpoint.get("models")
        return {entry["id"]: dict(entry) for entry in told["data"]}
    except (KeyError, TypeError, ValueError):
        if needed:
            raise endpoint.failure("does not list its models: name one (--llm-model)") from None
    except ServerError:
        if needed:
            raise
    return {}


def _only(served: Mapping[str, Any], url: str) -> str:
    if len(served) != 1:
        names = ", ".join(sorted(map(str, served))[:10]) or "none"
        raise InputError(f"name the model that {url} is to use (--llm-model); it has: {names}")
    return next(iter(served))


def _context(model: Mapping[str, Any]) -> int:
    """vLLM tells it as `max_model_len`, llama.cpp in `meta`."""
    meta = model.get("meta")
    found = model.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
    return found if type(found) is int and found > 0 else DEFAULT_CONTEXT
