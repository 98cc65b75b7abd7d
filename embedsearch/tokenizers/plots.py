"""Tokenizers compared in pictures: lengths, compression merge by merge, the token tax."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import cycle
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from embedsearch.errors import InputError
from embedsearch.plotting import (
    COLOURS,
    as_svg,
    finish,
    label,
    logarithmic,
    new_figure,
    page,
    save,
    writing,
)
from embedsearch.text.anatomy import Anatomy
from embedsearch.text.groups import TextGroup, sentences
from embedsearch.text.merges import CompressionCurve, compression_curve
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.tokenizers.costs import UNREADABLE_SHARE, TokenizerComparison
from embedsearch.tokenizers.names import short_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")

SAMPLE_CHARACTERS = 1_000_000
"""Lengths and compression are drawn from so much of the texts, spread evenly over them."""
MOST_ROWS = 50
"""Languages drawn; of more, the dearest, the cheapest, and some between."""


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What is drawn of one tokenizer beside its costs: tokens of each sentence of the sample, and
    the curve of one that has merges."""

    name: str
    vocab_size: int
    lengths: Sequence[int]
    curve: CompressionCurve | None

    def as_json(self) -> dict[str, Any]:
        return {
            "vocab_size": self.vocab_size,
            "sentences_by_tokens": dict(sorted(Counter(self.lengths).items())),
            "compression": None if self.curve is None else asdict(self.curve),
        }


def comparison_plots(
    comparison: TokenizerComparison,
    tokenizers: Mapping[str, Tokenizer],
    groups: Sequence[TextGroup],
    folder: str | Path,
) -> list[Path]:
    """Draws a comparison: `lengths.png`, `compression.png`, `tax.png` where there are languages to
    compare, `index.html` with all of it and a table, `data.json` with what was drawn.

    The folder is made. Raises DependencyError where matplotlib is not installed, StorageError where
    nothing can be written there, InputError for texts of nothing but white space.
    """
    home, sample = Path(folder), _sample(groups)
    if not sample:
        raise InputError("there is nothing to draw: the texts are white space alone")
    measured = {name: _measure(name, each, sample) for name, each in tokenizers.items()}
    figures = {
        "lengths": _lengths(measured, len(sample)),
        "compression": _compression(measured, sum(map(len, sample))),
    }
    if any(each.ratio is not None for report in comparison.tokenizers for each in report.groups):
        figures["tax"] = _tax(comparison)
    data = {
        "sentences": len(sample),
        "characters": sum(map(len, sample)),
        "tokenizers": {name: each.as_json() for name, each in measured.items()},
        "comparison": comparison.as_json(),
    }
    body = "\n".join([*map(as_svg, figures.values()), _table(comparison)])
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
        written = [save(figure, home / f"{name}.png") for name, figure in figures.items()]
        pages = {
            "index.html": page("Tokenizers compared", body),
            "data.json": json.dumps(data, ensure_ascii=False) + "\n",
        }
        for name, content in pages.items():
            (home / name).write_text(content, encoding="utf-8")
    return [*written, *(home / name for name in pages)]


def _measure(name: str, tokenizer: Tokenizer, sample: Sequence[str]) -> _Measured:
    return _Measured(
        name=name,
        vocab_size=tokenizer.vocab_size,
        lengths=tokenizer.count(sample),
        curve=compression_curve(tokenizer, sample) if Anatomy(tokenizer).kind == "BPE" else None,
    )


def _lengths(measured: Mapping[str, _Measured], sentences_: int) -> Figure:
    """Histograms of tokens per sentence, all tokenizers over the same logarithmic bins."""
    import numpy as np

    longest = max(max(each.lengths) for each in measured.values())
    edges = np.unique(np.round(np.geomspace(1, longest + 1, 40)))
    figure = new_figure(9, 5)
    axes = figure.add_subplot()
    for colour, name, each in _coloured(measured):
        shares = np.histogram(each.lengths, bins=edges)[0] / sentences_
        told = f"{label(name, 40)} (median {np.median(each.lengths):.0f})"
        axes.stairs(shares, edges, color=colour, label=told, fill=True, alpha=0.25)
        axes.stairs(shares, edges, color=colour, linewidth=1.5)
    logarithmic(axes)
    title = f"Tokens per sentence, {sentences_:,} sentences"
    finish(axes, title=title, x="tokens", y="share of sentences")
    return figure


def _compression(measured: Mapping[str, _Measured], characters: int) -> Figure:
    """Characters per token as the vocabulary grows; a point for what does not grow by merges."""
    figure = new_figure(9, 5)
    axes = figure.add_subplot()
    for colour, name, each in _coloured(measured):
        tokens = (sum(each.lengths),) if each.curve is None else each.curve.tokens
        sizes = (each.vocab_size,) if each.curve is None else each.curve.vocab_sizes
        reach = [characters / max(1, count) for count in tokens]
        style = "o" if each.curve is None else "-"
        axes.plot(sizes, reach, style, color=colour, label=label(name, 40), linewidth=2)
    logarithmic(axes)
    title = "Compression as the vocabulary grows"
    finish(axes, title=title, x="vocabulary, merge by merge", y="characters in a token")
    return figure


def _tax(comparison: TokenizerComparison) -> Figure:
    """A row for each language, a dot for each tokenizer, at how many times the reference it is;
    hollow where the tokenizer hardly knows the language."""
    reports = {report.tokenizer: report for report in comparison.tokenizers}
    found = {
        name: {each.group: each for each in report.groups if each.ratio is not None}
        for name, report in reports.items()
    }
    shared = set.intersection(*(set(each) for each in found.values()))
    spans = {
        group: [each[group].ratio or 0.0 for each in found.values()]
        for group in next(iter(found.values()))
        if group in shared
    }
    known = sorted(spans, key=lambda group: max(spans[group]))
    rows = _some(known)
    figure = new_figure(9, 2 + 0.22 * len(rows))
    axes = figure.add_subplot()
    lows, highs = [min(spans[group]) for group in rows], [max(spans[group]) for group in rows]
    axes.hlines(range(len(rows)), lows, highs, color="#cccccc", zorder=1)
    for colour, name, report in _coloured(reports):
        each = found[report.tokenizer]
        axes.scatter(
            [each[group].ratio or 0.0 for group in rows],
            range(len(rows)),
            facecolors=[colour if each[group].readable else "white" for group in rows],
            edgecolors=colour,
            label=f"{label(name, 40)} ({label(report.reference or '', 20)} = 1)",
            zorder=2,
        )
    axes.set_yticks(range(len(rows)), [label(group, 30) for group in rows], fontsize=8)
    axes.set_ylim(-1, len(rows))
    axes.grid(axis="x", alpha=0.3)
    shown = "" if len(rows) == len(known) else f", {len(rows)} of {len(known)}"
    title = f"The token tax by language{shown} ({comparison.basis})"
    finish(
        axes,
        title=title,
        x=f"times the reference (hollow: over {UNREADABLE_SHARE:.0%} unknown)",
        y="",
    )
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
    reports = {report.tokenizer: report for report in comparison.tokenizers}
    head = "".join(f"<th>{escape(name)}</th><th>ratio</th>" for _, name, _ in _coloured(reports))
    rows = []
    for place, first in enumerate(comparison.tokenizers[0].groups):
        cells = ""
        for report in comparison.tokenizers:
            each = report.groups[place]
            ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
            cells += f"<td>{each.cost.tokens:,}</td><td>{ratio}</td>"
        rows.append(f"<tr><td>{escape(first.group)}</td>{cells}</tr>")
    return f"<table><tr><th>group</th>{head}</tr>\n" + "\n".join(rows) + "</table>"


def _coloured(items: Mapping[str, T]) -> Iterator[tuple[str, str, T]]:
    """A colour, the short name and the item of each tokenizer."""
    names = short_names(list(items))
    for colour, (name, item) in zip(cycle(COLOURS), items.items(), strict=False):
        yield colour, names[name], item
