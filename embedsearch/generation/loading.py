"""Weights of a language model, from safetensors alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, Literal

from embedsearch.device import has_cpu_bf16
from embedsearch.errors import DeviceError, ModelError

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
    if "past_key_values" not in signature(model.forward).parameters:
        raise no_transformer(model)
    # What is wanted is said with every call.
    model.generation_config = transformers.GenerationConfig()
    with enough_memory(device):
        return model.to(device).eval()


def context_of(model: Any) -> int | None:
    """Tokens that a model has room for; None where it has no limit."""
    settings = model.config.get_text_config()
    found = getattr(settings, "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None


def no_transformer(model: Any) -> ModelError:
    """What is told of a model that goes on from something else than past keys and values."""
    return ModelError(
        f"a {model.config.model_type} keeps no keys and values of the tokens before, and cannot be "
        "used: take a transformer, such as Qwen, Llama or GPT-2"
    )


@contextmanager
def enough_memory(device: Any) -> Iterator[None]:
    """DeviceError where the device's memory runs out."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise DeviceError(
            f"{device} has not enough memory: give it fewer or shorter texts at a time, or take a "
            "smaller model or device='cpu'"
        ) from None


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
