"""The name of a language model to its folder, and what can be told of it before it is loaded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from embedsearch.errors import ModelError, NotFoundError
from embedsearch.text.hub import cached, fetch, is_hub_id
from embedsearch.text.paths import typed_path

CONFIG = "config.json"
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_BY_HAND = "to bring a model by hand, copy its folder to this machine and give its path"
_TOKENIZERS = ("tokenizer.json", "vocab.*", "*.model")
_PART = re.compile(r"-\d+-of-\d+\.")
_CAUSAL = ("ForCausalLM", "LMHeadModel")


def find_model(model: str | Path) -> Path:
    """The folder of a model: a folder itself, or a hub id, from the hub's cache if it is there.

    Raises NotFoundError for what does not exist, InputError for what no file can be called,
    ModelError where fetching fails.
    """
    path = typed_path(model)
    if str(model) and path.is_dir():
        return path.resolve()
    if isinstance(model, Path) or not is_hub_id(model) or path.exists():
        raise NotFoundError(f"there is no folder of a language model {str(model)!r}")
    here = _cached(model)
    if here is not None:
        return here
    return fetch(model, called=f"the language model {model!r}", allow=_FILES, by_hand=_BY_HAND)


def at_hand(model: str) -> bool:
    """Whether a model is a folder, or in the hub's cache, so that nothing would be fetched.

    InputError for what no file can be called.
    """
    is_folder = bool(model) and typed_path(model).is_dir()
    return is_folder or (is_hub_id(model) and _cached(model) is not None)


def _cached(model: str) -> Path | None:
    """The folder in the hub's cache, None where nothing or not all of it is there: a download that
    was interrupted is to go on."""
    here = cached(model)
    if here is None or not (here / CONFIG).is_file():
        return None
    tokenizer = any(any(here.glob(pattern)) for pattern in _TOKENIZERS)
    return here if tokenizer and _has_weights(here) else None


def _has_weights(folder: Path) -> bool:
    """Whether all files of weights are there, which an index lists where there are several."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        listed = _read_json(index).get("weight_map")
        names = set(listed.values()) if isinstance(listed, dict) else set()
        return bool(names) and all((folder / str(name)).is_file() for name in names)
    found = [path.name for path in folder.glob("*.safetensors")]
    return bool(found) and not any(_PART.search(name) for name in found)


def check_causal(folder: Path) -> None:
    """ModelError unless the folder holds a causal language model in safetensors."""
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{folder} is no folder of a language model: it has no {CONFIG}")
    settings = _read_json(folder / CONFIG)
    made = settings.get("architectures") or []
    if not any(isinstance(name, str) and name.endswith(_CAUSAL) for name in made):
        found = ", ".join(map(str, made)) or "not told"
        raise ModelError(f"{folder} is no causal language model: its architecture is {found}")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{folder} has no *.safetensors; weights in other formats can run code and are not read"
        )


def end_tokens(folder: Path) -> frozenset[int]:
    """Ids of the tokens that end a text."""
    for name in ("generation_config.json", CONFIG):
        path = folder / name
        found = _read_json(path).get("eos_token_id") if path.is_file() else None
        if found is not None:
            listed = found if isinstance(found, list) else [found]
            if not all(type(token) is int and token >= 0 for token in listed):
                raise ModelError(f"{path}: eos_token_id must be ids, not {found!r}")
            return frozenset(listed)
    return frozenset()


def has_chat_template(folder: Path) -> bool:
    """Whether the folder's tokenizer comes with a chat template."""
    settings = folder / "tokenizer_config.json"
    return (folder / "chat_template.jinja").is_file() or bool(
        settings.is_file() and _read_json(settings).get("chat_template")
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is damaged: no JSON object")
    return value
