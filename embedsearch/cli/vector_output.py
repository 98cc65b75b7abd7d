"""Vectors of tokens, drawn in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedsearch.cli.terminal import plain, terminal
from embedsearch.cli.token_output import shown

if TYPE_CHECKING:
    from rich.console import Console

    from embedsearch.tokenizers.vectors import Matrix, TokenVectors, WordComparison

SHOWN_NUMBERS, SHOWN_NEIGHBOURS = 2, 3
_SHADES = " ░▒▓█"
"""From a cosine of 0 to 1, for a terminal without colours."""


def print_vectors(found: TokenVectors) -> None:
    """A row for each token: the beginnings of both vectors, and its neighbours in the table."""
    import numpy as np
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    console = terminal()
    table = Table(box=box.SIMPLE, header_style="bold", pad_edge=False)
    for name, side in (("token", "left"), ("id", "right"), ("static", "left"), ("", "right")):
        table.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
    table.add_column("in context", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("nearest in the table")
    for token, static, contextual, neighbours in zip(
        found.tokens, found.static, found.contextual, found.neighbours, strict=True
    ):
        near = "  ".join(plain(name) for name, _ in neighbours[:SHOWN_NEIGHBOURS])
        table.add_row(
            f"[bold]{escape(shown(token))}[/]",
            str(token.id),
            _beginning(static.tolist()),
            f"|{np.linalg.norm(static):.2f}|",
            _beginning(contextual.tolist()),
            f"|{np.linalg.norm(contextual):.2f}|",
            f"[dim]{escape(near)}[/]",
        )
    console.print(table)
    console.print(
        f"static: the token's row of the model's table, {found.static.shape[1]} numbers, the same "
        f"in every text; in context: {found.contextual.shape[1]} numbers, of this text alone; "
        "|…| their lengths; --json prints all",
        style="dim",
        soft_wrap=True,
    )


def print_word(found: WordComparison) -> None:
    """The sentences, then two tables of cosines beside their meaning as colour or shade."""
    console = terminal()
    for number, each in enumerate(found.occurrences, 1):
        before, after = each.sentence[: each.start], each.sentence[each.end :]
        word = each.sentence[each.start : each.end]
        tokens = " ".join(each.tokens)
        console.print(f"{number:>3}  ", end="")
        console.print(plain(before), end="", markup=False, soft_wrap=True)
        console.print(plain(word), end="", markup=False, style="bold reverse", soft_wrap=True)
        console.print(plain(after), end="", markup=False, soft_wrap=True)
        console.print(f"  {plain(tokens)}", style="dim", markup=False, soft_wrap=True)
    for title, cosines in (
        ("static: the rows of the table", found.static),
        ("in context: what the model makes of them", found.contextual),
    ):
        console.print(f"\n{title}", style="bold")
        _print_heat(console, cosines)


def _print_heat(console: Console, cosines: Matrix) -> None:
    from rich.text import Text

    colour = console.color_system is not None
    console.print(Text("     " + "".join(f"{n:^7}" for n in range(1, len(cosines) + 1)), "dim"))
    for number, row in enumerate(cosines.tolist(), 1):
        line = Text(f"{number:>3}  ", style="dim")
        for cosine in row:
            share = min(1.0, max(0.0, cosine))
            if colour:
                red, green, blue = (round(255 - share * drop) for drop in (215, 135, 75))
                ink = "white" if share > 0.6 else "black"
                line.append(f" {cosine:5.2f} ", style=f"{ink} on rgb({red},{green},{blue})")
            else:
                line.append(f"{cosine:5.2f} {_SHADES[round(share * 4)]}")
        console.print(line, soft_wrap=True)


def _beginning(vector: list[float]) -> str:
    return " ".join(f"{number:5.2f}" for number in vector[:SHOWN_NUMBERS]) + " …"
