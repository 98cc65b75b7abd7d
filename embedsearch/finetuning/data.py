"""Reading what an encoder learns from: JSON lines, CSV, TSV and judged collections (BEIR)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from embedsearch.errors import InputError, NotFoundError, ReadError
from embedsearch.evaluation.beir import read_corpus, read_qrels, read_queries
from embedsearch.text.chunking import context_of, embedding_input
from embedsearch.text.readers.opening import bounded_lines, open_stream, reasons
from embedsearch.types import SILENT, Chunk, Document, Progress

MAX_LINE_BYTES = 16 << 20
MAX_FILE_BYTES = 4 << 30

_ROLES: Mapping[str, str] = {
    **dict.fromkeys(("anchor", "query", "question"), "anchor"),
    **dict.fromkeys(("positive", "pos", "answer", "document", "passage", "context"), "positive"),
    **dict.fromkeys(("negative", "negatives", "neg"), "negative"),
    **dict.fromkeys(("sentence1", "sentence_1", "text1", "first", "sentence_a"), "first"),
    **dict.fromkeys(("sentence2", "sentence_2", "text2", "second", "sentence_b"), "second"),
    **dict.fromkeys(("score", "similarity", "relatedness"), "score"),
    **dict.fromkeys(("text", "sentence"), "text"),
    **dict.fromkeys(("label", "category", "intent", "class"), "label"),
}
"""What columns and keys are called, in small letters, and what they are."""

Fields = dict[str, list[Any]]
"""The values of a row by role."""


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
            if name != "-" and name.casefold() not in _ROLES:
                raise InputError(
                    f"unknown column {name!r}: use - to pass over one, or {', '.join(_ROLES)}"
                )


def read_training_data(
    paths: Sequence[str | Path],
    config: TrainingDataConfig | None = None,
    *,
    progress: Progress = SILENT,
) -> list[Example]:
    """The examples of files and BEIR folders, all of one shape.

    A row of `anchor`, `positive` and perhaps `negative` (one or more) is a pair, one of
    `sentence1`, `sentence2` and `score` a scored pair, one of `text` and `label` a labelled text;
    other usual names are known too. A table without such a header has two or more columns of texts
    (anchor, positive, negatives), or two and a number. In a table with tabs a quote is a letter
    like any other; with commas, quotes enclose a field.

    Raises NotFoundError for a path that is not there, InputError that names file and line for what
    cannot be used.
    """
    config = config or TrainingDataConfig()
    examples: list[Example] = []
    progress.start("Reading examples", None, "examples")
    for path in map(Path, paths):
        before = len(examples)
        examples += _read(path.expanduser(), config, progress)
        if len(examples) == before:
            raise InputError(f"{path}: there are no examples in it")
        progress.advance(len(examples) - before)
    shape_of(examples)
    return examples


def _read(path: Path, config: TrainingDataConfig, progress: Progress) -> Iterator[Example]:
    if path.is_dir():
        return _read_beir(path, config.split, progress)
    if not path.is_file():
        raise NotFoundError(f"there is no {path}")
    name = path.name.removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson")):
        return _examples(path, _json_rows(path), config)
    if name.endswith((".csv", ".tsv", ".txt")):
        return _examples(path, _table_rows(path, config), config)
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


def _json_rows(path: Path) -> Iterator[tuple[int, Fields]]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not JSON: {error}") from None
        if isinstance(value, list):
            yield number, _positional(value)
        elif isinstance(value, dict):
            yield number, _named(value.items())
        else:
            raise InputError(f"{path}:{number}: neither a JSON object nor a list: {line[:60]!r}")


def _table_rows(path: Path, config: TrainingDataConfig) -> Iterator[tuple[int, Fields]]:
    lines = (line for _, line in _lines(path))
    first = next(lines, "")
    tabs = "\t" in first
    reader = csv.reader(
        _chained(first, lines),
        delimiter="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        strict=True,
    )
    names: Sequence[str] = config.columns
    try:
        for place, row in enumerate(reader):
            if not row:
                continue
            if place == 0 and _is_header(row, config):
                names = names or row
                continue
            if names and len(row) < len(names):
                raise InputError(
                    f"{path}:{reader.line_num}: {len(row)} columns where there should be "
                    f"{len(names)}"
                )
            # what goes beyond the names is passed over
            fields = _named(zip(names, row, strict=False)) if names else _positional(row)
            yield reader.line_num, fields
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: {error}") from None


def _chained(first: str, rest: Iterable[str]) -> Iterator[str]:
    if first:
        yield first
    yield from rest


def _is_header(row: Sequence[str], config: TrainingDataConfig) -> bool:
    if config.columns:
        names = [name.casefold() for name in config.columns]
        place = next((i for i, name in enumerate(names) if _ROLES.get(name) == "score"), None)
        return place is not None and place < len(row) and _number(row[place]) is None
    roles = {_ROLES.get(cell.strip().casefold(), "") for cell in row} - {""}
    return any(needed <= roles for needed in _NEEDED)


_NEEDED = ({"anchor", "positive"}, {"first", "second"}, {"text", "label"})


def _named(items: Iterable[tuple[str, Any]]) -> Fields:
    fields: Fields = {}
    for name, value in items:
        role = _ROLES.get(name.strip().casefold().rstrip("_0123456789"), "")
        role = _ROLES.get(name.strip().casefold(), role)
        if role and value not in (None, ""):
            fields.setdefault(role, []).extend(value if isinstance(value, list) else [value])
    return fields


def _positional(row: Sequence[Any]) -> Fields:
    """Two texts and a number, or two and more texts."""
    if len(row) == 3 and _number(row[2]) is not None:
        return {"first": [row[0]], "second": [row[1]], "score": [row[2]]}
    fields: Fields = {"anchor": list(row[:1]), "positive": list(row[1:2])}
    return fields | ({"negative": list(row[2:])} if len(row) > 2 else {})


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
    if "anchor" in fields or "first" in fields:
        first = _text(fields, "anchor" if "anchor" in fields else "first")
        second = _text(fields, "positive" if "anchor" in fields else "second")
        if "score" in fields or ("first" in fields and "label" in fields):
            score = _score(fields, config.max_score)
            return ScoredPair(first=first, second=second, score=score, place=place)
        negatives = tuple(_string(value, "negative") for value in fields.get("negative", ()))
        return TrainingPair(anchor=first, positive=second, negatives=negatives, place=place)
    if "text" in fields and "label" in fields:
        return LabelledText(text=_text(fields, "text"), label=str(fields["label"][0]), place=place)
    raise InputError(
        "neither a pair, a scored pair nor a labelled text: it has "
        f"{', '.join(fields) or 'nothing'}"
    )


def _text(fields: Fields, role: str) -> str:
    values = fields.get(role, [])
    if len(values) != 1:
        raise InputError(f"{len(values)} texts for the {role}, where there must be one")
    return _string(values[0], role)


def _string(value: Any, role: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"the {role} is {type(value).__name__}, not a text")
    return value


def _score(fields: Fields, most: float) -> float:
    typed = fields["score" if "score" in fields else "label"][0]
    score = _number(typed)
    if score is None:
        raise InputError(f"the score {str(typed)[:40]!r} is no number")
    if not 0 <= score <= most:
        raise InputError(f"the score {score:g} is not between 0 and {most:g}: set max_score")
    return score / most


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with reasons(), open_stream(path, path.suffix == ".gz", MAX_FILE_BYTES) as stream:
            for number, line in bounded_lines(stream, MAX_LINE_BYTES):
                if line is None:
                    raise InputError(f"{path}:{number}: longer than {MAX_LINE_BYTES} bytes")
                try:
                    yield number, line.decode()
                except UnicodeDecodeError:
                    raise InputError(f"{path}:{number}: not UTF-8") from None
    except ReadError as error:
        raise InputError(f"{path}: {error}") from None
