"""A base with the terms of the training texts in its vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedsearch.encoder.folder import ModelFolder, read_json
from embedsearch.text.formats.reading import CONFIG_NAME
from embedsearch.text.terms import TermConfig, mine_terms
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.text.words import counted
from embedsearch.tuning.embeddings import resize_embeddings
from embedsearch.tuning.static_folder import write_json

if TYPE_CHECKING:
    from embedsearch.types import Progress


@dataclass(frozen=True, kw_only=True)
class Extension:
    """The extended model's folder and the ids that are new."""

    folder: Path
    new_ids: tuple[int, ...]


def extend_base(
    base: ModelFolder, texts: Sequence[str], limit: int, home: Path, progress: Progress
) -> Extension:
    """Writes `base` into `home` with at most `limit` terms that it splits into many pieces.

    A new row starts as the mean of its pieces. Where the texts have no such term, nothing is
    written and the folder is the base's.
    """
    from embedsearch.encoder.torch_engine import load_model, quiet

    before = Tokenizer.load(base.tokenizer_file)
    terms = mine_terms(before, texts, TermConfig(limit=limit), progress=progress)
    after = before.with_tokens([term.text for term in terms])
    if after.vocab_size == before.vocab_size:
        progress.note("no term occurs often enough to be worth a token")
        return Extension(folder=base.root, new_ids=())
    model = load_model(base.root, "cpu")
    resized = resize_embeddings(model[0].auto_model, before, after)
    with quiet():
        model.save_pretrained(str(home), create_model_card=False)
    _save_tokenizer(after, ModelFolder.read(home).modules[0].folder, base.max_seq_length)
    new = ", ".join(term.text for term in terms[:8])
    progress.note(f"{counted(len(resized.new_ids), 'new token')}: {new} …")
    return Extension(folder=home, new_ids=resized.new_ids)


def _save_tokenizer(tokenizer: Tokenizer, folder: Path, limit: int | None) -> None:
    """The tokenizer does not know the model's limit of tokens, which stands among its settings."""
    tokenizer.save(folder)
    if limit is not None:
        settings = read_json(folder / CONFIG_NAME) | {"model_max_length": limit}
        write_json(folder / CONFIG_NAME, settings)
