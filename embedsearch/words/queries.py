"""Word vectors from files to files: training, questions to them, measuring them."""

from __future__ import annotations

import json
import time
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedsearch.errors import InputError, NotFoundError, StorageError
from embedsearch.lock import LOCK_NAME, OWNER_NAME
from embedsearch.text.formats.reading import FILE_NAME
from embedsearch.text.paths import typed_path
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.tuning.folders import only_training
from embedsearch.types import SILENT, Progress
from embedsearch.word2vec.checkpoint import remove_checkpoint
from embedsearch.word2vec.config import Word2VecConfig
from embedsearch.word2vec.folder import (
    OUTPUT,
    SETTINGS,
    VECTORS,
    block_writer,
    folder_files,
    is_file,
    replace_files,
)
from embedsearch.word2vec.gold import Analogies, Similarity, rate_pairs, read_gold, solve_analogies
from embedsearch.word2vec.keyed_vectors import KeyedVectors
from embedsearch.word2vec.sentence_model import DRAFT, EMBEDDING_FOLDER, sentence_model_files
from embedsearch.word2vec.text import read_sequences
from embedsearch.word2vec.training import train_word2vec

CONFIG = "config.json"
CHECKPOINT = "checkpoint"
_SIGNS = ("+", "-")
_MADE = (
    *(CONFIG, CHECKPOINT, SETTINGS, VECTORS, OUTPUT),
    *(EMBEDDING_FOLDER, "1_Normalize", "modules.json", "config_sentence_transformers.json"),
    *(LOCK_NAME, OWNER_NAME, DRAFT),
)
"""In the folder that is trained into, which may lie among the texts, or they in it."""
_MODEL_TOKENIZER = Path(EMBEDDING_FOLDER) / FILE_NAME


@dataclass(frozen=True, kw_only=True)
class WordsReport:
    """What a training made.

    `words` counts the words of all texts learned from that have a vector, `losses` are the mean
    losses per pair of the epochs.
    """

    out: str
    words: int
    vocabulary: int
    vector_size: int
    losses: tuple[float, ...]
    seconds: float


def train_words(
    files: Sequence[str | Path],
    out: str | Path,
    config: Word2VecConfig | None = None,
    *,
    tokenizer: str | Path | None = None,
    start: str | Path | None = None,
    progress: Progress = SILENT,
) -> WordsReport:
    """Trains word vectors on text files and writes a folder.

    The folder is for `KeyedVectors.load`, and it is a model of sentence-transformers that averages
    words, to be the `--model` of a collection. Run again after an interruption, it goes on after
    the last whole epoch. Until all is written, what was in the folder stays as it is.

    Args:
        files: files and folders, see `read_sequences`; what it makes in `out` is no text.
        tokenizer: a tokenizer.json or its folder, to train on its tokens; None: words.
        start: a folder that this function made, to go on from with this text; its tokenizer is
            kept. May be `out` itself.

    Raises as `train_word2vec` and `read_sequences`, and LockedError where another process trains
    into the folder.
    """
    began, out = time.perf_counter(), typed_path(out)
    config = config or Word2VecConfig()
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: --out names a folder")
    with only_training(out):
        vectors = _train(files, out, config, tokenizer, start, progress)
    return WordsReport(
        out=str(out),
        words=int(vectors.counts.sum()) if vectors.counts is not None else 0,
        vocabulary=len(vectors),
        vector_size=vectors.vector_size,
        losses=vectors.losses,
        seconds=time.perf_counter() - began,
    )


def _train(
    files: Sequence[str | Path],
    out: Path,
    config: Word2VecConfig,
    tokenizer: str | Path | None,
    start: str | Path | None,
    progress: Progress,
) -> KeyedVectors:
    known = load_vectors(start) if start is not None else None
    of_tokens = _of_tokens(Path(start)) if start is not None else None
    if of_tokens is False and tokenizer is not None:
        raise InputError(f"{start} has vectors of words, not of a tokenizer's tokens: name none")
    if of_tokens and tokenizer is None and start is not None:
        tokenizer = Path(start) / _MODEL_TOKENIZER
    own = Tokenizer.load(tokenizer) if tokenizer is not None else None
    vectors = train_word2vec(
        read_sequences(files, own, exclude=[out / name for name in _MADE], progress=progress),
        config,
        start=known,
        checkpoint=out / CHECKPOINT,
        progress=progress,
    )
    settings = {"tokenizer": tokenizer is not None, **asdict(config)}
    text = (json.dumps(settings, indent=2) + "\n").encode()
    made, _ = folder_files(vectors, out)
    try:
        with sentence_model_files(vectors, out, own) as model:
            replace_files({**made, **model, out / CONFIG: block_writer([text])})
    except OSError as error:
        raise StorageError(
            f"cannot write {out}: {error.strerror or error}; the same command goes on from "
            f"{out / CHECKPOINT}"
        ) from None
    remove_checkpoint(out / CHECKPOINT)
    return vectors


def load_vectors(path: str | Path) -> KeyedVectors:
    """Vectors from a folder of ours, or from a file in a format of word2vec.

    Raises NotFoundError, IndexFileError.
    """
    path = Path(path)
    if is_file(path):
        return KeyedVectors.load_word2vec_format(path)
    return KeyedVectors.load(path)


def parse_expression(expression: str) -> tuple[list[str], list[str]]:
    """The words that are added and those that are subtracted in `king - man + woman`.

    Signs stand between blanks, so that words may contain them. Raises InputError.
    """
    terms = expression.split()
    if terms and terms[0] not in _SIGNS:
        terms.insert(0, "+")
    positive: list[str] = []
    negative: list[str] = []
    for place in range(0, max(len(terms), 1), 2):
        sign, word = (*terms[place : place + 2], "", "")[:2]
        if sign not in _SIGNS or word in ("", *_SIGNS):
            raise InputError(
                f"{expression!r} cannot be read: words are joined by ' + ' and ' - ', as in "
                "'king - man + woman'"
            )
        (positive if sign == "+" else negative).append(word)
    return positive, negative


def nearest_words(vectors: KeyedVectors, expression: str, k: int = 10) -> list[tuple[str, float]]:
    """The keys nearest to a sum of words, best first, with their cosine.

    A word that is not there as it was typed is looked up in lower case and normal form C. Raises
    NotFoundError, InputError.
    """
    positive, negative = parse_expression(expression)
    return vectors.most_similar(
        [_known(vectors, word) for word in positive],
        [_known(vectors, word) for word in negative],
        topn=k,
    )


@dataclass(frozen=True, kw_only=True)
class WordsEvaluation:
    """`analogies` over all files that have any, None where none has; `similarity` by the file's
    name without suffix, by its path where two have the same name."""

    analogies: Analogies | None
    similarity: dict[str, Similarity]

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"analogies": None}
        if self.analogies is not None:
            sections = (self.analogies.total, *self.analogies.sections)
            total, *parts = ({**asdict(part), "accuracy": part.accuracy} for part in sections)
            found["analogies"] = {**total, "sections": parts}
            del found["analogies"]["name"]
        found["similarity"] = {name: asdict(value) for name, value in self.similarity.items()}
        return found


def evaluate_words(vectors: KeyedVectors, files: Sequence[str | Path]) -> WordsEvaluation:
    """Measures vectors on files of analogies and of rated pairs; a folder stands for its files.

    Raises NotFoundError, InputError with file and line.
    """
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    paths = _gold_files(files)
    stems = Counter(path.stem for path in paths)
    similarity = {}
    for path in paths:
        gold = read_gold(path)
        for name, questions in gold.analogies.items():
            sections.setdefault(name, []).extend(questions)
        if gold.pairs:
            name = path.stem if stems[path.stem] == 1 else str(path)
            similarity[name] = rate_pairs(vectors, gold.pairs)
    analogies = solve_analogies(vectors, sections) if sections else None
    return WordsEvaluation(analogies=analogies, similarity=similarity)


def _gold_files(files: Sequence[str | Path]) -> list[Path]:
    """Each once, however often it is named."""
    found: dict[Path, Path] = {}
    for path in map(Path, files):
        try:
            inside = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        except OSError as error:
            raise NotFoundError(f"cannot read {path}: {error.strerror}") from None
        if not inside:
            raise NotFoundError(f"no .txt file in {path}")
        for each in inside:
            found.setdefault(each.resolve(), each)
    return list(found.values())


def _known(vectors: KeyedVectors, word: str) -> str:
    """The word as it was typed, else as `split_words` would write it."""
    likely = (word, word.lower(), unicodedata.normalize("NFC", word).lower())
    return next((each for each in likely if each in vectors), word)


def _of_tokens(folder: Path) -> bool | None:
    """Whether a folder's vectors are those of a tokenizer's tokens, not of words; None where
    nothing tells."""
    try:
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return bool(settings["tokenizer"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
