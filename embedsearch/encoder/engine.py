"""What computes the vectors of a model folder, and which engine that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from embedsearch.device import has_accelerator
from embedsearch.encoder import bert, pooling, tokenizer_classes
from embedsearch.encoder.fingerprint import TRANSFORMER_DEFAULTS
from embedsearch.encoder.folder import read_json
from embedsearch.encoder.numpy_engine import NumpyEngine
from embedsearch.encoder.openvino_engine import OpenVinoEngine, is_installed
from embedsearch.encoder.torch_engine import TorchEngine
from embedsearch.errors import DependencyError, InputError, ModelError

if TYPE_CHECKING:
    from embedsearch.encoder.folder import ModelFolder
    from embedsearch.encoder.inputs import Inputs
    from embedsearch.types import Vectors

Task = Literal["query", "document"]
"""Which side of the search a text stands on; it decides the prompt put before it."""

EngineName = Literal["auto", "numpy", "openvino", "torch"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)

SMALL_CHARACTERS = 2000
"""Texts of together no more than this are computed in NumPy, which takes less time for them than
any other engine takes to load: a query, a few changed chunks."""

QUERIES_CHARACTERS = 50_000
"""The same for queries: one of a batch gets the vector, in float32, that it gets alone."""


_KNOWN = frozenset({"max_seq_length", "unpad_inputs"})
_HARMLESS = {
    "tokenizer_args": ("model_max_length",),
    "processor_kwargs": ("model_max_length",),
    "model_args": ("attn_implementation", "dtype", "torch_dtype", "use_safetensors"),
    "model_kwargs": ("attn_implementation", "dtype", "torch_dtype", "use_safetensors"),
}
"""Settings of a Transformer module that `Inputs` follows or that do not reach the vectors."""


class Engine(Protocol):
    """For the same model folder, every engine computes the same vectors up to rounding."""

    @property
    def name(self) -> str:
        """For instance `torch`."""

    @property
    def device(self) -> str:
        """Where it computes, for instance `cpu` or `cuda:0`."""

    def embed(self, texts: list[str], task: Task) -> Vectors:
        """Unit vectors, C-contiguous float32 of shape (len(texts), dim); `texts` is not empty."""


class SplitEngine:
    """A few texts at once in NumPy, which is always ready; many by the engine that is fast then."""

    def __init__(self, small: NumpyEngine, large: Engine) -> None:
        self._small = small
        self._large = large

    @property
    def name(self) -> str:
        """The engine for many texts."""
        return self._large.name

    @property
    def device(self) -> str:
        return self._large.device

    def embed(self, texts: list[str], task: Task) -> Vectors:
        # by the texts alone: the same call gives the same vectors, whatever was loaded before
        most = SMALL_CHARACTERS if task == "document" else QUERIES_CHARACTERS
        few = sum(map(len, texts)) <= most
        return (self._small if few else self._large).embed(texts, task)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The engine for a model: `large` for many texts, `small` for few. `remark` tells why a faster
    one than torch does not serve, or is ""."""

    large: EngineName
    small: EngineName
    remark: str = ""


def check_engine(engine: str) -> None:
    """InputError for an unknown engine."""
    if engine not in ENGINES:
        raise InputError(f"unknown engine {engine!r}: use {', '.join(ENGINES)}")


def choose_engine(folder: ModelFolder, engine: EngineName, device: str) -> Choice:
    """Which engines serve a model on a device; loads none of them, nor torch.

    Raises InputError for an unknown engine, ModelError where the engine asked for cannot take the
    model, DependencyError where it is not installed.
    """
    check_engine(engine)
    if engine == "torch":
        return Choice(large="torch", small="torch")
    static = folder.modules[0].kind == "StaticEmbedding"
    reason = why_not(folder)
    if engine == "auto":
        return _automatic(device, static, reason)
    if reason or (static and engine == "openvino"):
        reason = reason or "static embeddings need no more than NumPy"
        raise ModelError(f"{engine} cannot compute the model {folder.root}: {reason}; use auto")
    if device not in ("auto", "cpu"):
        raise InputError(f"{engine} computes on the CPU, not on {device!r}: use torch there")
    if engine == "openvino" and not is_installed():
        raise DependencyError("openvino is not installed: pip install 'embedsearch[cpu]'")
    return Choice(large=engine, small=engine)


def _automatic(device: str, static: bool, reason: str) -> Choice:
    if reason:
        return Choice(large="torch", small="torch", remark=reason)
    if static:
        return Choice(large="numpy", small="numpy")
    if device != "cpu" and (device != "auto" or has_accelerator()):
        return Choice(large="torch", small="numpy")
    if not is_installed():
        return Choice(
            large="torch",
            small="numpy",
            remark="OpenVINO, several times faster, is not installed: "
            "pip install 'embedsearch[cpu]'",
        )
    return Choice(large="openvino", small="numpy")


def make_engine(
    choice: Choice, inputs: Inputs, fingerprint: str, *, device: str, batch_tokens: int | None
) -> Engine:
    """The engine of a choice; nothing is loaded before it is used."""

    def make(name: EngineName) -> Engine:
        if name == "torch":
            return TorchEngine(
                inputs, device=device, batch_tokens=batch_tokens, remark=choice.remark
            )
        if name == "openvino":
            return OpenVinoEngine(inputs, fingerprint, batch_tokens=batch_tokens)
        return NumpyEngine(inputs)

    large = make(choice.large)
    if choice.small == choice.large:
        return large
    return SplitEngine(NumpyEngine(inputs), large)


def why_not(folder: ModelFolder) -> str:
    """Why only torch can compute a model, or ""."""
    first = folder.modules[0]
    reason = pooling.why_not(folder.modules[1:])
    if first.kind != "StaticEmbedding":
        reason = reason or bert.why_not(first, folder.architecture)
        reason = reason or _odd_setting(first.config) or tokenizer_classes.difference(folder)
    return reason or _odd_texts(folder)


def _odd_setting(config: Mapping[str, Any]) -> str:
    """What sentence-transformers is told to do that is done nowhere else, or ""."""
    for key, value in config.items():
        harmless = _HARMLESS.get(key, ())
        usual = value in (None, False, {}) or value == TRANSFORMER_DEFAULTS.get(key)
        if not usual and harmless and isinstance(value, Mapping):
            usual = set(value) <= set(harmless)
        if not usual and key not in _KNOWN:
            return f"its setting {key!r} is for sentence-transformers alone"
    return ""


def _odd_texts(folder: ModelFolder) -> str:
    """Ways of cutting texts and prompts that `Inputs` does not know, or ""."""
    first = folder.modules[0]
    side = folder.tokenizer_config.get("truncation_side", "right")
    if first.kind == "StaticEmbedding":
        side = (read_json(folder.tokenizer_file).get("truncation") or {}).get("direction", side)
    if side.lower() != "right":
        return "its texts are cut at their beginning"
    whole = all(m.config.get("include_prompt", True) for m in folder.modules if m.kind == "Pooling")
    if folder.prompts and not whole:
        return "its pooling leaves the prompt out"
    return ""
