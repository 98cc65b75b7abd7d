"""Writing a static model as a folder of sentence-transformers, all of it or nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.encoder.token_rows import Vocabulary
from embedsearch.errors import InputError, StorageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIG_NAME = "static_config.json"
_MODULES = (("0", "", "StaticEmbedding"), ("1", "1_Normalize", "Normalize"))


def check_new(folder: Path) -> None:
    """InputError unless `folder` is empty or not there, so that no model is ever overwritten."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise InputError(
            f"{folder} is there already: name a new folder for the model, or remove it"
        )


def write_static(
    folder: Path, vocabulary: Vocabulary, tokens: NDArray[np.float32], config: Mapping[str, Any]
) -> Path:
    """Writes the model beside its place and moves it there; returns `folder`.

    `tokens` has a row for every token id. Raises StorageError where it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _fill(draft, vocabulary, tokens, config)
            draft.chmod(0o755)
            draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"cannot write the model {folder}: {error.strerror}") from None
    return folder


def _fill(
    draft: Path, vocabulary: Vocabulary, tokens: NDArray[np.float32], config: Mapping[str, Any]
) -> None:
    from safetensors.numpy import save_file

    modules = [
        {"idx": i, "name": name, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (name, path, kind) in enumerate(_MODULES)
    ]
    (draft / "1_Normalize").mkdir()
    save_file({"embedding.weight": tokens}, draft / "model.safetensors", {"format": "pt"})
    vocabulary.backend.save(str(draft / "tokenizer.json"))
    _write_json(draft / "modules.json", modules)
    _write_json(
        draft / "config_sentence_transformers.json",
        {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
    )
    _write_json(draft / CONFIG_NAME, dict(config))


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
