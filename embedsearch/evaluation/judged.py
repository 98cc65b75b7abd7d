"""A judged set: questions, and which documents answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedsearch.errors import InputError, NotFoundError
from embedsearch.evaluation.beir import Qrels, read_corpus, read_qrels, read_queries, split_names
from embedsearch.text.paths import typed_path
from embedsearch.text.words import counted
from embedsearch.types import SILENT, Progress


@dataclass(frozen=True, kw_only=True)
class JudgedSet:
    """Questions that have a relevant document, by id in the order of the file, and their judgements
    of the split; `without_relevant` counts the other questions."""

    questions: dict[str, str]
    qrels: Qrels
    split: str
    without_relevant: int


def read_judged(
    folder: str | Path, split: str | None = None, progress: Progress = SILENT
) -> JudgedSet:
    """The questions and judgements of a folder in the BEIR layout.

    `split` None is `test`, or the first where there is no such. Raises NotFoundError where a part
    is missing, InputError for judgements that cannot be used.
    """
    home = typed_path(folder)
    chosen = split or _default_split(home, progress)
    qrels = read_qrels(home, chosen)
    queries = read_queries(home, lambda place, remark: progress.note(f"{place}: {remark}"))
    judged = _judged(home, qrels, queries, progress)
    return JudgedSet(
        questions=judged,
        qrels={query: qrels[query] for query in judged},
        split=chosen,
        without_relevant=len(queries) - len(judged),
    )


def read_corpus_ids(folder: Path, progress: Progress) -> set[str]:
    """The ids of the corpus. One that stands in it twice is remarked: the last is searched."""
    found: set[str] = set()
    twice: dict[str, None] = {}
    for document in read_corpus(folder, lambda *_: None):
        if document.id in found:
            twice[document.id] = None
        found.add(document.id)
    if twice:
        progress.note(
            f"the corpus has {counted(len(twice), 'id')} more than once, the last document counts: "
            f"{_some(list(twice))}"
        )
    return found


def check_judgements(folder: Path, qrels: Qrels, corpus: set[str], progress: Progress) -> None:
    """Remarks on relevant documents that are not there; InputError where all are not."""
    relevant = {i for grades in qrels.values() for i, grade in grades.items() if grade > 0}
    missing = sorted(relevant - corpus)
    if len(missing) == len(relevant):
        raise InputError(
            f"none of the {len(relevant)} relevant documents is in the corpus of {folder}: "
            f"{_some(missing)}; the corpus has ids such as {_some(sorted(corpus)[:1])}"
        )
    if missing:
        progress.note(
            f"the corpus lacks {len(missing):,} of {len(relevant):,} relevant documents, which "
            f"cannot be found: {_some(missing)}"
        )


def _default_split(folder: Path, progress: Progress) -> str:
    splits = split_names(folder)
    if not splits and not folder.is_dir():
        raise NotFoundError(f"no such folder: {folder}")
    if not splits:
        raise NotFoundError(f"{folder} has no judgements: no qrels/<split>.tsv[.gz]")
    if "test" in splits:
        return "test"
    progress.note(f"there is no split test; this is {splits[0]} of {', '.join(splits)}")
    return splits[0]


def _judged(
    folder: Path, qrels: Qrels, queries: Mapping[str, str], progress: Progress
) -> dict[str, str]:
    """Texts of the queries with a relevant document, by id, in the order of the file."""
    relevant = {query for query, grades in qrels.items() if any(g > 0 for g in grades.values())}
    judged = {query: text for query, text in queries.items() if query in relevant}
    if not judged:
        raise InputError(
            f"no query of {folder} is judged: none of its {len(queries)} queries has a relevant "
            f"document among the judgements of {len(qrels)} queries"
        )
    if len(judged) < len(relevant):
        missing = sorted(relevant - judged.keys())
        progress.note(
            f"queries.jsonl lacks {len(missing):,} of {len(relevant):,} judged queries, which are "
            f"left out: {_some(missing)}"
        )
    return judged


def _some(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:5])) + (", …" if len(ids) > 5 else "")
