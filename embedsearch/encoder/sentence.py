"""The sentence encoder: a model folder, its fingerprint, its tokenizer and an engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embedsearch.device import resolve_device
from embedsearch.encoder.engine import Engine, Task
from embedsearch.encoder.fingerprint import fingerprint_of
from embedsearch.encoder.folder import ModelFolder
from embedsearch.encoder.resolve import DEFAULT_MODEL, resolve_model
from embedsearch.encoder.torch_engine import TorchEngine
from embedsearch.errors import InputError, ModelError
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

    def __init__(
        self, *, name: str, folder: ModelFolder, fingerprint: str, tokens: Tokenizer, engine: Engine
    ) -> None:
        self._name = name
        self._folder = folder
        self._fingerprint = fingerprint
        self._tokens = tokens
        self._engine = engine
        self._room, self._max_tokens = _budget(folder, tokens)

    @classmethod
    def load(
        cls, model: str | Path = DEFAULT_MODEL, *, device: str = "auto", batch_size: int = 32
    ) -> SentenceEncoder:
        """An encoder from the bundled model's name, a folder, or a hub id.

        `device` is auto, cpu, cuda, cuda:N or mps; `batch_size` counts texts. Raises NotFoundError
        for a model that is not there, ModelError for one that cannot be used, DeviceError for a
        device that is not there, InputError for a batch size below 1.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}")
        if device != "auto":  # which stays open until a text is encoded: it needs torch
            device = resolve_device(device)
        folder = ModelFolder.read(resolve_model(model))
        return cls(
            name=str(model),
            folder=folder,
            fingerprint=fingerprint_of(folder),
            tokens=Tokenizer.load(folder.tokenizer_file),
            engine=TorchEngine(folder.root, device=device, batch_size=batch_size),
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
        return self._folder.dim

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
        return self._tokens

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
        return self._tokens.count(_checked(texts))

    def truncated_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens of these documents, together, the model cannot see."""
        if self._room is None:
            return 0
        prompt = _prompt(self._folder, "document")
        counts = self._tokens.count([prompt + text for text in _checked(texts)])
        return sum(max(0, count - self._room) for count in counts)

    def _encode(self, texts: Sequence[str], task: Task) -> Vectors:
        import numpy as np

        checked = _checked(texts)
        if not checked:
            return np.empty((0, self.dim), dtype=np.float32)
        vectors = self._engine.embed(checked, task)
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


def _prompt(folder: ModelFolder, task: Task) -> str:
    # as in sentence-transformers 6: no prompt of that name, no prompt
    return folder.prompts.get(task, "")


def _budget(folder: ModelFolder, tokens: Tokenizer) -> tuple[int | None, int]:
    """Tokens that the model sees of prompt and document together (None: all), and of a document."""
    if folder.max_seq_length is None:
        return None, NO_LIMIT_TOKENS
    room = folder.max_seq_length - tokens.special_token_count
    (prompt,) = tokens.count([_prompt(folder, "document")])
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
