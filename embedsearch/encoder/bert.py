"""The weights of BERT and its kin (RoBERTa, XLM-R, CamemBERT, MPNet, DistilBERT) under one set of
names: encoders of post-normalised blocks with learned positions.

Source: Devlin et al. 2019 (arXiv 1810.04805); the names are those of the checkpoints that
transformers writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedsearch.encoder.bert_families import FAMILIES, RELATIVE, TYPES, Family
from embedsearch.encoder.weights import FLOATS, map_tensors, read_header
from embedsearch.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedsearch.encoder.folder import Module
    from embedsearch.encoder.weights import Array

    Ids = NDArray[np.int32]

ACTIVATIONS = frozenset({"gelu", "gelu_new", "gelu_pytorch_tanh", "relu"})


@dataclass(frozen=True, kw_only=True)
class Linear:
    """`weight` has shape (out, in), `bias` (out,)."""

    weight: Array
    bias: Array


@dataclass(frozen=True, kw_only=True)
class Norm:
    """A layer normalisation; both have shape (hidden,)."""

    weight: Array
    bias: Array


@dataclass(frozen=True, kw_only=True)
class Block:
    """Attention, then a feed-forward net, each added to its input and normalised."""

    query: Linear
    key: Linear
    value: Linear
    output: Linear
    attention_norm: Norm
    inner: Linear
    outer: Linear
    norm: Norm


@dataclass(frozen=True, kw_only=True)
class Bert:
    """A whole encoder.

    `words` has shape (vocabulary, hidden), `positions` (positions, hidden) with the vector of the
    first token type added. `padding_id` is None where positions count from 0; else they count from
    `padding_id + 1` and leave that token out. `relative` (buckets, heads) is MPNet's bias.
    """

    words: Array
    positions: Array
    norm: Norm
    blocks: tuple[Block, ...]
    heads: int
    epsilon: float
    activation: str
    padding_id: int | None
    relative: Array | None

    @property
    def hidden(self) -> int:
        """Numbers in a token's vector."""
        return int(self.words.shape[1])


_PADDING = 1
"""Where config.json names none."""
_MPNET_FAR = 128
"""Tokens of distance from which on all are alike."""


def why_not(module: Module, config: Mapping[str, Any]) -> str:
    """Why a Transformer module cannot be read as a `Bert`, or ""."""
    kind = str(config.get("model_type", ""))
    family = FAMILIES.get(kind)
    if family is None:
        return f"its architecture {kind!r} is none of {', '.join(sorted(FAMILIES))}"
    activation = config.get(family.keys["activation"], "gelu")
    if activation not in ACTIVATIONS:
        return f"its activation {activation!r} is none of {', '.join(sorted(ACTIVATIONS))}"
    if config.get("position_embedding_type", "absolute") != "absolute":
        return f"its positions are {config['position_embedding_type']!r}"
    if config.get("is_decoder") or config.get("add_cross_attention"):
        return "it is a decoder"
    return _odd_weights(module, family, config)


def _odd_weights(module: Module, family: Family, config: Mapping[str, Any]) -> str:
    """Why the tensors in a module's files are not those of a `Bert`, or ""."""
    kinds: dict[str, str] = {}
    for file in module.weights:
        for name, entry in read_header(file).items():
            bare = name.removeprefix(family.prefix)
            if bare in kinds:
                return f"its weights have {bare!r} twice"
            kinds[bare] = entry["dtype"]
    for name in sorted(family.tensors(config)):
        if name not in kinds:
            return f"its weights have no {name!r}"
        if kinds[name] not in FLOATS:
            return f"its weights are stored as {kinds[name]}"
    return ""


def load_bert(module: Module, config: Mapping[str, Any]) -> Bert:
    """The weights of a Transformer module, mapped into memory where they are float32.

    Raises ModelError where they are damaged or contradict the config.
    """
    family = FAMILIES[str(config["model_type"])]
    tensors = {
        name.removeprefix(family.prefix): tensor
        for name, tensor in map_tensors(module.weights).items()
    }
    try:
        bert = _assemble(family, config, tensors)
        _check(bert, family, config)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise ModelError(
            f"the model {module.folder} cannot be loaded, weights and config do not fit: {error}"
        ) from None
    return bert


def positions_of(ids: Ids, padding_id: int | None) -> Ids:
    """Rows of `Bert.positions` for the tokens of one text, shape (tokens,)."""
    import numpy as np

    if padding_id is None:
        return np.arange(len(ids), dtype=ids.dtype)
    real = ids != padding_id
    places: Ids = (np.cumsum(real) * real + padding_id).astype(ids.dtype)
    return places


def check_inputs(bert: Bert, ids: Ids, positions: Ids) -> None:
    """ModelError for a token or a position that the weights do not have."""
    if ids.max() >= len(bert.words) or positions.max() >= len(bert.positions):
        raise ModelError(
            f"the model has {len(bert.words)} tokens and {len(bert.positions)} positions, and a "
            f"text needs token {ids.max()} and position {positions.max()}: its tokenizer or its "
            "max_seq_length does not belong to its weights"
        )


def relative_bias(bert: Bert, tokens: int) -> Array | None:
    """What MPNet adds to the attention scores, shape (heads, tokens, tokens); None for the others.

    Source: MPNetEncoder.relative_position_bucket in transformers, after T5 (arXiv 1910.10683).
    """
    import numpy as np

    if bert.relative is None:
        return None
    half = len(bert.relative) // 2
    exact = half // 2
    place = np.arange(tokens)
    distance = place[:, None] - place[None, :]
    size = np.abs(distance)
    growth = np.log(np.maximum(size, 1).astype(np.float32) / exact)
    growth /= np.float32(np.log(_MPNET_FAR / exact))
    far = np.minimum(exact + (growth * (half - exact)).astype(np.int64), half - 1)
    buckets = (distance < 0) * half + np.where(size < exact, size, far)
    return np.ascontiguousarray(bert.relative[buckets].transpose(2, 0, 1))


def _assemble(family: Family, config: Mapping[str, Any], tensors: Mapping[str, Array]) -> Bert:
    def linear(name: str) -> Linear:
        return Linear(weight=tensors[f"{name}.weight"], bias=tensors[f"{name}.bias"])

    def norm(name: str) -> Norm:
        return Norm(weight=tensors[f"{name}.weight"], bias=tensors[f"{name}.bias"])

    def block(path: str) -> Block:
        at = {role: f"{path}.{name}" for role, name in family.names.items()}
        return Block(
            query=linear(at["query"]),
            key=linear(at["key"]),
            value=linear(at["value"]),
            output=linear(at["output"]),
            attention_norm=norm(at["attention_norm"]),
            inner=linear(at["inner"]),
            outer=linear(at["outer"]),
            norm=norm(at["norm"]),
        )

    positions = tensors["embeddings.position_embeddings.weight"]
    types = tensors[TYPES] if TYPES in family.further else None
    padding = config.get("pad_token_id", _PADDING) if family.positions_from_padding else None
    return Bert(
        words=tensors["embeddings.word_embeddings.weight"],
        positions=positions if types is None else positions + types[0],
        norm=norm("embeddings.LayerNorm"),
        blocks=tuple(
            block(f"{family.blocks}.{layer}") for layer in range(int(config[family.keys["layers"]]))
        ),
        heads=int(config[family.keys["heads"]]),
        epsilon=float(config.get("layer_norm_eps", 1e-12)),
        activation=str(config.get(family.keys["activation"], "gelu")),
        padding_id=_PADDING if RELATIVE in family.further else padding,  # MPNet's is fixed
        relative=tensors[RELATIVE] if RELATIVE in family.further else None,
    )


def _check(bert: Bert, family: Family, config: Mapping[str, Any]) -> None:
    """ValueError unless the shapes fit together and the config."""
    hidden = int(config[family.keys["hidden"]])
    _expect("the matrix of words", bert.words, (int(config["vocab_size"]), hidden))
    if hidden % bert.heads:
        raise ValueError(f"{hidden} numbers do not divide into {bert.heads} heads")
    _expect("the positions", bert.positions, (len(bert.positions), hidden))
    for block in bert.blocks:
        inner = int(config[family.keys["inner"]])
        for linear, shape in (
            (block.query, (hidden, hidden)),
            (block.key, (hidden, hidden)),
            (block.value, (hidden, hidden)),
            (block.output, (hidden, hidden)),
            (block.inner, (inner, hidden)),
            (block.outer, (hidden, inner)),
        ):
            _expect("a layer's weight", linear.weight, shape)
            _expect("a layer's bias", linear.bias, shape[:1])
    for norm in (bert.norm, *(n for b in bert.blocks for n in (b.attention_norm, b.norm))):
        _expect("a normalisation", norm.weight, (hidden,))
        _expect("a normalisation", norm.bias, (hidden,))


def _expect(what: str, tensor: Array, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{what} has shape {tensor.shape}, not {shape}")
