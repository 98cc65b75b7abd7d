"""Reading questions with known answers in the layout of SQuAD."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedsearch.errors import InputError, NotFoundError, ReadError
from embedsearch.text.paths import typed_path
from embedsearch.text.readers import MAX_BYTES
from embedsearch.text.readers.opening import read_bytes, reasons
from embedsearch.types import Document


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question, the paragraph that it was asked about, and what was accepted as an answer.

    No answers: the paragraph does not tell.
    """

    text: str
    document_id: str
    answers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class QuestionSet:
    """The paragraphs of a file, equal ones once, and the questions about them."""

    documents: tuple[Document, ...]
    questions: tuple[Question, ...]


def read_squad(path: str | Path) -> QuestionSet:
    """Reads SQuAD 1.1 or 2.0 JSON, gzipped or not.

    A paragraph's id is its article's title and its number there, from 0: `Force/3`.

    Raises NotFoundError where there is no file, InputError that names the place for one that is
    not in this layout or has no question.
    """
    path = typed_path(path)
    documents: dict[tuple[str, str], Document] = {}
    questions: list[Question] = []
    for title, number, paragraph, place in _paragraphs(path):
        context = _text(paragraph, "context", place)
        document = documents.get((title, context))
        if document is None:
            shown = title.replace("_", " ")
            document = Document(id=f"{title}/{number}", title=shown, text=context)
            documents[title, context] = document
        for index, entry in enumerate(_list(paragraph, "qas", place)):
            questions.append(_question(entry, document.id, f"{place}, question {index + 1}"))
    if not questions:
        raise InputError(f"{path} has no questions")
    return QuestionSet(documents=tuple(documents.values()), questions=tuple(questions))


def _paragraphs(path: Path) -> Iterator[tuple[str, int, Any, str]]:
    """(article's title, number of the paragraph in it, the paragraph, where it stands)."""
    numbers: dict[str, int] = {}
    for index, article in enumerate(_list(_load(path), "data", str(path))):
        place = f"{path}: article {index + 1}"
        title = article.get("title", "") if isinstance(article, Mapping) else ""
        if not isinstance(title, str):
            raise InputError(f"{place}: the title must be a string, not {title!r}")
        title = title or f"article {index + 1}"
        for paragraph in _list(article, "paragraphs", place):
            number = numbers.get(title, 0)
            numbers[title] = number + 1
            yield title, number, paragraph, f"{place}, paragraph {number + 1}"


def _load(path: Path) -> Any:
    try:
        if not path.is_file():
            raise NotFoundError(f"there is no file {str(path)!r}")
        with reasons():
            data = read_bytes(path, path.suffix == ".gz", MAX_BYTES)
        return json.loads(data.decode("utf-8-sig"))
    except ReadError as error:
        raise InputError(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None


def _question(entry: Any, document_id: str, place: str) -> Question:
    text = _text(entry, "question", place)
    if not text.strip():
        raise InputError(f"{place}: the question is empty")
    impossible = entry.get("is_impossible", False)
    answers = [] if impossible else _list(entry, "answers", place)
    texts = [_text(answer, "text", place) for answer in answers]
    return Question(
        text=text,
        document_id=document_id,
        answers=tuple(dict.fromkeys(answer for answer in texts if answer.strip())),
    )


def _list(value: Any, key: str, place: str) -> Sequence[Any]:
    found = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(found, list):
        raise InputError(f"{place}: no list {key!r}; a file in SQuAD's layout is needed")
    return found


def _text(value: Any, key: str, place: str) -> str:
    found = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(found, str):
        raise InputError(f"{place}: {key!r} must be a string; a file in SQuAD's layout is needed")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise InputError(f"{place}: {key!r} has a lone surrogate, which is no text") from None
    return found
