"""What an encoder makes of each token of its vocabulary alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.encoder.folder import ModelFolder
from embedsearch.encoder.torch_engine import load_model
from embedsearch.errors import DeviceError, ModelError
from embedsearch.types import Progress

if TYPE_CHECKING:
    import numpy as np
    import tokenizers
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

BATCH_TOKENS = 512
_UNUSED = re.compile(r"\[unused\d+\]|<unused\d+>|madeupword\d+")


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The tokenizer of a static model and which of its ids stand for text.

    `ids` are ordered by frequency, as vocabularies are, the unknown token first. Special tokens and
    reserved places are left out. `prefix` and `suffix` are the special
    tokens that the encoder puts around a text.
    """

    backend: tokenizers.Tokenizer
    ids: list[int]
    prefix: list[int]
    suffix: list[int]

    @property
    def size(self) -> int:
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    def rows(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        encodings = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]


def read_vocabulary(file: Path) -> Vocabulary:
    """From a `tokenizer.json` that is known to be sound."""
    from tokenizers import Tokenizer as Backend

    text = file.read_text(encoding="utf-8")
    backend = Backend.from_str(text)
    backend.no_truncation()  # a static model reads all of a text
    backend.no_padding()
    special = {i for i, token in backend.get_added_tokens_decoder().items() if token.special}
    unknown = _unknown(json.loads(text)["model"], backend)
    known = backend.get_vocab(with_added_tokens=True)
    ids = [
        i
        for token, i in known.items()
        if i == unknown or (i not in special and not _UNUSED.match(token))
    ]
    ids.sort(key=lambda i: (i != unknown, i))
    prefix, suffix = _around(backend)
    return Vocabulary(backend=backend, ids=ids, prefix=prefix, suffix=suffix)


def _unknown(model: dict[str, Any], backend: tokenizers.Tokenizer) -> int | None:
    """The id for what is not in the vocabulary, None where there is none."""
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    token = model.get("unk_token")
    return None if token is None else backend.token_to_id(token)


def _around(backend: tokenizers.Tokenizer) -> tuple[list[int], list[int]]:
    bare = backend.encode("a", add_special_tokens=False).ids
    whole = backend.encode("a", add_special_tokens=True).ids
    start = next(
        (i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), len(whole) - len(bare)
    )
    return whole[:start], whole[start + len(bare) :]


def encode_tokens(
    folder: ModelFolder, vocabulary: Vocabulary, device: str, progress: Progress
) -> Matrix:
    """The vector of each token of `vocabulary.ids` as a text of its own, shape (tokens, dim).

    They are not brought to unit length: the length tells how much of a meaning a token has. Raises
    ModelError where the model cannot be loaded or fails, DeviceError where memory runs out.
    """
    import numpy as np
    import torch

    model = load_model(folder.root, device)
    modules = [module for module in model if type(module).__name__ != "Normalize"]
    progress.start("Encoding tokens", len(vocabulary.ids), "tokens")
    found = []
    for start in range(0, len(vocabulary.ids), BATCH_TOKENS):
        ids = vocabulary.ids[start : start + BATCH_TOKENS]
        sequences = [[*vocabulary.prefix, i, *vocabulary.suffix] for i in ids]
        try:
            with torch.inference_mode():
                found.append(_pooled(modules, torch.tensor(sequences, device=device)))
        except torch.OutOfMemoryError:
            raise DeviceError(f"{device} ran out of memory: use device='cpu'") from None
        progress.advance(len(ids))
    vectors = np.vstack(found)
    if not np.isfinite(vectors).all():
        raise ModelError(f"the model {folder.root} made a vector that is not finite")
    return vectors


def _pooled(modules: list[Any], ids: Any) -> Matrix:
    import numpy as np
    import torch

    features = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
    }
    for module in modules:
        features = module(features)
    vectors = features["sentence_embedding"].float().cpu().numpy()
    return np.ascontiguousarray(vectors, dtype=np.float32)
