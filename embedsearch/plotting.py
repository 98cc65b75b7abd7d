"""Figures drawn without a display, and pages that need nothing else."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from embedsearch.errors import DependencyError, StorageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#3b6fb6", "#e07b39", "#4a9d5b", "#a34fa0", "#b3392f", "#7a6a55", "#2aa3a3")
"""One for each tokenizer, over again after the last."""

_HTML = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
figure{{margin:2rem 0}}figure svg{{max-width:100%;height:auto}}table{{border-collapse:collapse}}
td,th{{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ddd}}
td:first-child,th:first-child{{text-align:left}}</style>
<h1>{title}</h1>
{body}
</html>
"""


def check_matplotlib() -> None:
    """DependencyError where matplotlib is not installed: better known before than after a job."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise DependencyError(
            "plots need matplotlib, which is not installed: pip install 'embedsearch[plots]'"
        ) from None


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches. DependencyError where matplotlib is not installed."""
    check_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def page(title: str, body: str) -> str:
    """An HTML page; `body` is HTML already."""
    return _HTML.format(title=escape(title), body=body)


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure as what the path ends in."""
    with _no_remarks():
        figure.savefig(path, dpi=150)
    return path


def as_svg(figure: Figure) -> str:
    """The figure as an svg element in a figure of HTML."""
    buffer = io.StringIO()
    with _no_remarks():
        figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    return f"<figure>{text[text.index('<svg') :]}</figure>"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Failures of the file system as StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write the plot {path}: {error.strerror or error}") from None


def label(text: str, length: int) -> str:
    """Text for a label: one line, cut, no `$`, which would begin a formula."""
    line = " ".join(text.split())
    line = line if len(line) <= length else line[: length - 1] + "…"
    return line.replace("$", r"\$")


def finish(axes: Axes, *, title: str, x: str, y: str) -> None:
    """Title, names of the axes and legend."""
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def logarithmic(axes: Axes) -> None:
    """A logarithmic x axis with plain numbers."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


@contextmanager
def _no_remarks() -> Iterator[None]:
    """A script that matplotlib's own font lacks is drawn as boxes; the numbers stay right."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
