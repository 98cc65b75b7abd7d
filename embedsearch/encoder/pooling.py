"""From the vectors of a text's tokens to its one unit vector: the modules after the transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedsearch.encoder.weights import map_tensors
from embedsearch.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedsearch.encoder.folder import ModelFolder, Module
    from embedsearch.encoder.weights import Array
    from embedsearch.types import Vectors

MODES = frozenset({"cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"})
_ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": "Identity",
    "torch.nn.modules.activation.Tanh": "Tanh",
    "torch.nn.modules.activation.ReLU": "ReLU",
}
_TANH = "torch.nn.modules.activation.Tanh"
_KINDS = frozenset({"Pooling", "Dense", "Normalize", "LayerNorm", "Dropout"})


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a model does after its transformer; `truncate` is the length of the final vector."""

    modules: tuple[Module, ...]
    weights: tuple[Mapping[str, Array], ...]
    truncate: int

    def pool(self, tokens: Array, lengths: NDArray[np.int64]) -> Vectors:
        """Unit vectors (texts, dim) of token vectors (texts, longest, hidden); `lengths` (texts,)
        says how many tokens of each text count."""
        import numpy as np

        vectors = tokens[:, 0]
        hidden = tokens.shape[2]
        for module, weights in zip(self.modules, self.weights, strict=True):
            if module.kind == "Pooling":
                _check_width(module, hidden)
                parts = [_pool(mode, tokens, lengths) for mode in module.config["pooling_mode"]]
                vectors = np.concatenate(parts, axis=1)
            elif module.kind == "Normalize":
                vectors = normalized(vectors)
            elif module.kind == "LayerNorm":
                _check_width(module, vectors.shape[1])
                vectors = _layer_norm(vectors, weights)
            elif module.kind == "Dense":
                _check_width(module, vectors.shape[1])
                vectors = _dense(vectors, module, weights)
        return normalized(vectors[:, : self.truncate])


def read_head(folder: ModelFolder) -> Head:
    """The modules of a folder after its first. Raises ModelError where weights are missing or are
    not what the module's config says."""
    modules = folder.modules[1:]
    weights = tuple(map_tensors(module.weights) for module in modules)
    for module, tensors in zip(modules, weights, strict=True):
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        expected = _shapes(module)
        if shapes != expected:
            raise ModelError(f"{module.folder} has the tensors {shapes}, and needs {expected}")
    return Head(modules=modules, weights=weights, truncate=folder.dim)


def _shapes(module: Module) -> dict[str, tuple[int, ...]]:
    """The tensors of a module by its config."""
    config = module.config
    shapes: dict[str, tuple[int, ...]] = {}
    if module.kind == "Dense":
        out = int(config.get("out_features", 0))
        shapes["linear.weight"] = (out, int(config.get("in_features", 0)))
        if config.get("bias", True):
            shapes["linear.bias"] = (out,)
    elif module.kind == "LayerNorm":
        shapes["norm.weight"] = shapes["norm.bias"] = (int(config.get("dimension", 0)),)
    return shapes


def why_not(modules: Sequence[Module]) -> str:
    """Why modules cannot be followed here, or ""."""
    for module in modules:
        if module.kind not in _KINDS:
            return f"its module {module.kind!r} is none of {', '.join(sorted(_KINDS))}"
        if module.kind == "Pooling":
            odd = [mode for mode in module.config["pooling_mode"] if mode not in MODES]
            if odd:
                return f"its pooling {odd[0]!r} is none of {', '.join(sorted(MODES))}"
        if module.kind == "Dense":
            name = module.config.get("activation_function", _TANH)
            if name not in _ACTIVATIONS or module.config.get("use_residual"):
                return f"its Dense module has a residual or the activation {name!r}"
        for key in ("module_input_name", "module_output_name"):
            place = module.config.get(key, "sentence_embedding")
            if place != "sentence_embedding":
                return f"its module {module.kind} works on {place!r}"
    return ""


_WIDTHS = {"Pooling": "embedding_dimension", "Dense": "in_features", "LayerNorm": "dimension"}


def _check_width(module: Module, hidden: int) -> None:
    wanted = module.config.get(_WIDTHS[module.kind], hidden)
    if wanted != hidden:
        raise ModelError(
            f"{module.folder} is for vectors of {wanted} numbers, and the model's have {hidden}: "
            "its settings contradict its weights"
        )


def normalized(vectors: Array) -> Vectors:
    """Rows scaled to unit length, C-contiguous; a row of zeros stays one, as in torch."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def _pool(mode: str, tokens: Array, lengths: NDArray[np.int64]) -> Array:
    import numpy as np

    rows = np.arange(len(tokens))
    if mode == "cls":
        return tokens[:, 0]
    if mode == "lasttoken":
        return tokens[rows, lengths - 1]
    places = np.arange(tokens.shape[1])
    inside = places < lengths[:, None]
    if mode == "max":
        return np.asarray(np.where(inside[:, :, None], tokens, -np.inf).max(axis=1))
    weights = inside.astype(np.float32)
    if mode == "weightedmean":
        weights *= places + 1
    total = weights.sum(axis=1, keepdims=True)
    weights /= np.sqrt(total) if mode == "mean_sqrt_len_tokens" else total
    return np.asarray((weights[:, None, :] @ tokens)[:, 0])


def _dense(vectors: Array, module: Module, weights: Mapping[str, Array]) -> Array:
    import numpy as np

    out = vectors @ weights["linear.weight"].T
    if "linear.bias" in weights:
        out = out + weights["linear.bias"]
    name = _ACTIVATIONS[module.config.get("activation_function", _TANH)]
    if name == "Tanh":
        out = np.tanh(out)
    elif name == "ReLU":
        out = np.maximum(out, 0)
    return out


def _layer_norm(vectors: Array, weights: Mapping[str, Array], epsilon: float = 1e-5) -> Array:
    import numpy as np

    centred = vectors - vectors.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon)
    return np.asarray(centred / spread * weights["norm.weight"] + weights["norm.bias"])
