"""A causal language model with its tokenizer: text in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from embedsearch.device import has_cpu_bf16, resolve_device
from embedsearch.errors import InputError, ModelError
from embedsearch.generation.config import GenerationConfig
from embedsearch.generation.decoding import decode, search_beams
from embedsearch.generation.folder import check_causal, end_tokens, find_model, has_chat_template
from embedsearch.generation.text import TextStream
from embedsearch.text.tokenizer import Tokenizer

Dtype = Literal["auto", "float32", "bfloat16"]
Finish = Literal["end", "stop", "length"]
Prompt = str | Sequence[Mapping[str, str]]
"""A text to continue, or the messages of a conversation, each with `role` and `content`."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One continuation. `finish` tells why it ended: the model's end token, a stop string (which is
    not in `text`), or `max_new_tokens`. `token_ids` are all that were generated."""

    text: str
    token_ids: tuple[int, ...]
    finish: Finish
    prompt_tokens: int

    def __str__(self) -> str:
        return self.text


class CausalLM:
    """Continues prompts. Make one with `CausalLM.load`."""

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        *,
        name: str,
        ends: frozenset[int] = frozenset(),
        templated: bool = False,
    ) -> None:
        """`ends` are the ids that end a text; `templated`: the tokenizer has a chat template."""
        self._model = model
        self.tokenizer = tokenizer
        self.name = name
        self._ends = ends
        self._templated = templated

    @classmethod
    def load(cls, model: str | Path, *, device: str = "auto", dtype: Dtype = "auto") -> CausalLM:
        """Loads a model of transformers from its folder or hub id.

        Weights are read from safetensors only, code that comes with a model is never run. `dtype`
        auto is bfloat16 on a GPU and on a CPU that multiplies it natively, else float32.

        Raises NotFoundError for what is not there; ModelError for what is no causal language model,
        is damaged, or has a tokenizer with more tokens than the model; DeviceError.
        """
        if dtype not in get_args(Dtype):
            raise InputError(f"dtype must be auto, float32 or bfloat16, not {dtype!r}")
        folder = find_model(model)
        check_causal(folder)
        tokenizer = Tokenizer.load(folder)
        loaded = _load(folder, resolve_device(device), dtype)
        rows = loaded.get_input_embeddings().weight.shape[0]
        if tokenizer.vocab_size > rows:
            raise ModelError(
                f"the tokenizer and the model of {folder} disagree: {tokenizer.vocab_size} tokens, "
                f"{rows} embeddings"
            )
        return cls(
            loaded,
            tokenizer,
            name=str(model),
            ends=end_tokens(folder),
            templated=has_chat_template(folder),
        )

    @property
    def max_tokens(self) -> int | None:
        """Tokens of prompt and continuation together; None where the model has no limit."""
        settings = self._model.config.get_text_config()
        found = getattr(settings, "max_position_embeddings", None)
        return found if isinstance(found, int) and found > 0 else None

    def count(self, prompt: Prompt) -> int:
        """Tokens of a prompt as the model is given it."""
        return len(self._encode([prompt])[0])

    def generate(
        self, prompts: Sequence[Prompt], config: GenerationConfig | None = None
    ) -> list[Generation]:
        """Continues every prompt; `num_return_sequences` for each, those of a prompt together.

        Prompts of one call are computed together, each gives what it gives alone. With beams, stop
        strings are looked for when the search is over.

        Raises InputError, before anything is computed, for an empty prompt or one that leaves no
        room for `max_new_tokens`.
        """
        config = config or GenerationConfig()
        if isinstance(prompts, str):
            raise InputError("generate takes a list of prompts, not a single string")
        if not prompts:
            return []
        encoded = self._encode(prompts)
        self._check_room(encoded, config)
        rows = [ids for ids in encoded for _ in range(config.num_return_sequences)]
        streams = [self._stream(config) for _ in rows]
        if config.num_beams > 1:
            found = search_beams(self._model, encoded, config, self._ends)
            for stream, ids in zip(streams, found, strict=True):
                for token in ids:
                    stream.push(token)
                    if stream.over:
                        break
        else:
            going = set(range(len(rows)))
            for chosen in decode(self._model, rows, config, going):
                for row, token in chosen:
                    streams[row].push(token)
                    if streams[row].over:
                        going.discard(row)
        return [_result(stream, len(ids)) for stream, ids in zip(streams, rows, strict=True)]

    def stream(self, prompt: Prompt, config: GenerationConfig | None = None) -> Iterator[str]:
        """The continuation in pieces, each as soon as the model has it; together they are the text
        that `generate` gives. Not with beams, which know the text only at the end.

        Closing the iterator ends the generation.
        """
        config = config or GenerationConfig()
        if config.num_beams > 1 or config.num_return_sequences > 1:
            raise InputError("only a single text can be streamed: num_beams must be 1")
        encoded = self._encode([prompt])
        self._check_room(encoded, config)
        return self._pieces(encoded, config)

    def _pieces(self, encoded: list[list[int]], config: GenerationConfig) -> Iterator[str]:
        stream, going = self._stream(config), {0}
        for [(row, token)] in decode(self._model, encoded, config, going):
            piece = stream.push(token)
            if stream.over:
                going.discard(row)
            if piece:
                yield piece
        if last := stream.finish():
            yield last

    def _stream(self, config: GenerationConfig) -> TextStream:
        return TextStream(self.tokenizer, config.stop, self._ends)

    def _encode(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Ids of each prompt. Messages are put into words by the model's chat template, which
        writes the special tokens; without one, their contents follow one another."""
        encoded: list[list[int]] = []
        for prompt in prompts:
            text, templated = (prompt, False) if isinstance(prompt, str) else self._chat(prompt)
            ids = self.tokenizer.encode_ids([text], special_tokens=not templated)[0]
            if not ids:
                raise InputError(f"the prompt {prompt!r} is empty: say what to continue")
            encoded.append(ids)
        return encoded

    def _chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[str, bool]:
        if self._templated:
            return self.tokenizer.apply_chat_template(messages, add_generation_prompt=True), True
        return "".join(f"{message['content']}\n\n" for message in messages), False

    def _check_room(self, encoded: Sequence[Sequence[int]], config: GenerationConfig) -> None:
        longest, limit = max(map(len, encoded)), self.max_tokens
        if limit is not None and longest + config.max_new_tokens > limit:
            raise InputError(
                f"a prompt of {longest} tokens and max_new_tokens {config.max_new_tokens} are more "
                f"than the {limit} tokens of {self.name!r}: shorten one of them"
            )


def _result(stream: TextStream, prompt_tokens: int) -> Generation:
    stream.finish()
    ended = stream.ended_by
    return Generation(
        text=stream.text,
        token_ids=(*stream.ids, *(() if ended is None else (ended,))),
        finish="stop" if stream.stopped else "length" if ended is None else "end",
        prompt_tokens=prompt_tokens,
    )


def _load(folder: Path, device: str, dtype: Dtype) -> Any:
    import torch

    transformers: Any = import_module("transformers")
    logging = transformers.utils.logging

    small = dtype == "bfloat16" or (
        dtype == "auto" and (device.startswith("cuda") or (device == "cpu" and has_cpu_bf16()))
    )
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, told = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16 if small else torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises whatever its parts raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ModelError(f"{folder} cannot be loaded as a language model: {reason}") from None
    finally:
        if bar:
            logging.enable_progress_bar()
    if told["missing_keys"]:
        missing = ", ".join(sorted(told["missing_keys"])[:3])
        raise ModelError(f"{folder} lacks weights of the model: {missing}")
    model.generation_config = (
        transformers.GenerationConfig()
    )  # what is wanted is said with every call
    return model.to(device).eval()
