"""A sentence encoder out of word vectors: the mean of them, frequent words counting less.

Arora, Liang and Ma 2017, "A simple but tough-to-beat baseline for sentence embeddings" (SIF): a
word counts a / (a + its share of the text), and the direction that all sentences have in common is
taken out. Both are linear, so they are worked into the vectors, and what remains is a mean: a
StaticEmbedding of sentence-transformers, written as an ordinary model folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import InputError
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.text.words import word_tokenizer
from embedsearch.tuning.static_folder import fill_static_folder
from embedsearch.tuning.storage import on_disk
from embedsearch.word2vec.folder import replace_files, saving
from embedsearch.word2vec.keyed_vectors import KeyedVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import Vectors
    from embedsearch.word2vec.folder import Write

WEIGHT = 1e-3
"""The `a` of the paper, which found 1e-3 to 1e-4 good."""
EMBEDDING_FOLDER = "0_StaticEmbedding"
"""In the folder of the word vectors, which have files of their own."""
DRAFT = ".unfinished"
"""Where they are made."""
_ROWS_AT_A_TIME = 1 << 12
_SENTENCE_WORDS = 20
"""Of a typical sentence, to estimate what sentences have in common."""


def save_sentence_model(
    found: KeyedVectors,
    folder: str | Path,
    *,
    tokenizer: Tokenizer | None = None,
    weight: float = WEIGHT,
) -> None:
    """Writes a folder that serves as `--model` of a collection.

    `tokenizer` is what the text was trained with; None stands for the words of `split_words`.
    Text of unknown words alone has the vector zero. Until all is written, what was there before
    stays as it is.

    Raises InputError for vectors without counts, LockedError, StorageError.
    """
    home = Path(folder)
    with saving(home), sentence_model_files(found, home, tokenizer, weight) as files:
        replace_files(files)


@contextmanager
def sentence_model_files(
    found: KeyedVectors, folder: Path, tokenizer: Tokenizer | None, weight: float = WEIGHT
) -> Iterator[dict[Path, Write]]:
    """The files of `save_sentence_model`, for `replace_files`, while they lie in a draft within
    `folder`, whose lock the caller holds. InputError, and OSError for what the disk refuses."""
    if found.counts is None:
        raise InputError("frequent words cannot be told: these vectors have no counts")
    rows = sif_vectors(found.vectors, found.counts, weight)
    if tokenizer is None:
        tokenizer = Tokenizer(word_tokenizer(found.keys))
    matrix = np.zeros((tokenizer.vocab_size, found.vector_size), np.float32)
    for row, key in enumerate(found.keys):
        number = tokenizer.token_to_id(key)
        if number is not None:
            matrix[number] = rows[row]
    draft = folder / DRAFT
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
        draft.mkdir()
        fill_static_folder(draft, matrix, tokenizer.save, embedding_path=EMBEDDING_FOLDER)
        on_disk(draft)
        files: dict[Path, Write] = {}
        for path in sorted(draft.rglob("*")):  # modules.json is the last
            target = folder / path.relative_to(draft)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            else:
                files[target] = path.replace
        yield files
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def sif_vectors(vectors: Vectors, counts: NDArray[np.int64], weight: float) -> Vectors:
    """Vectors times weight / (weight + share), without their common direction; same shape.

    The common direction is the first principal component of sentences: here of sentences of
    20 words drawn independently, which the counts alone determine.
    """
    share = counts / max(int(counts.sum()), 1)
    rows, size = vectors.shape
    parts = [slice(at, at + _ROWS_AT_A_TIME) for at in range(0, rows, _ROWS_AT_A_TIME)]

    def weighted(part: slice) -> NDArray[np.float64]:
        exact: NDArray[np.float64] = vectors[part].astype(np.float64)
        return exact * (weight / (weight + share[part]))[:, None]

    mean, spread = np.zeros(size), np.zeros((size, size))
    for part in parts:
        mean += share[part] @ weighted(part)
        spread += (weighted(part) * share[part, None]).T @ weighted(part)
    second_moment = spread / _SENTENCE_WORDS + (1 - 1 / _SENTENCE_WORDS) * np.outer(mean, mean)
    common = np.linalg.eigh(second_moment)[1][:, -1]
    found: Vectors = np.empty((rows, size), np.float32)
    for part in parts:
        found[part] = weighted(part) - np.outer(weighted(part) @ common, common)
    return found
