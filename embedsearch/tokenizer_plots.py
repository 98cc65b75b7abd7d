"""Tokenizers in pictures: lengths, the token tax, compression merge by merge, words in context."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from embedsearch.errors import DependencyError, InputError
from embedsearch.text.anatomy import Anatomy
from embedsearch.text.groups import TextGroup, sentences
from embedsearch.text.merges import compression_curve
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.tokenizer_costs import TokenizerComparison
from embedsearch.tokenizer_names import short_names
from embedsearch.tokens_to_vectors import WordComparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SAMPLE_CHARACTERS = 1_000_000
"""Lengths and compression are drawn from so much of the texts, spread evenly over them."""
MOST_ROWS = 50
"""Languages drawn; of more, the dearest, the cheapest, and some between."""
_COLOURS = ("#3b6fb6", "#e07b39", "#4a9d5b", "#a34fa0", "#b3392f", "#7a6a55", "#2aa3a3")
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


def comparison_plots(
    comparison: TokenizerComparison,
    tokenizers: Mapping[str, Tokenizer],
    groups: Sequence[TextGroup],
    folder: str | Path,
) -> list[Path]:
    """Draws a comparison: `lengths.png`, `compression.png`, `tax.png` where there are languages to
    compare, and `index.html` with all of it and the table; the folder is made.

    Raises DependencyError where matplotlib is not installed, InputError where nothing can be
    written there.
    """
    sample = _sample(groups)
    figures = {
        "lengths": _lengths(tokenizers, sample),
        "compression": _compression(tokenizers, sample),
    }
    if any(each.ratio is not None for report in comparison.tokenizers for each in report.groups):
        figures["tax"] = _tax(comparison)
    body = "\n".join(f"<figure>{_svg(figure)}</figure>" for figure in figures.values())
    with _writing(Path(folder)) as home:
        home.mkdir(parents=True, exist_ok=True)
        written = [_save(figure, home / f"{name}.png") for name, figure in figures.items()]
        page = home / "index.html"
        page.write_text(
            _HTML.format(title="Tokenizers compared", body=body + _table(comparison)),
            encoding="utf-8",
        )
    return [*written, page]


def word_plot(comparison: WordComparison, file: str | Path) -> Path:
    """Draws the cosines of a word in several sentences as two heat maps, static and contextual.

    The file's ending (.png, .svg, .pdf, .html) says what is written. Raises as `comparison_plots`.
    """
    path = Path(file)
    if path.suffix not in (".png", ".svg", ".pdf", ".html"):
        raise InputError(f"{path}: a plot is a .png, .svg, .pdf or .html file")
    count = len(comparison.occurrences)
    figure = _figure(10, 0.8 + 0.62 * count)
    labels = [
        f"{number}  {_short(each.sentence, 44)}"
        for number, each in enumerate(comparison.occurrences, 1)
    ]
    for place, (title, cosines) in enumerate(
        (("in the table (static)", comparison.static), ("in context", comparison.contextual)), 1
    ):
        axes = figure.add_subplot(1, 2, place)
        axes.imshow(cosines, vmin=0, vmax=1, cmap="viridis")
        axes.set_title(f"{comparison.word!r} {title}")
        axes.set_xticks(range(count), [str(number) for number in range(1, count + 1)])
        axes.set_yticks(range(count), labels if place == 1 else [""] * count)
        for row in range(count):
            for column in range(count):
                value = float(cosines[row, column])
                colour = "black" if value > 0.6 else "white"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
    with _writing(path):
        if path.suffix == ".html":
            title = f"{comparison.word} in {count} places"
            page = _HTML.format(title=escape(title), body=f"<figure>{_svg(figure)}</figure>")
            path.write_text(page, encoding="utf-8")
            return path
        return _save(figure, path)


def _lengths(tokenizers: Mapping[str, Tokenizer], sample: Sequence[str]) -> Figure:
    """Histograms of tokens per sentence, all tokenizers over the same logarithmic bins."""
    import numpy as np

    counts = {name: tokenizer.count(sample) for name, tokenizer in tokenizers.items()}
    longest = max(max(each) for each in counts.values())
    edges = np.unique(np.round(np.geomspace(1, longest + 1, 40)))
    figure = _figure(9, 5)
    axes = figure.add_subplot()
    for colour, (name, each) in zip(_colours(), counts.items(), strict=False):
        heights, _ = np.histogram(each, bins=edges)
        label = f"{short_names(list(counts))[name]} (median {np.median(each):.0f})"
        axes.stairs(heights / len(sample), edges, color=colour, label=label, fill=True, alpha=0.25)
        axes.stairs(heights / len(sample), edges, color=colour, linewidth=1.5)
    _logarithmic(axes)
    _axes(axes, f"Tokens per sentence, {len(sample):,} sentences", "tokens", "share of sentences")
    return figure


def _compression(tokenizers: Mapping[str, Tokenizer], sample: Sequence[str]) -> Figure:
    """Characters per token as the vocabulary grows; a point for what does not grow by merges."""
    figure = _figure(9, 5)
    axes = figure.add_subplot()
    names = short_names(list(tokenizers))
    characters = sum(map(len, sample))
    for colour, (name, tokenizer) in zip(_colours(), tokenizers.items(), strict=False):
        anatomy = Anatomy(tokenizer)
        if anatomy.kind == "BPE":
            curve = compression_curve(tokenizer, sample)
            reach = [characters / max(tokens, 1) for tokens in curve.tokens]
            axes.plot(curve.vocab_sizes, reach, color=colour, label=names[name], linewidth=2)
        else:
            reach = [characters / max(1, sum(tokenizer.count(sample)))]
            axes.plot([tokenizer.vocab_size], reach, "o", color=colour, label=names[name])
    _logarithmic(axes)
    _axes(
        axes,
        "Compression as the vocabulary grows",
        "vocabulary, merge by merge",
        "characters in a token",
    )
    return figure


def _tax(comparison: TokenizerComparison) -> Figure:
    """A row for each language, a dot for each tokenizer, at how many times the reference it is;
    hollow where the tokenizer hardly knows the language."""
    ratios = {
        report.tokenizer: {each.group: each.ratio for each in report.groups}
        for report in comparison.tokenizers
    }
    known = [
        group
        for group, first in next(iter(ratios.values())).items()
        if first is not None and all(found[group] is not None for found in ratios.values())
    ]
    known.sort(key=lambda group: max(found[group] or 0 for found in ratios.values()))
    rows = _some(known)
    figure = _figure(9, 2 + 0.22 * len(rows))
    axes = figure.add_subplot()
    spans = [[found[group] or 0 for found in ratios.values()] for group in rows]
    axes.hlines(range(len(rows)), [min(s) for s in spans], [max(s) for s in spans], color="#cccccc")
    names = short_names(list(ratios))
    for colour, report in zip(_colours(), comparison.tokenizers, strict=False):
        found = {each.group: each for each in report.groups}
        label = f"{names[report.tokenizer]} ({report.reference} = 1)"
        axes.scatter(
            [found[group].ratio or 0 for group in rows],
            range(len(rows)),
            facecolors=[colour if found[group].readable else "white" for group in rows],
            edgecolors=colour,
            label=label,
            zorder=2,
        )
    axes.set_yticks(range(len(rows)), [_short(group, 30) for group in rows], fontsize=8)
    shown = "" if len(rows) == len(known) else f", {len(rows)} of {len(known)}"
    _axes(
        axes,
        f"The token tax by language{shown} ({comparison.basis})",
        "times the reference (hollow: mostly unknown tokens)",
        "",
    )
    axes.grid(axis="x", alpha=0.3)
    axes.set_ylim(-1, len(rows))
    return figure


def _some(groups: Sequence[str]) -> list[str]:
    """Of many groups both ends and some between, in order."""
    if len(groups) <= MOST_ROWS:
        return list(groups)
    cheap, dear = groups[:10], groups[-20:]
    middle = groups[10:-20]
    step = ceil(len(middle) / (MOST_ROWS - 30))
    return [*cheap, *middle[step // 2 :: step], *dear]


def _sample(groups: Sequence[TextGroup]) -> list[str]:
    """Sentences spread evenly over all texts, together no more than the sample may have."""
    every = [part for group in groups for text in group.texts for part in sentences(text)]
    step = max(1, ceil(sum(map(len, every)) / SAMPLE_CHARACTERS))
    return every[::step]


def _table(comparison: TokenizerComparison) -> str:
    """Tokens and ratio of every group with every tokenizer, as HTML."""
    names = short_names([report.tokenizer for report in comparison.tokenizers])
    head = "".join(
        f"<th>{escape(names[report.tokenizer])}</th><th>ratio</th>"
        for report in comparison.tokenizers
    )
    rows = []
    for place, first in enumerate(comparison.tokenizers[0].groups):
        cells = ""
        for report in comparison.tokenizers:
            each = report.groups[place]
            ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
            cells += f"<td>{each.cost.tokens:,}</td><td>{ratio}</td>"
        rows.append(f"<tr><td>{escape(first.group)}</td>{cells}</tr>")
    return f"<table><tr><th>group</th>{head}</tr>\n" + "\n".join(rows) + "</table>"


def _colours() -> Iterator[str]:
    while True:
        yield from _COLOURS


def _axes(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _short(text: str, length: int) -> str:
    """Text for a label: one line, cut, no `$`, which would begin a formula."""
    line = " ".join(text.split()).replace("$", r"\$")
    return line if len(line) <= length else line[: length - 1] + "…"


def _figure(width: float, height: float) -> Figure:
    """An empty figure, drawn without a display."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise DependencyError(
            "plots need matplotlib, which is not installed: pip install 'embedsearch[plots]'"
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, path: Path) -> Path:
    with warnings.catch_warnings():
        # a script that matplotlib's own font lacks is drawn as boxes; the numbers stay right
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path, dpi=150)
    return path


def _svg(figure: Figure) -> str:
    """The figure as an svg element."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    return text[text.index("<svg") :]


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    try:
        yield path
    except OSError as error:
        raise InputError(f"cannot write the plot {path}: {error.strerror}") from None
