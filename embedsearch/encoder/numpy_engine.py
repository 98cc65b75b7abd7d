"""The engine that needs nothing but NumPy: weights mapped from the disk, float32, ready at once.

For a handful of texts it has answered before any other engine is loaded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from embedsearch.encoder import bert, pooling
from embedsearch.encoder.bert import Bert, Block, Linear, Norm
from embedsearch.encoder.static_table import read_table
from embedsearch.errors import ModelError

if TYPE_CHECKING:
    from embedsearch.encoder.engine import Task
    from embedsearch.encoder.inputs import Inputs
    from embedsearch.encoder.weights import Array
    from embedsearch.types import Vectors


SCORES_AT_A_TIME = 1 << 25
"""128 MiB of attention scores: a text of 8,192 tokens has 8 times as many for each of 16 heads."""


class NumpyEngine:
    """A model of the BERT family, or static embeddings, in NumPy on the CPU."""

    name = "numpy"
    device = "cpu"

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._model: Callable[[Sequence[Sequence[int]]], Vectors] | None = None
        self._lock = threading.Lock()

    def embed(self, texts: list[str], task: Task) -> Vectors:
        """Unit vectors of shape (len(texts), dim). Raises ModelError for damaged weights."""
        model = self._loaded()
        return model(self._inputs.ids(texts, task))

    def _loaded(self) -> Callable[[Sequence[Sequence[int]]], Vectors]:
        with self._lock:
            if self._model is None:
                static = self._inputs.folder.modules[0].kind == "StaticEmbedding"
                self._model = _static(self._inputs) if static else _contextual(self._inputs)
            return self._model


def _contextual(inputs: Inputs) -> Callable[[Sequence[Sequence[int]]], Vectors]:
    folder = inputs.folder
    model = bert.load_bert(folder.modules[0], folder.architecture)
    head = pooling.read_head(folder)

    # products this small gain nothing from a second thread and wait long for it on a busy machine
    from threadpoolctl import ThreadpoolController

    threads = ThreadpoolController()

    def embed(ids: Sequence[Sequence[int]]) -> Vectors:
        import numpy as np

        rows = []
        with threads.limit(limits=1, user_api="blas"):
            for text in ids:  # one at a time: nothing is padded, and memory stays small
                tokens = forward(model, text)
                rows.append(head.pool(tokens[None], np.array([len(text)])))
        return np.concatenate(rows)

    return embed


def forward(model: Bert, ids: Sequence[int]) -> Array:
    """Contextual vectors of one text's tokens, shape (tokens, hidden).

    Raises ModelError for an id or a position that the weights do not have.
    """
    import numpy as np

    tokens = np.array(ids, dtype=np.int32)
    places = bert.positions_of(tokens, model.padding_id)
    bert.check_inputs(model, tokens, places)
    bias = bert.relative_bias(model, len(tokens))
    x = _norm(model.words[tokens] + model.positions[places], model.norm, model.epsilon)
    for block in model.blocks:
        attended = _linear(_attention(x, block, model.heads, bias), block.output)
        x = _norm(x + attended, block.attention_norm, model.epsilon)
        inner = _ACTIVATIONS[model.activation](_linear(x, block.inner))
        x = _norm(x + _linear(inner, block.outer), block.norm, model.epsilon)
    return x


def _linear(x: Array, layer: Linear) -> Array:
    out: Array = x @ layer.weight.T
    out += layer.bias
    return out


def _attention(x: Array, block: Block, heads: int, bias: Array | None) -> Array:
    """Scaled dot-product attention of shape (tokens, hidden), without the output projection."""
    import numpy as np

    tokens, hidden = x.shape

    def split(layer: Linear) -> Array:
        return _linear(x, layer).reshape(tokens, heads, -1).transpose(1, 0, 2)

    query, key, value = split(block.query), split(block.key), split(block.value)
    query *= np.float32((hidden // heads) ** -0.5)
    attended = np.empty_like(value)
    step = max(1, SCORES_AT_A_TIME // tokens**2)
    for start in range(0, heads, step):
        part = slice(start, start + step)
        scores = query[part] @ key[part].transpose(0, 2, 1)
        if bias is not None:
            scores += bias[part]
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        attended[part] = scores @ value[part]
    return np.asarray(attended.transpose(1, 0, 2).reshape(tokens, hidden), dtype=x.dtype)


def _norm(x: Array, norm: Norm, epsilon: float) -> Array:
    import numpy as np

    x = x - x.mean(axis=-1, keepdims=True)
    x /= np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(epsilon))
    x *= norm.weight
    x += norm.bias
    return x


def _gelu(x: Array) -> Array:
    """x Φ(x), with erf to 1.5e-7 by Abramowitz and Stegun 7.1.26."""
    import numpy as np

    size = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * size)
    series = np.full_like(t, 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * t + np.float32(factor)
    erf = np.copysign(1 - series * t * np.exp(-size * size), x)
    out: Array = np.float32(0.5) * x * (1 + erf)
    return out


def _gelu_tanh(x: Array) -> Array:
    import numpy as np

    inner = np.float32((2 / np.pi) ** 0.5) * (x + np.float32(0.044715) * x * x * x)
    out: Array = np.float32(0.5) * x * (1 + np.tanh(inner))
    return out


def _relu(x: Array) -> Array:
    import numpy as np

    return np.maximum(x, 0)


_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": _relu,
}


def _static(inputs: Inputs) -> Callable[[Sequence[Sequence[int]]], Vectors]:
    """Static embeddings: the mean of the tokens' rows; a text without tokens is a row of zeros."""
    folder = inputs.folder
    table = read_table(folder.modules[0])
    head = pooling.read_head(folder)

    def embed(ids: Sequence[Sequence[int]]) -> Vectors:
        import numpy as np

        means = np.zeros((len(ids), table.rows.shape[1]), dtype=np.float32)
        for row, text in enumerate(ids):
            if text:
                if max(text) >= table.tokens:
                    raise ModelError(
                        f"{folder.root} has vectors for {table.tokens} tokens, and its tokenizer "
                        f"makes token {max(text)}: the two do not belong together"
                    )
                means[row] = table.mean(text)
        return head.pool(means[:, None, :], np.ones(len(ids), dtype=np.int64))

    return embed
