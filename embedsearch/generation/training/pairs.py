"""Prompts and the responses that a model is to learn, read from JSON lines and cleaned."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from embedsearch.errors import InputError, NotFoundError
from embedsearch.generation.interface import Prompt
from embedsearch.types import Skipped

MAX_LINE = 16 << 20
"""Bytes."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What is asked and what is to be answered; `place` is where it stands, `file:line`."""

    prompt: Prompt
    response: str
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class PairSet:
    pairs: tuple[Pair, ...]
    skipped: tuple[Skipped, ...]


def read_pairs(paths: Sequence[str | Path]) -> PairSet:
    """Reads files of JSON lines, gzipped or not: `{"prompt": …, "response": …}`.

    A prompt is a text or a list of messages with `role` and `content`. White space around texts
    goes, line ends become line feeds; a line that is no such object, is empty, or was there
    already is passed over and reported. NotFoundError for a file that is not there, InputError
    when nothing is left.
    """
    pairs: list[Pair] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    for path in map(Path, paths):
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                pair = _pair(line, place)
                key = json.dumps([pair.prompt, pair.response])
                if key in seen:
                    raise InputError("was there already")
                seen.add(key)
                pairs.append(pair)
            except InputError as error:
                skipped.append(Skipped(path=place, reason=str(error)))
    if not pairs:
        why = f"; {skipped[0].path} {skipped[0].reason}" if skipped else ""
        raise InputError(
            f"no line with a prompt and a response in {', '.join(map(str, paths))}{why}"
        )
    return PairSet(pairs=tuple(pairs), skipped=tuple(skipped))


def _lines(path: Path) -> Iterator[bytes]:
    if not path.is_file():
        raise NotFoundError(f"there is no file {str(path)!r}")
    try:
        with _open(path) as file:
            while line := file.readline(MAX_LINE + 1):
                if len(line) > MAX_LINE:
                    raise InputError(f"{path} has a line of more than {MAX_LINE >> 20} MB")
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _pair(line: bytes, place: str) -> Pair:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError("is no object with `prompt` and `response`")
    response = _clean(value.get("response"), "response")
    prompt = value.get("prompt")
    if isinstance(prompt, list):
        if not prompt:
            raise InputError("has an empty `prompt`")
        return Pair(prompt=[_message(each) for each in prompt], response=response, place=place)
    return Pair(prompt=_clean(prompt, "prompt"), response=response, place=place)


def _message(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        raise InputError("has a message without `role` and `content`")
    return {name: _clean(value.get(name), name) for name in ("role", "content")}


def _clean(text: Any, name: str) -> str:
    if not isinstance(text, str):
        raise InputError(f"has no text `{name}`")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"has a lone surrogate in `{name}`") from None
    cleaned = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not cleaned:
        raise InputError(f"has an empty `{name}`")
    return cleaned
