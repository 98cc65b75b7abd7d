"""The vectors of single tokens: the row of the embedding matrix, and what the layers make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.device import resolve_device
from embedsearch.encoder.folder import ModelFolder, read_json
from embedsearch.encoder.resolve import resolve_model
from embedsearch.encoder.torch_engine import quiet
from embedsearch.encoder.weights import weight_files
from embedsearch.errors import InputError, ModelError
from embedsearch.text.anatomy import Anatomy
from embedsearch.text.encoding import Encoding
from embedsearch.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class TokenStates:
    """A text as tokens and their vectors, not normalised.

    `static`, shape (n, width), has the token's row of the embedding matrix, the same in every
    sentence. `contextual`, shape (n, hidden), is what the last layer makes of it in this one.
    """

    encoding: Encoding
    static: Matrix
    contextual: Matrix


class TokenModel:
    """A transformer looked at token by token."""

    def __init__(self, tokenizer: Tokenizer, transformer: Any) -> None:
        self.tokenizer = tokenizer
        self._model = transformer
        self._limit: int | None = getattr(transformer.config, "max_position_embeddings", None)

    @classmethod
    def load(cls, model: str | Path, *, device: str = "auto") -> TokenModel:
        """A model by name, folder or hub id: a sentence encoder or a bare transformer.

        Raises ModelError where it cannot be loaded, or where its tokenizer has ids that its
        embedding matrix has no row for; NotFoundError as `resolve_model`.
        """
        folder = _transformer_folder(resolve_model(model))
        tokenizer = Tokenizer.load(folder)
        transformer = _load(folder, resolve_device(device))
        rows = transformer.get_input_embeddings().weight.shape[0]
        if tokenizer.vocab_size > rows:
            raise ModelError(
                f"the tokenizer of {folder} has {tokenizer.vocab_size} ids and the model an "
                f"embedding of {rows} rows: they do not belong together; take the model's own "
                "tokenizer, or resize its embedding"
            )
        return cls(tokenizer, transformer)

    def states(self, text: str) -> TokenStates:
        """The tokens of a text, special tokens among them, with their vectors.

        Raises InputError for a text without tokens or with more than the model has positions for.
        """
        import numpy as np
        import torch

        encoding = self.tokenizer.encode(text)
        if not encoding.ids:
            raise InputError(f"the text {text!r} has no tokens")
        if self._limit is not None and len(encoding.ids) > self._limit:
            raise InputError(
                f"the text has {len(encoding.ids)} tokens and the model sees {self._limit}: "
                "give a shorter one"
            )
        matrix = self._model.get_input_embeddings().weight
        ids = torch.tensor([encoding.ids], device=matrix.device)
        with torch.inference_mode():
            static = matrix[ids[0]]
            contextual = self._model(
                input_ids=ids, attention_mask=torch.ones_like(ids)
            ).last_hidden_state[0]
        return TokenStates(
            encoding=encoding,
            static=np.ascontiguousarray(static.float().cpu().numpy()),
            contextual=np.ascontiguousarray(contextual.float().cpu().numpy()),
        )

    def nearest(self, ids: Sequence[int], k: int) -> list[list[tuple[str, float]]]:
        """For each id the k tokens whose static rows are nearest to its own, itself left out, with
        their cosines, best first."""
        import torch

        anatomy = Anatomy(self.tokenizer)
        with torch.inference_mode():
            matrix = self._model.get_input_embeddings().weight[: self.tokenizer.vocab_size]
            rows = torch.nn.functional.normalize(matrix, dim=1)
            cosines = rows[list(ids)] @ rows.T
            cosines[range(len(ids)), list(ids)] = -torch.inf
            best = torch.topk(cosines, min(k, len(rows) - 1))
        return [
            [(anatomy.token(number), cosine) for number, cosine in zip(numbers, found, strict=True)]
            for numbers, found in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]


def _transformer_folder(root: Path) -> Path:
    """The folder with the transformer: the model's own, or the first module's of an encoder."""
    if (root / "modules.json").is_file():
        first = ModelFolder.read(root).modules[0]
        if first.kind != "Transformer":
            raise ModelError(f"{root} is a {first.kind}: it has no vectors in context")
        return first.folder
    if not read_json(root / "config.json"):
        raise ModelError(f"{root} has no config.json, so it is not a model folder")
    if not weight_files(root):
        raise ModelError(f"{root} has no model.safetensors")
    return root


def _load(folder: Path, device: str) -> Any:
    """The bare transformer of a folder, in float32, from local safetensors; no code of the folder
    is run. Raises ModelError where it cannot be loaded or lacks weights."""
    with quiet():
        import torch
        from transformers import AutoModel

        try:
            model, found = AutoModel.from_pretrained(
                str(folder),
                trust_remote_code=False,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
            model = model.to(device).eval()
        except Exception as error:  # whatever the libraries below raise for a bad folder
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ModelError(f"the model {folder} cannot be loaded: {reason}") from None
    missing = sorted(name for name in found["missing_keys"] if "pooler." not in name)
    if missing:
        raise ModelError(f"the model {folder} lacks the weights {', '.join(missing[:5])}")
    if model.config.is_encoder_decoder:
        raise ModelError(
            f"the model {folder} is an encoder with a decoder: choose one of a single stack"
        )
    return model
