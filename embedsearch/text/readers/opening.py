"""Files as bytes: bounded, gzip undone, the reasons for failure in words."""

from __future__ import annotations

import codecs
import gzip
import io
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from embedsearch.errors import ReadError
from embedsearch.text.decode import byte_order_mark
from embedsearch.text.readers.content import size

Told = Callable[[int], None]
"""Called with the bytes of the file that were read just now."""

_CHUNK = 1 << 16
_GZIP_RATIO = 200
"""Text hardly ever shrinks more than tenfold; deflate ends at 1032."""


@contextmanager
def reasons() -> Iterator[None]:
    """Failures of the file system and of gzip as ReadError."""
    try:
        yield
    except EOFError:
        raise ReadError("gzip file is cut short") from None
    except (gzip.BadGzipFile, zlib.error):
        raise ReadError("damaged gzip file") from None
    except OSError as error:
        raise ReadError((error.strerror or type(error).__name__).lower()) from None


def untold(_: int) -> None:
    """Nobody wants to know how far a file is read."""


def read_bytes(path: Path, gzipped: bool, max_bytes: int, told: Told = untold) -> bytes:
    """The whole file. ReadError where it holds, unpacked, more than `max_bytes`."""
    with _open(path, gzipped, told) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ReadError(f"larger than {size(max_bytes)}")
    return data


@contextmanager
def open_stream(
    path: Path, gzipped: bool, max_bytes: int, told: Told = untold
) -> Iterator[io.BufferedReader]:
    """The file as a stream of UTF-8 (or of whatever it is, where it declares no UTF-16 or -32).

    A gzip file that unpacks to more than `max_bytes` and to 200 times its size is refused there.
    """
    limit = max(max_bytes, _GZIP_RATIO * path.stat().st_size) if gzipped else None
    with _open(path, gzipped, told) as file, ExitStack() as stack:
        stream: io.BufferedReader = io.BufferedReader(_Unpacked(file, limit), _CHUNK)
        stack.enter_context(stream)
        codec, mark = byte_order_mark(stream.peek(4))
        stream.read(mark)
        if codec not in ("", "utf-8"):
            decoder = codecs.getincrementaldecoder(codec)("replace")
            recoded = _Unpacked(stream, None, lambda *chunk: decoder.decode(*chunk).encode())
            stream = io.BufferedReader(recoded, _CHUNK)
            stack.enter_context(stream)
        if b"\0" in stream.peek(1):
            raise ReadError("binary file")
        yield stream


def with_line_feeds(stream: io.BufferedReader) -> io.BufferedReader:
    """The stream, its lines ended by LF where they are ended by CR alone, as on the first Macs."""
    head = stream.peek(1)
    if b"\r" not in head or b"\n" in head:
        return stream
    recoded = _Unpacked(stream, None, lambda chunk, _last: chunk.replace(b"\r", b"\n"))
    return io.BufferedReader(recoded, _CHUNK)


def bounded_lines(stream: io.BufferedReader, max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Line numbers from 1 and lines with their newline; None for a line over `max_bytes`.

    Such a line is read past in pieces, never held.
    """
    number = 0
    while line := stream.readline(max_bytes + 1):
        number += 1
        if len(line) <= max_bytes:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(_CHUNK)
        yield number, None


@contextmanager
def _open(path: Path, gzipped: bool, told: Told) -> Iterator[io.BufferedIOBase]:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a FIFO would wait for a writer
        raise ReadError("not a regular file")
    with path.open("rb") as file:
        counted = io.BufferedReader(_Counted(file, told), _CHUNK)
        yield gzip.GzipFile(fileobj=counted) if gzipped else counted


class _Counted(io.RawIOBase):
    """A file that tells how much of it is read."""

    def __init__(self, file: io.BufferedReader, told: Told) -> None:
        self._file = file
        self._told = told

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._file.readinto(buffer)
        self._told(count)
        return count


class _Unpacked(io.RawIOBase):
    """A stream, recoded, that ends in ReadError at `limit`.

    `recode` is given each piece and whether it is the last, which is empty.
    """

    def __init__(
        self,
        source: io.BufferedIOBase,
        limit: int | None,
        recode: Callable[[bytes, bool], bytes] | None = None,
    ) -> None:
        self._source = source
        self._limit = limit
        self._recode = recode
        self._total = 0
        self._pending = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._pending:
            chunk = self._source.read(_CHUNK)
            self._total += len(chunk)
            if self._limit is not None and self._total > self._limit:
                raise ReadError("gzip file unpacks to far more than its size")
            self._pending = self._recode(chunk, not chunk) if self._recode else chunk
            if not chunk:
                break
        count = min(len(buffer), len(self._pending))
        buffer[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count
