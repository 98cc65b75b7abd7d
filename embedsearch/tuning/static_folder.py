"""A static model, one vector a token, as a folder of sentence-transformers.

    modules.json, config_sentence_transformers.json
    tokenizer.json, model.safetensors with a row for each token id
    1_Normalize/

Distilling an encoder and training word vectors both end in one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.tuning.modes import readable_as
from embedsearch.tuning.storage import disk_errors

if TYPE_CHECKING:
    from embedsearch.types import Vectors

_KINDS = ("StaticEmbedding", "Normalize")


def fill_static_folder(
    folder: Path,
    tokens: Vectors,
    save_tokenizer: Callable[[Path], object],
    *,
    embedding_path: str = "",
) -> None:
    """Writes the model into the empty folder `folder`.

    `tokens` has shape (token ids, dim); `save_tokenizer` writes a tokenizer.json into the folder
    that it is given. `embedding_path` is a folder in `folder` for the second line of files, where
    other things stand beside them; model2vec reads those of `folder` itself alone. What the disk
    refuses is an OSError.
    """
    from safetensors.numpy import save_file

    embedding, paths = folder / embedding_path, (embedding_path, "1_Normalize")
    for path in paths:
        (folder / path).mkdir(exist_ok=True)
    save_tokenizer(embedding)
    with disk_errors():
        save_file({"embedding.weight": tokens}, embedding / "model.safetensors", {"format": "pt"})
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": path,
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, (kind, path) in enumerate(zip(_KINDS, paths, strict=True))
    ]
    settings: dict[str, Any] = {
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }
    write_json(folder / "config_sentence_transformers.json", settings)
    write_json(folder / "modules.json", modules)
    readable_as(folder / "modules.json", folder)


def write_json(path: Path, value: Any) -> None:
    """Writes a file of JSON for people to read too."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
