"""Text for people: safe to show in a terminal, progress on stderr."""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufddf]")

PLAIN_INTERVAL_S = 10.0
LEAST_WIDTH = 20


def plain(text: str) -> str:
    """The text on one line, without control characters: a document must not steer the terminal."""
    return _CONTROLS.sub(
        lambda found: " " if found.group().isspace() else repr(found.group())[1:-1], text
    )


def plain_lines(text: str) -> str:
    """As `plain`, but line feeds stay."""
    return "\n".join(plain(line) for line in text.split("\n"))


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


def terminal() -> Console:
    """Stdout as a terminal. What has no width to set text in is taken for 80 columns: some programs
    pretend to be terminals of none."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.width >= LEAST_WIDTH else Console(highlight=False, width=80)


class TerminalProgress:
    """Progress on stderr: a bar in a terminal, elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._description, self._unit = "", "B"
        self._total: int | None = None
        self._done = 0
        self._began = self._told = time.monotonic()

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop()

    def start(self, description: str, total: int | None, unit: str) -> None:
        self._stop()
        self._description, self._total, self._unit, self._done = description, total, unit, 0
        self._began = self._told = time.monotonic()
        if total != 0 and sys.stderr.isatty():
            self._bar = _bar(unit)
            self._bar.start()
            self._task = self._bar.add_task(description, total=total)

    def advance(self, amount: int) -> None:
        self._done += amount
        if self._bar and self._task is not None:
            self._bar.advance(self._task, amount)
        elif time.monotonic() - self._told > PLAIN_INTERVAL_S:
            self._told = time.monotonic()
            self.note(self._line())

    def note(self, message: str) -> None:
        if self._bar:
            self._bar.console.print(plain(message), markup=False, highlight=False)
        else:
            print(plain(message), file=sys.stderr)

    def _stop(self) -> None:
        if self._bar:
            self._bar.stop()
        self._bar = None

    def _line(self) -> str:
        rate = self._done / max(time.monotonic() - self._began, 1e-9)
        done, speed = _amount(self._done, self._unit), _amount(rate, self._unit)
        if not self._total:
            return f"{self._description}: {done}, {speed}/s"
        minutes = max(0, self._total - self._done) / max(rate, 1e-9) / 60
        left = f"about {minutes:,.0f} min left" if minutes >= 1 else "less than a minute left"
        whole = _amount(self._total, self._unit)
        return f"{self._description}: {done} of {whole}, {speed}/s, {left}"


def _amount(count: float, unit: str) -> str:
    if unit != "B":
        return f"{count:,.0f} {unit}"
    return f"{count / 1e6:,.2f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


def _bar(unit: str) -> RichProgress:
    from rich import progress as rich
    from rich.console import Console

    amount = (
        [rich.DownloadColumn(), rich.TransferSpeedColumn()]
        if unit == "B"
        else [rich.MofNCompleteColumn(), rich.TextColumn(unit)]
    )
    return rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        *amount,
        rich.TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
    )
