"""A model of the BERT family as an OpenVINO graph, built from its weights without torch."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from embedsearch.encoder.bert import Bert, Block, Linear, Norm

if TYPE_CHECKING:
    from types import ModuleType

    from embedsearch.encoder.weights import Array

VERSION = 1
"""Raised when the graph changes, so that compiled ones are made anew."""

_FAR = -10_000.0
"""Added to the score of a padding token: its weight after the softmax is 0, in bf16 too."""

_CONVERTER = "openvino.tools.ovc"


def openvino() -> ModuleType:
    """The module, imported without its model converter: this alone loads the library's telemetry
    and half of its import time. A program that imported all of it already keeps it."""
    return _imported()[0]


def left_behind() -> bool:
    """Whether this process was forked from one that had imported OpenVINO: its threads stayed
    there, and a call would wait for them for ever."""
    return _imported.cache_info().currsize > 0 and _imported()[1] != os.getpid()


@cache
def _imported() -> tuple[ModuleType, int]:
    """OpenVINO, and the process that imported it."""
    if _CONVERTER in sys.modules:
        return import_module("openvino"), os.getpid()
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # how Python marks "not importable"
    try:
        return import_module("openvino"), os.getpid()
    finally:
        del sys.modules[_CONVERTER]


def build_graph(model: Bert) -> Any:
    """The graph as `openvino.Model`.

    Inputs, in this order: `ids` and `positions` (texts, tokens) and `lengths` (texts,), int32; for
    MPNet `bias` (heads, tokens, tokens), float32. Output: the tokens' vectors, float32 (texts,
    tokens, hidden).
    """
    import numpy as np

    ov = openvino()
    from openvino import opset14 as op

    ids = op.parameter([-1, -1], np.int32, "ids")
    positions = op.parameter([-1, -1], np.int32, "positions")
    lengths = op.parameter([-1], np.int32, "lengths")
    inputs = [ids, positions, lengths]
    mask = _mask(op, ids, lengths)
    if model.relative is not None:
        bias = op.parameter([model.heads, -1, -1], np.float32, "bias")
        inputs.append(bias)
        mask = op.add(mask, op.unsqueeze(bias, np.int32(0)))
    zero = np.int32(0)
    words = op.gather(_constant(op, model.words), ids, zero)
    places = op.gather(_constant(op, model.positions), positions, zero)
    x = _norm(op, op.add(words, places), model.norm, model.epsilon)
    for block in model.blocks:
        attended = _linear(op, _attention(op, x, mask, block, model), block.output)
        x = _norm(op, op.add(x, attended), block.attention_norm, model.epsilon)
        inner = _activation(op, _linear(op, x, block.inner), model.activation)
        x = _norm(op, op.add(x, _linear(op, inner, block.outer)), block.norm, model.epsilon)
    return ov.Model([x], inputs, "encoder")


def _mask(op: Any, ids: Any, lengths: Any) -> Any:
    """What is added to the scores, shape (texts, 1, 1, tokens)."""
    import numpy as np

    zero, one = np.int32(0), np.int32(1)
    tokens = op.gather(op.shape_of(ids, "i32"), one, zero)
    places = op.range(zero, tokens, one, "i32")
    padding = op.greater_equal(op.unsqueeze(places, zero), op.unsqueeze(lengths, one))
    far = op.multiply(op.convert(padding, "f32"), np.float32(_FAR))
    return op.unsqueeze(far, np.array([1, 2], dtype=np.int32))


def _attention(op: Any, x: Any, mask: Any, block: Block, model: Bert) -> Any:
    import numpy as np

    apart = np.array([0, 0, model.heads, model.hidden // model.heads], dtype=np.int32)
    swap = np.array([0, 2, 1, 3], dtype=np.int32)

    def split(layer: Linear) -> Any:
        return op.transpose(op.reshape(_linear(op, x, layer), apart, True), swap)

    attended = op.scaled_dot_product_attention(
        split(block.query), split(block.key), split(block.value), mask
    )
    together = np.array([0, 0, model.hidden], dtype=np.int32)
    return op.reshape(op.transpose(attended, swap), together, True)


def _linear(op: Any, x: Any, layer: Linear) -> Any:
    product = op.matmul(x, _constant(op, layer.weight), False, True)
    return op.add(product, _constant(op, layer.bias))


def _norm(op: Any, x: Any, norm: Norm, epsilon: float) -> Any:
    import numpy as np

    even = op.mvn(x, np.array([-1]), True, epsilon, "INSIDE_SQRT")
    return op.add(op.multiply(even, _constant(op, norm.weight)), _constant(op, norm.bias))


def _activation(op: Any, x: Any, name: str) -> Any:
    if name == "relu":
        return op.relu(x)
    return op.gelu(x, "ERF" if name == "gelu" else "TANH")


def _constant(op: Any, array: Array) -> Any:
    import numpy as np

    return op.constant(np.ascontiguousarray(array), shared_memory=True)
