"""Writing a static model that was distilled, all of it or nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.encoder.token_rows import Vocabulary
from embedsearch.errors import InputError, StorageError
from embedsearch.tuning.static_folder import fill_static_folder, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIG_NAME = "static_config.json"


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
            fill_static_folder(
                draft,
                tokens,
                lambda home: vocabulary.backend.save(str(home / "tokenizer.json")),
            )
            write_json(draft / CONFIG_NAME, dict(config))
            draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"cannot write the model {folder}: {error.strerror}") from None
    return folder
