"""Texts in groups, languages most often, read from files to compare tokenizers on."""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedsearch.errors import InputError, NotFoundError, ReadError
from embedsearch.text.paths import typed_path
from embedsearch.text.readers import read_file
from embedsearch.text.readers.content import loads, size
from embedsearch.text.words import counted

MAX_BYTES = 256 * 2**20
"""Of one file, unpacked: what is compared is held in memory."""

LANGUAGE_FIELDS = ("language", "lang")
_SENTENCE_END = re.compile(r"\n+|(?<=[.!?…؟])\s+|(?<=[。！？।။།])")
_PACKED = (".gz", ".xz")


@dataclass(frozen=True, kw_only=True)
class TextGroup:
    """Texts of one language, or one file.

    `parallel`, where it is given, has each text once more in a language that all groups share.
    """

    name: str
    texts: Sequence[str]
    parallel: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.parallel and len(self.parallel) != len(self.texts):
            texts, parallel = len(self.texts), counted(len(self.parallel), "parallel one")
            raise InputError(f"{self.name!r} has {counted(texts, 'text')} and {parallel}")
        for text in (*self.texts, *self.parallel):
            if not isinstance(text, str):
                raise InputError(f"{self.name!r} has a {type(text).__name__} among its texts")
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise InputError(
                    f"{self.name!r} has a text with a lone surrogate at character {error.start}"
                ) from None


def language_of(metadata: Mapping[str, Any]) -> str | None:
    """What a record calls its language, if it does."""
    for name in LANGUAGE_FIELDS:
        value = metadata.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def sentences(text: str) -> list[str]:
    """A text cut at line breaks and after what ends a sentence in most scripts."""
    return [part for part in map(str.strip, _SENTENCE_END.split(text)) if part]


def read_groups(paths: Sequence[str | Path]) -> list[TextGroup]:
    """The texts of files in groups, in the order in which they come.

    A line of .jsonl is a text, with its `language` or `lang`; a line of .tsv is language TAB text,
    perhaps TAB the same in a language that all share. All other files are a group each, their lines
    the texts. Packed files (.gz, .xz) are unpacked. Empty texts are left out.

    Raises NotFoundError for a path that is no file and InputError, naming file and line, for what
    cannot be read or for files without text.
    """
    found: dict[str, tuple[list[str], list[str]]] = {}
    files = list(dict.fromkeys(typed_path(each) for each in paths))
    called = Counter(path.name for path in files)
    for path in files:
        if not path.is_file():
            raise NotFoundError(f"no such file: {path}")
        try:
            for name, text, parallel in _read(
                path, path.name if called[path.name] == 1 else str(path)
            ):
                if text.strip():
                    texts, others = found.setdefault(name, ([], []))
                    texts.append(text)
                    others += [] if parallel is None else [parallel]
        except ReadError as error:
            raise InputError(f"{path}: {error}") from None
    if not found:
        raise InputError(f"there is no text in {', '.join(map(str, paths)) or 'no files'}")
    return [
        TextGroup(name=name, texts=texts, parallel=parallel)
        for name, (texts, parallel) in found.items()
    ]


def _read(path: Path, name: str) -> Iterator[tuple[str, str, str | None]]:
    """Group, text and parallel text of each text of a file; `name` is the group's where the file
    names none."""
    inner = name[: -len(path.suffix)] if path.suffix.lower() in _PACKED else name
    suffix = Path(inner).suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        yield from _read_jsonl(path, inner)
    elif suffix == ".tsv":
        yield from _read_tsv(path)
    elif path.suffix.lower() == ".xz":
        for _number, line in _lines(path):
            yield name, line, None
    else:
        for document in read_file(path, name, note=lambda *_: None):
            for line in document.text.splitlines():
                yield name, line, None


def _open(path: Path) -> io.BufferedIOBase:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.open(path)
    return lzma.open(path) if suffix == ".xz" else path.open("rb")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with _open(path) as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: larger than {size(MAX_BYTES)}; compare on a part of it")
    for number, line in enumerate(io.BytesIO(data.removeprefix(codecs.BOM_UTF8)), 1):
        try:
            yield number, line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}:{number}: not UTF-8 at byte {error.start + 1}") from None


def _read_jsonl(path: Path, name: str) -> Iterator[tuple[str, str, None]]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            record = loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not JSON: {error}") from None
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise InputError(f"{path}:{number}: no JSON object with a string `text`")
        metadata = record.get("metadata")
        language = language_of(record) or language_of(
            metadata if isinstance(metadata, dict) else {}
        )
        yield language or name, record["text"], None


def _read_tsv(path: Path) -> Iterator[tuple[str, str, str | None]]:
    widths: set[int] = set()
    for number, line in _lines(path):
        if not line.strip():
            continue
        fields = line.split("\t")
        widths.add(len(fields))
        if len(fields) not in (2, 3) or len(widths) > 1:
            raise InputError(
                f"{path}:{number}: {len(fields)} fields; a line is language TAB text, or language "
                "TAB text TAB the same text in a language that all share, throughout the file"
            )
        yield fields[0], fields[1], fields[2] if len(fields) == 3 else None
