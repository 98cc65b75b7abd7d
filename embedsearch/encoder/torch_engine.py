"""The engine that computes with torch, through sentence-transformers."""

from __future__ import annotations

import ctypes
import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.device import resolve_device
from embedsearch.encoder.engine import Task
from embedsearch.errors import DeviceError, ModelError

if TYPE_CHECKING:
    from embedsearch.types import Vectors


class TorchEngine:
    """A model folder on torch; torch is imported and the model loaded when first needed."""

    name = "torch"

    def __init__(self, folder: Path, *, device: str = "auto", batch_size: int = 32) -> None:
        self._folder = folder
        self._wanted = device
        self._batch_size = batch_size
        self._device: str | None = None
        self._model: Any = None
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """The device in use; `auto` is resolved here, which imports torch."""
        if self._device is None:
            self._device = resolve_device(self._wanted)
        return self._device

    def embed(self, texts: list[str], task: Task) -> Vectors:
        """Unit vectors of shape (len(texts), dim), in the order of `texts`.

        The prompt of `task` is put before each text. Raises ModelError where the model cannot be
        loaded and DeviceError where the device runs out of memory.
        """
        import numpy as np
        import torch

        model = self._loaded()
        encode = model.encode_query if task == "query" else model.encode_document
        try:
            vectors = encode(
                texts,
                batch_size=self._batch_size,
                show_progress_bar=False,
                normalize_embeddings=True,
            )
        except torch.OutOfMemoryError:
            raise DeviceError(
                f"{self.device} ran out of memory with batch_size={self._batch_size}: use a "
                "smaller batch_size, or device='cpu'"
            ) from None
        if len(texts) > self._batch_size:
            _return_freed_memory()
        return np.ascontiguousarray(vectors, dtype=np.float32)

    def _loaded(self) -> Any:
        with self._lock:  # two threads that both need the model first must not load it twice
            if self._model is None:
                self._model = _load(self._folder, self.device)
            return self._model


def _load(folder: Path, device: str) -> Any:
    """The SentenceTransformer in `folder`, in float32, from local safetensors, running no code
    of the folder. Raises ModelError where it cannot be loaded or lacks weights."""
    with _quiet() as remarks:
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
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ModelError(f"the model {folder} cannot be loaded: {reason}") from None
    missing = _missing_weights(remarks)
    if missing:
        raise ModelError(
            f"the model {folder} lacks the weights {', '.join(missing)}: its files are damaged or "
            "do not belong together"
        )
    return model.eval()


@contextmanager
def _quiet() -> Iterator[list[str]]:
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
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for logger in loggers:
        logger.handlers, logger.propagate = [Collector()], False
        logger.setLevel(logging.WARNING)
    try:
        yield collected
    finally:
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
