"""Text files as sequences of words, streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from embedsearch.text.skipping import skipped_lines
from embedsearch.text.texts import TextFiles
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.text.words import split_words
from embedsearch.types import SILENT, Progress


def read_sequences(
    paths: Sequence[str | Path],
    tokenizer: Tokenizer | None = None,
    *,
    exclude: Sequence[Path] = (),
    progress: Progress = SILENT,
) -> Iterator[list[str]]:
    """The words of each line of text files, for `train_word2vec`.

    Plain text (`.txt`, also gzipped, and files without a suffix) is streamed, however large; other
    formats are read as `index` reads them, folders with all their files. Words are runs of
    letters and digits in lower case, or the tokens of a `tokenizer`. A line of a megabyte comes in
    parts. What is in `exclude`, files or folders, is passed over. `progress` is told at the end
    what was passed over.

    Raises, while iterating: NotFoundError for a path that is not there, InputError with file and
    line for plain text that is not UTF-8, or where no file could be read.
    """
    split = _splitter(tokenizer)
    texts = TextFiles(paths, exclude=exclude)
    for text in texts:
        for line in text.split("\n"):
            words = split(line)
            if words:
                yield words
    for line in skipped_lines(texts.skipped):
        progress.note(line)


def _splitter(tokenizer: Tokenizer | None) -> Callable[[str], list[str]]:
    if tokenizer is None:
        return split_words
    return lambda line: tokenizer.encode(line, special_tokens=False).tokens
