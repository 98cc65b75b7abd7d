"""Weights of a language model, from safetensors alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from embedsearch.device import has_cpu_bf16
from embedsearch.errors import ModelError

Dtype = Literal["auto", "float32", "bfloat16"]


def load_weights(folder: Path, device: str, dtype: Dtype) -> Any:
    """The model of a folder; ModelError where it cannot be loaded or lacks weights."""
    import torch

    transformers: Any = import_module("transformers")
    small = dtype == "bfloat16" or (
        dtype == "auto" and (device.startswith("cuda") or (device == "cpu" and has_cpu_bf16()))
    )
    try:
        with quiet():
            model, told = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.bfloat16 if small else torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:  # transformers raises whatever its parts raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ModelError(f"{folder} cannot be loaded as a language model: {reason}") from None
    if told["missing_keys"]:
        missing = ", ".join(sorted(told["missing_keys"])[:3])
        raise ModelError(f"{folder} lacks weights of the model: {missing}")
    # What is wanted is said with every call.
    model.generation_config = transformers.GenerationConfig()
    return model.to(device).eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars of transformers."""
    logging = import_module("transformers").utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
