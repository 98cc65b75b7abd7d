"""Comparisons of tokenizers as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from embedsearch.cli.terminal import plain, terminal
from embedsearch.evaluation.tokenizer import CutOff, LanguageTokens, TokenizerEvaluation
from embedsearch.tokenizers.costs import (
    UNREADABLE_SHARE,
    GroupCost,
    TokenizerComparison,
    TokenizerReport,
)
from embedsearch.tokenizers.names import short_names

if TYPE_CHECKING:
    from rich.table import Table

DEAREST, CHEAPEST = 20, 10
"""Groups shown where there are more of them."""
BAR_WIDTH, NARROWEST_BAR = 12, 4
GROUP_WIDTH, NUMBERS_WIDTH = 18, 22
"""Columns of the terminal that a group's name, and a tokenizer's numbers, take without a bar."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def print_comparison(found: TokenizerComparison) -> None:
    """The tokenizers side by side, then group by group, the dearest first."""
    console = terminal()
    console.print(_totals(found))
    if len(found.tokenizers[0].groups) > 1:
        console.print(_groups(found, console.width))
        for note in _notes(found):
            console.print(plain(note), style="dim", markup=False, soft_wrap=True)


def print_evaluations(found: Sequence[TokenizerEvaluation]) -> None:
    """What each limit cuts off, by tokenizer, and by language where there are several."""
    table = _table("tokenizer")
    several = len(found[0].languages) > 1
    if several:
        table.add_column("language")
    for name in ("docs", "tokens", "median", "longest"):
        table.add_column(name, justify="right", no_wrap=True)
    for cut in found[0].total.cut_off:
        table.add_column(f"beyond {cut.limit:,}", justify="right", no_wrap=True)
    names = short_names([each.tokenizer for each in found])
    for each in found:
        name = plain(names[each.tokenizer])
        table.add_row(f"[bold cyan]{_escape(name)}[/]", *["all"] * several, *_counts(each.total))
        for language in each.languages if several else ():
            label = plain(language.language) or "not named"
            table.add_row("", _escape(label), *_counts(language))
    console = terminal()
    console.print(table)
    console.print(
        "beyond: documents that lose their end · share of all tokens that is lost",
        style="dim",
        soft_wrap=True,
    )
    for each in found:
        for cut in each.total.cut_off:
            if cut.relevant_documents_cut:
                console.print(
                    plain(_relevant(names[each.tokenizer], cut, each)), markup=False, soft_wrap=True
                )


def _relevant(name: str, cut: CutOff, found: TokenizerEvaluation) -> str:
    return (
        f"{name} at {cut.limit:,}: {cut.relevant_documents_cut:,} of the "
        f"{found.total.relevant_documents:,} documents that answer a question lose their end"
    )


def _counts(found: LanguageTokens) -> list[str]:
    return [
        f"{found.documents:,}",
        f"{found.tokens:,}",
        f"{found.median_tokens:,.0f}",
        f"{found.longest:,}",
        *(f"{cut.documents_cut:,} · {cut.tokens_cut_share:.1%}" for cut in found.cut_off),
    ]


def _totals(found: TokenizerComparison) -> Table:
    table = _table("")
    names = short_names([report.tokenizer for report in found.tokenizers])
    for report in found.tokenizers:
        table.add_column(_escape(plain(names[report.tokenizer])), justify="right")
    window = found.config.context_window
    rows = {
        "kind": [report.kind for report in found.tokenizers],
        "vocabulary": [f"{report.vocab_size:,}" for report in found.tokenizers],
        "tokens": [f"{report.total.tokens:,}" for report in found.tokenizers],
        "tokens a word": [_ratio(report.total.tokens_per_word) for report in found.tokenizers],
        "tokens a character": [
            _ratio(report.total.tokens_per_character) for report in found.tokenizers
        ],
        "unknown": [f"{report.total.unknown_share:.2%}" for report in found.tokenizers],
        "texts not given back": [_lost(report) for report in found.tokenizers],
        "vocabulary used": [f"{report.total.vocabulary_use:.1%}" for report in found.tokenizers],
        f"windows of {window:,}": [
            f"{report.total.context_share:,.2f}" for report in found.tokenizers
        ],
        "speed": [f"{report.megabytes_per_second:,.1f} MB/s" for report in found.tokenizers],
    }
    if found.config.price is not None:
        rows["price"] = [f"{report.total.cost or 0:,.4f}" for report in found.tokenizers]
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _lost(report: TokenizerReport) -> str:
    return f"{report.total.lost:,} of {report.total.texts:,}"


def _groups(found: TokenizerComparison, width: int) -> Table:
    table = _table("group")
    names = short_names([report.tokenizer for report in found.tokenizers])
    for report in found.tokenizers:
        table.add_column(_escape(plain(names[report.tokenizer])), justify="right")
        table.add_column("", no_wrap=True)
    room = (width - GROUP_WIDTH) // len(found.tokenizers) - NUMBERS_WIDTH
    highest = [
        max(report.groups[place].ratio or 0.0 for report in found.tokenizers)
        for place in range(len(found.tokenizers[0].groups))
    ]
    compared = [place for place in range(len(highest)) if highest[place]]
    order = sorted(compared or range(len(highest)), key=lambda place: -highest[place])
    hidden = len(order) - DEAREST - CHEAPEST
    for rank, place in enumerate(order):
        if hidden > 1 and DEAREST <= rank < len(order) - CHEAPEST:
            if rank == DEAREST:
                table.add_row(f"[dim]… {hidden} more[/]")
            continue
        each = [report.groups[place] for report in found.tokenizers]
        cells = [cell for cost in each for cell in _cells(cost, max(highest), min(room, BAR_WIDTH))]
        table.add_row(_escape(plain(each[0].group)), *cells)
    return table


def _cells(found: GroupCost, most: float, room: int) -> tuple[str, str]:
    """Tokens, and the ratio with a bar that is full at `most`, where there is room for one."""
    tokens = f"{found.cost.tokens:,}"
    if found.ratio is None:
        return tokens, "[dim]–[/]"
    colour = "green" if found.ratio < 1.5 else "yellow" if found.ratio < 3 else "red"
    unread = "" if found.readable else " ?"
    bar = _bar(found.ratio / most, room) if room >= NARROWEST_BAR else ""
    return tokens, f"{found.ratio:5.2f}×{unread} [{colour}]{bar}[/]"


def _bar(share: float, width: int) -> str:
    eighths = max(1, round(share * width * 8))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _notes(found: TokenizerComparison) -> list[str]:
    references = ", ".join(
        dict.fromkeys(report.reference for report in found.tokenizers if report.reference)
    )
    basis = {
        "same texts": "tokens of the same texts",
        "parallel texts": "tokens for each token of the parallel texts",
        "characters": "tokens a character, for these are different texts",
    }[found.basis]
    notes = [f"×: {basis}, compared with {references}"] if references else []
    if any(not each.readable for report in found.tokenizers for each in report.groups):
        notes.append(f"?: over {UNREADABLE_SHARE:.0%} of the tokens are unknown, so it is not read")
    if found.fragments:
        notes.append(f"left out, for they are fragments: {', '.join(found.fragments)}")
    return notes


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _table(first: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, header_style="bold", pad_edge=False)
    table.add_column(first, no_wrap=True)
    return table


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
