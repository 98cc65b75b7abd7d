"""Writing a static model that was distilled, all of it or nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.encoder.token_rows import Vocabulary
from embedsearch.errors import InputError, StorageError
from embedsearch.tuning.folders import published
from embedsearch.tuning.static_folder import fill_static_folder, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIG_NAME = "static_config.json"


def check_new(folder: Path) -> None:
    """InputError unless `folder` is empty or not there, so that no model is ever overwritten.
    StorageError where it cannot be made: better known before the work than after it."""
    try:
        empty = folder.is_dir() and not any(folder.iterdir())
        if not empty and (folder.exists() or folder.is_symlink()):
            raise InputError(
                f"{folder} is there already: name a new folder for the model, or remove it"
            )
        above = next(path for path in folder.resolve().parents if path.exists())
        tempfile.TemporaryDirectory(dir=above).cleanup()
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror or error}") from None


def write_static(
    folder: Path, vocabulary: Vocabulary, tokens: NDArray[np.float32], config: Mapping[str, Any]
) -> Path:
    """Writes the model, see `published`; returns `folder`. `tokens` has a row for every token id.

    Raises LockedError, StorageError.
    """
    text = vocabulary.backend.to_str(pretty=True)
    with published(folder) as draft:
        fill_static_folder(
            draft,
            tokens,
            lambda home: (home / "tokenizer.json").write_text(text, encoding="utf-8"),
        )
        write_json(draft / CONFIG_NAME, dict(config))
    return folder
