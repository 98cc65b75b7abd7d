"""Texts on their way into a trainer: counted, checked, and stopped by Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from embedsearch.errors import InputError
from embedsearch.text.words import counted
from embedsearch.types import Progress

Result = TypeVar("Result")
_STEP = 1 << 20


class Corpus:
    """Texts that are read once."""

    def __init__(self, texts: Iterable[str], progress: Progress) -> None:
        self._texts = texts
        self._progress = progress
        self._stopped = False
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        self._progress.start("Reading texts", None, "B")
        unread = 0
        empty = True
        for text in [self._texts] if isinstance(self._texts, str) else self._texts:
            if self._stopped:
                return
            self._check(text)
            self.count += 1
            empty = empty and not text.strip()
            unread += len(text)
            if unread >= _STEP:
                self._progress.advance(unread)
                unread = 0
            yield text
        self._progress.advance(unread)
        if empty:
            raise InputError(
                f"there is nothing to learn from: {counted(self.count, 'text')}, and nothing in any"
            )
        self._progress.note("all texts are read; learning the vocabulary …")

    def learn(self, call: Callable[[], Result]) -> Result:
        """What a long native call gives. It runs in a thread, so that Ctrl-C is heard meanwhile.

        The call goes on in the background then, without further texts, and ends with the program.
        """
        results: list[Result] = []
        failures: list[BaseException] = []

        def run() -> None:
            try:
                results.append(call())
            except BaseException as error:  # raised again by the caller's thread
                failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.2)
        finally:
            self._stopped = True
        for failure in failures:
            raise failure
        return results[0]

    def _check(self, text: object) -> None:
        if not isinstance(text, str):
            raise InputError(
                f"text {self.count} of the corpus is no string but {type(text).__name__}"
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"text {self.count} of the corpus has a lone surrogate at character "
                f"{error.start}; replace it: text.encode('utf-8', 'replace').decode()"
            ) from None
