"""Lines of the files that songs and playlists come in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from embedsearch.errors import InputError, NotFoundError, ReadError
from embedsearch.text.files import printable
from embedsearch.text.readers.opening import bounded_lines, open_stream, reasons
from embedsearch.text.suffixes import split_suffix

MAX_UNPACKED = 8 << 30
MAX_LINE = 1 << 28
SHOWN = 60
"""Characters of what is wrong that a message shows."""


class TextLines:
    """Lines of a text file, bounded, gzip undone; failures with file and line."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, printable(path)
        if not path.exists():
            raise NotFoundError(f"no such file: {self.name}")

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Numbers from 1 and lines without their end."""
        _, gzipped = split_suffix(self.path.name)
        try:
            with reasons(), open_stream(self.path, gzipped, MAX_UNPACKED) as stream:
                for number, raw in bounded_lines(stream, MAX_LINE):
                    yield number, self._text(number, raw)
        except ReadError as error:
            raise InputError(f"{self.name}: {error}") from None

    def fail(self, number: int, what: str) -> InputError:
        return InputError(f"{self.name}:{number}: {what}")

    def _text(self, number: int, raw: bytes | None) -> str:
        if raw is None:
            raise self.fail(number, f"a line of more than {MAX_LINE >> 20} MB")
        try:
            return raw.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise self.fail(number, "not UTF-8") from None
