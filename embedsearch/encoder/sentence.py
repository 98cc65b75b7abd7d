"""The sentence encoder: a model folder, its fingerprint, its tokenizer and an engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embedsearch.device import resolve_device
from embedsearch.encoder.engine import Engine, EngineName, Task, choose_engine, make_engine
from embedsearch.encoder.fingerprint import fingerprint_of
from embedsearch.encoder.folder import ModelFolder
from embedsearch.encoder.inputs import Inputs
from embedsearch.encoder.resolve import DEFAULT_MODEL, resolve_model
from embedsearch.errors import DependencyError, InputError, ModelError, NotFoundError
from embedsearch.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from embedsearch.types import Vectors

NO_LIMIT_TOKENS = 512
"""`max_tokens` of a model that reads texts of any length: a vector of more says little of each."""


class SentenceEncoder:
    """Texts to unit vectors. Satisfies `embedsearch.types.Encoder`.

    Loading reads the model's folder without torch; the engine loads the weights when the first
    text is encoded.
    """

    def __init__(self, *, name: str, inputs: Inputs, fingerprint: str, engine: Engine) -> None:
        self._name = name
        self._inputs = inputs
        self._fingerprint = fingerprint
        self._engine = engine
        self._room, self._max_tokens = _budget(inputs)

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        *,
        device: str = "auto",
        engine: EngineName = "auto",
        batch_tokens: int | None = None,
    ) -> SentenceEncoder:
        """An encoder from the bundled model's name, a folder, or a hub id.

        Args:
            device: auto, cpu, cuda, cuda:N or mps; auto takes all GPUs, or the CPU.
            engine: `auto` takes the fastest that can compute the model: `torch` on a GPU,
                `openvino` on a CPU, and `numpy` for a few texts at once, because it need not load.
            batch_tokens: tokens computed together, padding counted; None for the engine's own.

        Raises NotFoundError for a model that is not there, ModelError for one that cannot be used,
        DeviceError for a device that is not there, InputError for `batch_tokens` below 1.
        """
        if batch_tokens is not None and batch_tokens < 1:
            raise InputError(f"batch_tokens must be at least 1, not {batch_tokens}")
        if device != "auto":  # which stays open until a text is encoded: it may need torch
            device = resolve_device(device)
        folder = ModelFolder.read(resolve_model(model))
        choice = choose_engine(folder, engine, device)
        inputs = Inputs(folder=folder, tokens=Tokenizer.load(folder.tokenizer_file))
        fingerprint = fingerprint_of(folder)
        return cls(
            name=str(model),
            inputs=inputs,
            fingerprint=fingerprint,
            engine=make_engine(
                choice, inputs, fingerprint, device=device, batch_tokens=batch_tokens
            ),
        )

    @property
    def name(self) -> str:
        """What the user called the model."""
        return self._name

    @property
    def engine(self) -> str:
        """What computes the vectors."""
        return self._engine.name

    @property
    def device(self) -> str:
        """Where the vectors are computed; with `auto`, asking imports torch."""
        return self._engine.device

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._inputs.folder.dim

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of all that decides the vectors."""
        return self._fingerprint

    @property
    def max_tokens(self) -> int:
        """Tokens of a document that are seen, special tokens and document prompt not counted."""
        return self._max_tokens

    @property
    def tokens(self) -> Tokenizer:
        """The model's own tokenizer."""
        return self._inputs.tokens

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of queries, shape (len(texts), dim); the query prompt is put before each.

        Raises InputError for a text that is not Unicode, ModelError for a model that fails.
        """
        return self._encode(texts, "query")

    def encode_document(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of documents, shape (len(texts), dim); the document prompt is put before
        each. Raises as `encode_query` does."""
        return self._encode(texts, "document")

    def token_count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens and prompt not counted."""
        return self._inputs.tokens.count(_checked(texts))

    def truncated_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens of these documents, together, the model cannot see."""
        if self._room is None:
            return 0
        prompt = self._inputs.prompt("document")
        counts = self._inputs.tokens.count([prompt + text for text in _checked(texts)])
        return sum(max(0, count - self._room) for count in counts)

    def _encode(self, texts: Sequence[str], task: Task) -> Vectors:
        import numpy as np

        checked = _checked(texts)
        if not checked:
            return np.empty((0, self.dim), dtype=np.float32)
        vectors = self._embed(checked, task)
        if vectors.shape != (len(checked), self.dim):
            raise ModelError(
                f"the model {self._name!r} made vectors of shape {vectors.shape}, "
                f"not {(len(checked), self.dim)}: its settings contradict its weights"
            )
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            raise ModelError(
                f"the model {self._name!r} made a vector that is not finite, of text number "
                f"{int(finite.argmin())}: its weights are damaged"
            )
        return vectors

    def _embed(self, texts: list[str], task: Task) -> Vectors:
        """The engine's vectors; zeros for a text without any token, which none can compute."""
        import numpy as np

        if self._inputs.special_tokens or self._inputs.prompt(task):
            return self._engine.embed(texts, task)
        full = [row for row, count in enumerate(self._inputs.tokens.count(texts)) if count]
        if len(full) == len(texts):
            return self._engine.embed(texts, task)
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        if full:
            vectors[full] = self._engine.embed([texts[row] for row in full], task)
        return vectors


def engine_of(
    model: str | Path, *, device: str = "auto", engine: EngineName = "auto"
) -> str | None:
    """The engine that `SentenceEncoder.load` would take for many texts; None where the model is not
    on this machine or cannot be used. Loads nothing and asks no network."""
    try:
        folder = ModelFolder.read(resolve_model(model, download=False))
        return choose_engine(folder, engine, device).large
    except (NotFoundError, ModelError, DependencyError):
        return None


def _budget(inputs: Inputs) -> tuple[int | None, int]:
    """Tokens that the model sees of prompt and document together (None: all), and of a document."""
    folder, tokens = inputs.folder, inputs.tokens
    if folder.max_seq_length is None:
        return None, NO_LIMIT_TOKENS
    room = folder.max_seq_length - inputs.special_tokens
    (prompt,) = tokens.count([inputs.prompt("document")])
    if room - prompt < 1:
        raise ModelError(
            f"the model {folder.root} sees {folder.max_seq_length} tokens of a text, which special "
            f"tokens and prompt fill: raise its max_seq_length"
        )
    return room, room - prompt


def _checked(texts: Sequence[str]) -> list[str]:
    """The texts as a list; InputError for what is no list of Unicode strings."""
    if isinstance(texts, str):
        raise InputError("a list of texts is needed, not one string: put it in a list")
    checked = list(texts)
    for number, text in enumerate(checked):
        if not isinstance(text, str):
            raise InputError(f"text number {number} is {type(text).__name__}, not a string")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"text number {number} has a lone surrogate at character {error.start}; "
                "replace it, for instance with text.encode('utf-8', 'replace').decode()"
            ) from None
    return checked
