"""The engine for many texts on a CPU: OpenVINO, in bfloat16 where the CPU multiplies it natively.

Texts are sorted by length into batches of some thousand tokens, one stream a core; the next batch
is prepared while the others compute.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embedsearch.device import cpu_count
from embedsearch.encoder import bert, pooling
from embedsearch.encoder.compiled import compiled
from embedsearch.encoder.inputs import Inputs, batches
from embedsearch.encoder.numpy_engine import NumpyEngine
from embedsearch.encoder.openvino_graph import build_graph, left_behind, openvino

if TYPE_CHECKING:
    from embedsearch.encoder.engine import Task
    from embedsearch.types import Vectors

BATCH_TOKENS = 2048
"""Padding counted. From 1,000 to 4,000 the speed is about the same; more costs memory."""


def is_installed() -> bool:
    """Whether OpenVINO can be imported; does not import it."""
    return importlib.util.find_spec("openvino") is not None


def precision() -> str:
    """`bf16` where the CPU has instructions for it, else `f32`. Imports OpenVINO.

    Not int8: its vectors leave the others' by more than 0.001 of cosine.
    """
    capabilities = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "f32"


class OpenVinoEngine:
    """A model of the BERT family in OpenVINO; compiled, or read from the cache, when first used."""

    name = "openvino"
    device = "cpu"

    def __init__(
        self, inputs: Inputs, fingerprint: str, *, batch_tokens: int | None = None
    ) -> None:
        self._inputs = inputs
        self._fingerprint = fingerprint
        self._batch_tokens = batch_tokens or BATCH_TOKENS
        self._instead = NumpyEngine(inputs)
        """Takes over in a forked process, where OpenVINO cannot be used."""
        self._queue: Any = None
        self._lock = threading.Lock()

    def embed(self, texts: list[str], task: Task) -> Vectors:
        """Unit vectors of shape (len(texts), dim). Raises ModelError for damaged weights."""
        import numpy as np

        if left_behind():
            return self._instead.embed(texts, task)
        ids = self._inputs.ids(texts, task)
        out = np.empty((len(texts), self._inputs.folder.dim), dtype=np.float32)
        with self._lock:  # the queue's callback writes into this call's `out`
            if self._queue is None:
                self._load()
            self._queue.set_callback(lambda request, batch: self._collect(request, batch, ids, out))
            try:
                for batch in batches([len(text) for text in ids], self._batch_tokens):
                    self._queue.start_async(self._prepare([ids[row] for row in batch]), batch)
            finally:
                self._queue.wait_all()
        return out

    def _load(self) -> None:
        folder = self._inputs.folder
        threads = cpu_count()
        settings = {
            "INFERENCE_PRECISION_HINT": precision(),
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
        }
        self._bert = bert.load_bert(folder.modules[0], folder.architecture)
        self._head = pooling.read_head(folder)
        model = compiled(self._fingerprint, lambda: build_graph(self._bert), settings)
        self._queue = openvino().AsyncInferQueue(model, threads)

    def _prepare(self, ids: Sequence[Sequence[int]]) -> list[Any]:
        """The graph's inputs for a batch; ModelError for ids that the weights do not have."""
        import numpy as np

        lengths = np.array([len(text) for text in ids], dtype=np.int32)
        tokens = np.zeros((len(ids), int(lengths.max())), dtype=np.int32)
        places = np.zeros_like(tokens)
        for row, text in enumerate(ids):
            tokens[row, : len(text)] = text
            places[row, : len(text)] = bert.positions_of(
                tokens[row, : len(text)], self._bert.padding_id
            )
        bert.check_inputs(self._bert, tokens, places)
        bias = bert.relative_bias(self._bert, tokens.shape[1])
        return [tokens, places, lengths, *([] if bias is None else [bias])]

    def _collect(
        self, request: Any, batch: list[int], ids: Sequence[Sequence[int]], out: Vectors
    ) -> None:
        import numpy as np

        lengths = np.array([len(ids[row]) for row in batch])
        out[batch] = self._head.pool(request.get_output_tensor(0).data, lengths)
