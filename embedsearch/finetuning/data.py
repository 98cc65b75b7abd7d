"""Reading what an encoder learns from: JSON lines, CSV, TSV and judged collections (BEIR)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedsearch.encoder.training.examples import (
    Example,
    LabelledText,
    ScoredPair,
    TrainingPair,
    shape_of,
)
from embedsearch.errors import InputError, NotFoundError
from embedsearch.evaluation.beir import read_corpus, read_qrels, read_queries
from embedsearch.finetuning.rows import ROLES, Fields, json_rows, number_of, table_rows
from embedsearch.text.chunking import context_of, embedding_input
from embedsearch.text.paths import typed_path
from embedsearch.types import SILENT, Chunk, Document, Progress

Paths = str | Path | Sequence[str | Path]
"""One file or folder, or several."""


@dataclass(frozen=True, kw_only=True)
class TrainingDataConfig:
    """How training data is read.

    `split` names the judgements of a BEIR folder. `columns` names the columns of a table without a
    header (`-` for one that is passed over). Scores go from 0 to `max_score`.
    """

    split: str = "train"
    columns: tuple[str, ...] = ()
    max_score: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.max_score < float("inf"):
            raise InputError(f"max_score must be above 0, not {self.max_score}")
        object.__setattr__(self, "columns", tuple(self.columns))
        for name in self.columns:
            if name != "-" and name.casefold() not in ROLES:
                raise InputError(
                    f"unknown column {name!r}: use - to pass over one, or {', '.join(ROLES)}"
                )


def read_training_data(
    paths: Paths,
    config: TrainingDataConfig | None = None,
    *,
    progress: Progress = SILENT,
) -> list[Example]:
    """The examples of files and BEIR folders, all of one shape.

    A row of `anchor`, `positive` and perhaps `negative` (one or more) is a pair, one of
    `sentence1`, `sentence2` and `score` a scored pair, one of `text` and `label` a labelled text;
    other usual names are known too. A table without such a header has two or more columns of texts
    (anchor, positive, negatives), none of them a number, or two and a number. In a table with tabs
    a quote is a letter like any other; with commas, quotes enclose a field.

    Raises NotFoundError for a path that is not there, InputError that names file and line for what
    cannot be used.
    """
    config = config or TrainingDataConfig()
    examples: list[Example] = []
    progress.start("Reading examples", None, "examples")
    for path in each_path(paths):
        before = len(examples)
        examples += _read(typed_path(path), config, progress)
        if len(examples) == before:
            raise InputError(f"{path}: there are no examples in it")
        progress.advance(len(examples) - before)
    shape_of(examples)
    return examples


def each_path(paths: Paths) -> list[Path]:
    """The paths of one or of several."""
    return [Path(each) for each in ([paths] if isinstance(paths, (str, Path)) else paths)]


def _read(path: Path, config: TrainingDataConfig, progress: Progress) -> Iterator[Example]:
    if path.is_dir():
        return _read_beir(path, config.split, progress)
    if not path.is_file():
        raise NotFoundError(f"there is no {path}")
    name = path.name.removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson")):
        return _examples(path, json_rows(path), config)
    if name.endswith((".csv", ".tsv", ".txt")):
        return _examples(path, table_rows(path, config.columns), config)
    raise InputError(f"{path}: training data is .jsonl, .csv or .tsv (or .gz of it), or a folder")


# Judged collections


def _read_beir(folder: Path, split: str, progress: Progress) -> Iterator[Example]:
    def note(place: str, remark: str) -> None:
        progress.note(f"{place}: {remark}")

    qrels, queries = read_qrels(folder, split), read_queries(folder, note)
    wanted = {document for grades in qrels.values() for document in grades}
    texts = {d.id: document_text(d) for d in read_corpus(folder, note) if d.id in wanted}
    for query, grades in qrels.items():
        negatives = tuple(texts[d] for d, grade in grades.items() if grade <= 0 and d in texts)
        for document, grade in grades.items():
            if grade > 0 and query in queries and document in texts:
                yield TrainingPair(
                    anchor=queries[query],
                    positive=texts[document],
                    negatives=negatives,
                    document=document,
                    place=f"{folder} query {query}",
                )


def document_text(document: Document) -> str:
    """A whole document as the encoder reads it, under its title."""
    whole = Chunk(start=0, end=len(document.text), text=document.text)
    return embedding_input(context_of(document.title, whole), document.text)


# Files


def _examples(
    path: Path, rows: Iterable[tuple[int, Fields]], config: TrainingDataConfig
) -> Iterator[Example]:
    for number, fields in rows:
        place = f"{path}:{number}"
        try:
            yield _example(fields, place, config)
        except InputError as error:
            raise InputError(f"{place}: {error}") from None


def _example(fields: Fields, place: str, config: TrainingDataConfig) -> Example:
    # a category of an anchor and its answer says nothing of them; a number does
    labelled = "label" in fields and (
        "first" in fields or any(number_of(label) is not None for label in fields["label"])
    )
    scored = "score" in fields or labelled
    if "anchor" in fields or ("first" in fields and scored):
        first = _text(fields, "anchor" if "anchor" in fields else "first")
        second = _text(fields, "positive" if "anchor" in fields else "second")
        if scored:
            score = _score(fields, config.max_score)
            return ScoredPair(first=first, second=second, score=score, place=place)
        negatives = tuple(_string(value, "negative") for value in fields.get("negative", ()))
        return TrainingPair(anchor=first, positive=second, negatives=negatives, place=place)
    if "first" in fields:
        raise InputError(
            f"two texts to compare and no score: it has {', '.join(fields)}; call them anchor and "
            "positive (in a table by --columns) where they belong together"
        )
    if "text" in fields and "label" in fields:
        label = str(_only(fields, "label"))
        return LabelledText(text=_text(fields, "text"), label=label, place=place)
    raise InputError(
        "neither a pair, a scored pair nor a labelled text: it has "
        f"{', '.join(fields) or 'nothing'}"
    )


def _text(fields: Fields, role: str) -> str:
    return _string(_only(fields, role, "texts"), role)


def _only(fields: Fields, role: str, what: str = "values") -> Any:
    values = fields.get(role, [])
    if len(values) != 1:
        raise InputError(f"{len(values)} {what} for the {role}, where there must be one")
    return values[0]


def _string(value: Any, role: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"the {role} is {type(value).__name__}, not a text")
    return value


def _score(fields: Fields, most: float) -> float:
    typed = _only(fields, "score" if "score" in fields else "label")
    score = number_of(typed)
    if score is None:
        raise InputError(f"the score {str(typed)[:40]!r} is no number")
    if not 0 <= score <= most:
        raise InputError(
            f"the score {score:g} is not between 0 and {most:g}: max_score is the highest there is"
        )
    return score / most
