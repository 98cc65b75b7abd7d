"""Texts to train on, from files and folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from embedsearch.errors import ReadError
from embedsearch.text.files import list_files, printable
from embedsearch.text.readers import read_file
from embedsearch.types import SILENT, Progress


def read_texts(paths: Sequence[Path], *, progress: Progress = SILENT) -> Iterator[str]:
    """Every document's text, its title before it where the text does not have it.

    Files are read as `index` reads them, one document at a time; `progress` is told of those passed
    over. Raises NotFoundError, when iterated, for a path that is not there.
    """
    listing = list_files(paths)
    for skipped in listing.skipped:
        progress.note(f"skipped {skipped.path}: {skipped.reason}")
    progress.start("Reading", sum(file.size for file in listing.files), "B")
    for file in listing.files:
        name = printable(file.path)
        try:
            for document in read_file(
                file.path,
                name,
                note=lambda place, remark: progress.note(f"skipped {place}: {remark}"),
            ):
                shown = document.title in document.text
                yield document.text if shown else f"{document.title}\n{document.text}"
        except ReadError as error:
            progress.note(f"skipped {name}: {error}")
        progress.advance(file.size)
