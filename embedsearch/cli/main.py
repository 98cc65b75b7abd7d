"""Running a command: exit codes, errors as one line, interruption."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from embedsearch.cli.interruption import NOTHING_SAVED, Interrupted
from embedsearch.cli.terminal import plain
from embedsearch.errors import EmbedSearchError

DONE, NOTHING_FOUND, WRONG_USE, INTERNAL, INTERRUPTED = 0, 1, 2, 70, 130
_GOES_ON = {"index", "reindex"}
"""Commands that keep what they have done so far, whatever that is."""
_BEGINS_ANEW = {"tokenizer", "terms", "static"}
"""Trainings that keep no state. One that does says itself what it goes on from, see `resumable`."""
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 done, 1 nothing found, 2 wrong use or bad
    input, 70 a bug, 130 interrupted."""
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    handler = logging.StreamHandler()
    handler.setFormatter(_Remark())
    logging.getLogger("embedsearch").addHandler(handler)
    try:
        code = _run(arguments)
        sys.stdout.flush()  # here, where a failure is dealt with, not when Python ends
        return code
    except EmbedSearchError as error:
        return _fail(str(error), WRONG_USE)
    except Interrupted as stop:
        return _fail(str(stop), INTERRUPTED)
    except KeyboardInterrupt:
        return _fail(_interrupted(sys.argv[1:] if arguments is None else arguments), INTERRUPTED)
    except BrokenPipeError:
        _drop_output()
        return DONE  # the reader of our output went away: not our error
    except Exception as error:
        if os.environ.get("EMBEDSEARCH_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            _drop_output()
            return _fail(f"the output could not be written: {error.strerror}", WRONG_USE)
        return _fail(
            f"this is a bug: {type(error).__name__}: {error} (EMBEDSEARCH_DEBUG=1 shows where)",
            INTERNAL,
        )
    finally:
        logging.getLogger("embedsearch").removeHandler(handler)


def _open_streams() -> None:
    """Opens what the shell has closed (`>&-`): else the first file to be opened, a database, would
    take the number of the standard output."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 — for the whole process


def _run(arguments: Sequence[str] | None) -> int:
    from embedsearch.device import limit_threads

    limit_threads()  # before anything imports NumPy, as the commands do
    import typer
    from typer.main import get_command

    from embedsearch.cli.app import app

    try:
        outcome = get_command(app).main(
            args=None if arguments is None else list(arguments),
            prog_name="embedsearch",
            standalone_mode=False,
        )
    except typer.Abort:
        raise KeyboardInterrupt from None
    except SystemExit as stop:  # what typer makes of a broken pipe
        if isinstance(stop.__context__, BrokenPipeError):
            raise stop.__context__ from None
        raise
    except typer.TyperException as error:
        message = error.format_message()
        if "\n" in message:  # no command was given: the message is the help
            print(message, file=sys.stderr)
            return error.exit_code
        command = getattr(getattr(error, "ctx", None), "command_path", "embedsearch")
        told = message.replace("Value error, ", "")
        if "unexpected extra argument" in told:
            told += "; put what has blanks in it in quotes"
        elif "No such option: -" in told and "No such option: --" not in told:
            told += "; put -- before a text that begins with a dash"
        return _fail(f"{told} (see {command} --help)", error.exit_code)
    if outcome == INTERRUPTED:
        raise KeyboardInterrupt
    return outcome if isinstance(outcome, int) else DONE


def _interrupted(arguments: Sequence[str]) -> str:
    if _GOES_ON.intersection(arguments[:1]):
        return "interrupted; what was done is kept, the same command goes on from there"
    trains_anew = list(arguments[:1]) == ["train"] and _BEGINS_ANEW.intersection(arguments[1:2])
    return NOTHING_SAVED if trains_anew else "interrupted"


def _drop_output() -> None:
    """Python must not try again to write what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> int:
    print(f"embedsearch: {plain(message)}", file=sys.stderr)
    return code


class _Remark(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"embedsearch: {plain(record.getMessage())}"
