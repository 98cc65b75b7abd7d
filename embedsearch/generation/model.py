"""A causal language model with its tokenizer: text in, text out."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, get_args

from embedsearch.device import resolve_device
from embedsearch.errors import InputError, ModelError
from embedsearch.generation.config import GenerationConfig, check_whole
from embedsearch.generation.decoding import Watch, decode, search_beams
from embedsearch.generation.folder import check_causal, end_tokens, find_model, has_chat_template
from embedsearch.generation.interface import Generation, Prompt, Stream
from embedsearch.generation.loading import Dtype, context_of, load_weights
from embedsearch.generation.prompts import PromptEncoder, check_prompts
from embedsearch.generation.text import TextStream
from embedsearch.generation.tracing import CANDIDATES, BeamWatch, StepWatch, Trace
from embedsearch.text.tokenizer import Tokenizer


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
        self._prompts = PromptEncoder(tokenizer, templated=templated)

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
        loaded = load_weights(folder, resolve_device(device), dtype)
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
        return context_of(self._model)

    def count(self, prompt: Prompt) -> int:
        """Tokens of a prompt as the model is given it."""
        return len(self._prompts.encode([prompt])[0])

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
        check_prompts(prompts)
        if not prompts:
            return []
        encoded = self._prompts.encode(prompts)
        self._check_room(encoded, config)
        if config.num_beams > 1:
            return self._searched(encoded, config)
        rows = [ids for ids in encoded for _ in range(config.num_return_sequences)]
        streams = [self._stream(config) for _ in rows]
        going = set(range(len(rows)))
        for chosen in decode(self._model, rows, config, going):
            for row, token in chosen:
                streams[row].push(token)
                if streams[row].over:
                    going.discard(row)
        return [_result(stream, len(ids)) for stream, ids in zip(streams, rows, strict=True)]

    def stream(self, prompt: Prompt, config: GenerationConfig | None = None) -> Stream:
        """The continuation in pieces, each as soon as the model has it; together they are the text
        that `generate` gives. Not with beams, which know the text only at the end.

        Closing the iterator ends the generation.
        """
        config = config or GenerationConfig()
        if config.num_beams > 1 or config.num_return_sequences > 1:
            raise InputError("only a single text can be streamed: num_beams must be 1")
        encoded = self._prompts.encode([prompt])
        self._check_room(encoded, config)
        return Stream(self._pieces(encoded, config))

    def trace(
        self,
        prompt: Prompt,
        config: GenerationConfig | None = None,
        *,
        candidates: int = CANDIDATES,
    ) -> Trace:
        """`generate` for one prompt, with what could have been: the likeliest `candidates` of each
        step, and how the settings reshape their probabilities; or the beams as they branch.

        Raises InputError as `generate` does, and for several sequences that are drawn.
        """
        config = config or GenerationConfig()
        check_whole("candidates", candidates)
        if config.sampling and config.num_return_sequences > 1:
            raise InputError("only a single text can be traced: num_return_sequences must be 1")
        encoded = self._prompts.encode([prompt])
        self._check_room(encoded, config)
        if config.num_beams > 1:
            beams = BeamWatch(self.tokenizer, len(encoded[0]))
            found = self._searched(encoded, config, beams)
            return Trace(generations=tuple(found), beams=tuple(beams.steps))
        steps = StepWatch(self.tokenizer, config, candidates)
        stream = Stream(self._pieces(encoded, config, steps))
        for _ in stream:
            pass
        assert stream.generation is not None
        return Trace(generations=(stream.generation,), steps=tuple(steps.steps))

    def _searched(
        self, encoded: list[list[int]], config: GenerationConfig, watch: BeamWatch | None = None
    ) -> list[Generation]:
        found = search_beams(self._model, encoded, config, self._ends, watch)
        generations = []
        for number, ids in enumerate(found):
            stream = self._stream(config)
            for token in ids:
                stream.push(token)
                if stream.over:
                    break
            prompt = encoded[number // config.num_return_sequences]
            generations.append(_result(stream, len(prompt)))
        return generations

    def _pieces(
        self, encoded: list[list[int]], config: GenerationConfig, watch: Watch | None = None
    ) -> Generator[str, None, Generation]:
        stream, going = self._stream(config), {0}
        for [(row, token)] in decode(self._model, encoded, config, going, watch):
            piece = stream.push(token)
            if stream.over:
                going.discard(row)
            if piece:
                yield piece
        if last := stream.finish():
            yield last
        return _result(stream, len(encoded[0]))

    def _stream(self, config: GenerationConfig) -> TextStream:
        return TextStream(self.tokenizer, config.stop, self._ends)

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
    ids = (*stream.ids, *(() if ended is None else (ended,)))
    return Generation(
        text=stream.text,
        token_ids=ids,
        completion_tokens=len(ids),
        finish="stop" if stream.stopped else "length" if ended is None else "end",
        prompt_tokens=prompt_tokens,
    )
