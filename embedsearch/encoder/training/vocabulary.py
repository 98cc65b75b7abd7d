"""A base with the terms of the training texts in its vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedsearch.encoder.folder import ModelFolder
from embedsearch.text.terms import TermConfig, mine_terms
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.tuning.embeddings import resize_embeddings

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
    after.save(ModelFolder.read(home).modules[0].folder)
    progress.note(f"{len(resized.new_ids)} new tokens: {', '.join(t.text for t in terms[:8])} …")
    return Extension(folder=home, new_ids=resized.new_ids)
