"""The engine that computes with torch, through sentence-transformers."""

from __future__ import annotations

import ctypes
import logging
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.device import has_cpu_bf16, resolve_devices
from embedsearch.encoder.inputs import batches
from embedsearch.encoder.pooling import normalized
from embedsearch.errors import DeviceError, ModelError

if TYPE_CHECKING:
    from embedsearch.encoder.engine import Task
    from embedsearch.encoder.inputs import Inputs
    from embedsearch.types import Vectors

log = logging.getLogger("embedsearch")

CPU_BATCH_TOKENS = 4096
GPU_BATCH_TOKENS = 65_536
"""Padding counted."""

NO_LIMIT = 1 << 30


class TorchEngine:
    """A model folder on torch; torch is imported and the model loaded when first needed.

    With device `auto`, every GPU of the machine takes part. `remark` is logged when it is loaded.
    """

    name = "torch"

    def __init__(
        self,
        inputs: Inputs,
        *,
        device: str = "auto",
        batch_tokens: int | None = None,
        remark: str = "",
    ) -> None:
        self._inputs = inputs
        self._remark = remark
        self._wanted = device
        self._batch_tokens = batch_tokens
        self._devices: list[str] = []
        self._models: dict[str, Any] = {}
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """The (first) device in use; `auto` is resolved here, which imports torch."""
        if not self._devices:
            self._devices = resolve_devices(self._wanted)
        return self._devices[0]

    def embed(self, texts: list[str], task: Task) -> Vectors:
        """Unit vectors of shape (len(texts), dim), in the order of `texts`.

        The prompt of `task` is put before each text. Raises ModelError where the model cannot be
        loaded and DeviceError where a single text does not fit in the device's memory.
        """
        import numpy as np

        on_gpu = self.device.startswith("cuda")
        limit = self._inputs.folder.max_seq_length or NO_LIMIT
        lengths = [min(count, limit) for count in self._inputs.tokens.count(texts)]
        budget = self._batch_tokens or (GPU_BATCH_TOKENS if on_gpu else CPU_BATCH_TOKENS)
        out = np.empty((len(texts), self._inputs.folder.dim), dtype=np.float32)

        def work(job: tuple[int, list[int]]) -> None:
            number, rows = job
            device = self._devices[number % len(self._devices)]
            out[rows] = self._encode([texts[row] for row in rows], task, device)

        jobs = list(enumerate(batches(lengths, budget)))
        # on a GPU two threads for each: while one batch computes, the next becomes tokens
        with ThreadPoolExecutor(2 * len(self._devices) if on_gpu else 1) as pool:
            list(pool.map(work, jobs))
        if len(jobs) > 1:
            _return_freed_memory()
        return out

    def _encode(self, texts: list[str], task: Task, device: str) -> Vectors:
        """One batch; in halves where it does not fit in the device's memory."""
        import numpy as np

        model = self._loaded(device)
        encode = model.encode_query if task == "query" else model.encode_document
        try:
            with _half_precision(device):
                vectors = encode(
                    texts,
                    batch_size=len(texts),
                    show_progress_bar=False,
                    normalize_embeddings=True,
                )
        except (RuntimeError, ValueError, IndexError) as error:
            if not _out_of_memory(error):
                raise ModelError(
                    f"the model {self._inputs.folder.root} fails on a text, so its files do not "
                    f"belong together: {_reason(error)}"
                ) from None
            if len(texts) == 1:
                raise DeviceError(
                    f"{device} has not enough memory for one text: use device='cpu'"
                ) from None
        else:
            if vectors.shape[1] != self._inputs.folder.dim:
                raise ModelError(
                    f"the model {self._inputs.folder.root} made vectors of {vectors.shape[1]} "
                    f"numbers, not {self._inputs.folder.dim}: its settings contradict its weights"
                )
            return normalized(vectors)  # a last layer in half precision leaves it near 1
        middle = len(texts) // 2
        halves = (texts[:middle], texts[middle:])
        return np.concatenate([self._encode(half, task, device) for half in halves])

    def _loaded(self, device: str) -> Any:
        with self._lock:  # two threads that both need the model first must not load it twice
            if self._remark and not self._models:
                log.warning("%s is computed with torch: %s", self._inputs.folder.root, self._remark)
            if device not in self._models:
                self._models[device] = load_model(self._inputs.folder.root, device)
            return self._models[device]


def _out_of_memory(error: Exception) -> bool:
    import torch

    # of CPUs and of Apple's GPUs torch tells by the message alone
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or (
        "can't allocate memory" in text or "out of memory" in text
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _half_precision(device: str) -> AbstractContextManager[Any]:
    """Matrix products in half precision where the hardware has it; sums, norms and the weights
    themselves stay float32, without which vectors move by up to 0.004 of cosine."""
    import torch

    kind = device.partition(":")[0]
    if kind == "cuda":
        with torch.cuda.device(device):  # the GPUs of a machine may differ
            # where bfloat16 is emulated only, float16 is many times as fast
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.autocast("cuda", torch.bfloat16 if native else torch.float16)
    if kind == "cpu" and has_cpu_bf16():
        return torch.autocast("cpu", torch.bfloat16)
    return nullcontext()


def load_model(folder: Path, device: str) -> Any:
    """The SentenceTransformer in `folder`, in float32, from local safetensors, running no code
    of the folder. Raises ModelError where it cannot be loaded or lacks weights."""
    with quiet() as remarks:
        import torch
        from sentence_transformers import SentenceTransformer

        try:
            model = SentenceTransformer(
                str(folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                # float32 also for weights stored in half precision: one model, the same vectors
                # on every device
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )
        except torch.OutOfMemoryError:
            raise DeviceError(f"the model {folder} does not fit in {device}'s memory") from None
        except Exception as error:  # whatever the libraries below raise for a bad folder
            raise ModelError(f"the model {folder} cannot be loaded: {_reason(error)}") from None
    missing = _missing_weights(remarks)
    if missing:
        raise ModelError(
            f"the model {folder} lacks the weights {', '.join(missing)}: its files are damaged or "
            "do not belong together"
        )
    # static embeddings and later modules keep the type that they are stored in
    return model.float().eval()


@contextmanager
def quiet() -> Iterator[list[str]]:
    """No progress bar and no remark of transformers while a model is loaded.

    Yields the list that its warnings are collected in. What was set before is set again.
    """
    from transformers.utils import logging as transformers_logging

    collected: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            collected.append(record.getMessage())

    names = ("transformers", "sentence_transformers")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in loggers]
    disabled = logging.root.manager.disable
    logging.disable(logging.NOTSET)  # or the remarks would not come
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for logger in loggers:
        logger.handlers, logger.propagate = [Collector()], False
        logger.setLevel(logging.WARNING)
    try:
        yield collected
    finally:
        logging.disable(disabled)
        for logger, handlers, propagate, level in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _missing_weights(remarks: list[str]) -> list[str]:
    """Parameters that transformers filled with random numbers, read from its load report.

    The pooler on top of BERT and its kin is left out: the vectors are made from what is below it.
    """
    lines = (line for remark in remarks for line in remark.splitlines())
    rows = (re.match(r"(\S+)\s*\|.*\bMISSING\b", line) for line in lines)
    names = sorted({row.group(1) for row in rows if row})
    return [name for name in names if "pooler." not in name]


def _return_freed_memory() -> None:
    """Gives what torch has freed back to the operating system, where glibc would keep it: batches
    of many shapes leave gaps that no later one fills, and a long job would grow slowly."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
