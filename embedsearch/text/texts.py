"""The texts of files, one after the other, for whatever is trained on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from embedsearch.errors import InputError, ReadError
from embedsearch.text.files import list_files, printable
from embedsearch.text.readers import MAX_BYTES, read_file
from embedsearch.text.readers.opening import open_stream, reasons
from embedsearch.text.suffixes import split_suffix
from embedsearch.types import Skipped

_STREAMED = frozenset({"", ".txt", ".text", ".tok", ".lines"})
_BLOCK = 1 << 20


class TextFiles:
    """The texts of files and folders, read when they are iterated over and not kept.

    Every format that can be indexed is read, one text a document, its title before it where the
    text does not have it; plain text of any size comes in blocks of lines. `exclude` are files and
    folders to be passed over. `skipped` is what was passed over in the last iteration.
    NotFoundError for a path that does not exist; InputError, while iterating, with file and line
    for plain text that is not UTF-8, or where nothing could be read.
    """

    def __init__(self, paths: Sequence[str | Path], *, exclude: Sequence[Path] = ()) -> None:
        self._paths = [Path(path) for path in paths]
        self._listing = list_files(self._paths, exclude=exclude)
        self.skipped: list[Skipped] = []

    def __iter__(self) -> Iterator[str]:
        self.skipped = list(self._listing.skipped)
        read = False
        for file in self._listing.files:
            name = printable(file.path)
            try:
                for text in self._texts(file.path, name):
                    read = True
                    yield text
            except ReadError as error:
                self._skip(name, str(error))
        if not read:
            named = ", ".join(repr(printable(path)) for path in self._paths)
            reason = f" ({self.skipped[0].path}: {self.skipped[0].reason})" if self.skipped else ""
            raise InputError(f"there is no text in {named}{reason}")

    def _texts(self, path: Path, name: str) -> Iterator[str]:
        suffix, gzipped = split_suffix(path.name)
        if suffix in _STREAMED:
            yield from _blocks(path, gzipped, name)
            return
        for document in read_file(path, name, note=self._skip):
            parts = [document.title] if document.title not in document.text else []
            yield "\n".join([*parts, document.text] if document.text else parts)

    def _skip(self, place: str, reason: str) -> None:
        self.skipped.append(Skipped(path=place, reason=reason))


def _blocks(path: Path, gzipped: bool, name: str) -> Iterator[str]:
    """Plain text in blocks of about a megabyte, cut behind a line, or at a blank in a long one."""
    number, rest = 1, b""
    with reasons(), open_stream(path, gzipped, MAX_BYTES) as stream:
        while block := stream.read(_BLOCK):
            rest += block
            cut = rest.rfind(b"\n") + 1
            if not cut and len(rest) >= _BLOCK:
                cut = rest.rfind(b" ")
            if cut > 0:
                yield _decoded(rest[:cut], name, number)
                number += rest.count(b"\n", 0, cut)
                rest = rest[cut:]
            elif len(rest) > MAX_BYTES:
                raise ReadError("no line break and no blank in 32 MB: this is no text")
    if rest:
        yield _decoded(rest, name, number)


def _decoded(block: bytes, name: str, number: int) -> str:
    """`number` is that of the block's first line."""
    try:
        return block.decode("utf-8")
    except UnicodeDecodeError as error:
        before = block[: error.start]
        line = number + before.count(b"\n")
        place = error.start - before.rfind(b"\n")
        raise InputError(
            f"{name}:{line}: not UTF-8 at byte {place} of the line; "
            "convert the file, for instance with iconv -f latin1 -t utf-8"
        ) from None
