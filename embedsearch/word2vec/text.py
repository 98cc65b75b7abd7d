"""Text files as sequences of words, streamed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from embedsearch.errors import InputError, NotFoundError, ReadError
from embedsearch.text.files import list_files, printable
from embedsearch.text.readers import read_file
from embedsearch.text.readers.opening import open_stream, reasons
from embedsearch.text.suffixes import split_suffix
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.text.words import split_words
from embedsearch.types import SILENT, Progress

_LINE_SUFFIXES = ("", ".txt", ".text", ".tok", ".lines")
_MAX_UNPACKED = 1 << 40
_PIECE = 1 << 20
"""Characters of a line that are worked on at a time; a longer line is cut between words."""


def read_sequences(
    paths: Sequence[str | Path],
    tokenizer: Tokenizer | None = None,
    *,
    progress: Progress = SILENT,
) -> Iterator[list[str]]:
    """The words of each line of text files, for `train_word2vec`.

    Plain text (`.txt`, also gzipped, and files without a suffix) is streamed, however large; other
    formats are read as `index` reads them, folders with all their files. Words are runs of
    letters and digits in lower case, or the tokens of a `tokenizer`.

    Raises, while iterating: NotFoundError for a path that is not there, InputError with file and
    line for plain text that is not UTF-8, or where no file could be read.
    """
    split = _splitter(tokenizer)
    listing = list_files([Path(path) for path in paths])
    for skipped in listing.skipped:
        progress.note(f"skipped {skipped.path}: {skipped.reason}")
    if not listing.files:
        raise NotFoundError(f"no file to read in {', '.join(map(printable, paths))}")
    read = 0
    for file in listing.files:
        try:
            for line in _lines(file.path, progress):
                words = split(line)
                if words:
                    yield words
            read += 1
        except ReadError as error:
            progress.note(f"skipped {printable(file.path)}: {error}")
    if not read:
        raise InputError(f"none of the files could be read, such as {printable(file.path)}")


def _splitter(tokenizer: Tokenizer | None) -> Callable[[str], list[str]]:
    if tokenizer is None:
        return split_words
    return lambda line: tokenizer.encode(line, special_tokens=False).tokens


def _lines(path: Path, progress: Progress) -> Iterator[str]:
    suffix, gzipped = split_suffix(path.name)
    if suffix in _LINE_SUFFIXES:
        with reasons(), open_stream(path, gzipped, _MAX_UNPACKED) as stream:
            yield from _stream_lines(stream, path)
        return

    def note(place: str, remark: str) -> None:
        progress.note(f"{place}: {remark}")

    for document in read_file(path, printable(path), note=note):
        if document.title and document.title not in document.text:
            yield document.title
        yield from document.text.splitlines()


def _stream_lines(stream: io.BufferedReader, path: Path) -> Iterator[str]:
    """Lines without limit to the file; one longer than a piece comes in parts."""
    number, rest = 1, b""
    while piece := stream.readline(_PIECE):
        whole = piece.endswith(b"\n")
        piece, rest = rest + piece, b""
        if not whole and len(piece) >= _PIECE and (cut := piece.rfind(b" ")) > 0:
            piece, rest = piece[:cut], piece[cut + 1 :]
        try:
            yield piece.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{printable(path)}:{number}: not UTF-8 at byte {error.start + 1} of the line; "
                "convert the file, for instance with iconv -f latin1 -t utf-8"
            ) from None
        number += whole
    if rest:
        yield rest.decode("utf-8", "replace")
