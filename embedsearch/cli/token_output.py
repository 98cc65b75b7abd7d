"""Tokens drawn in a terminal: in colour where there is any, readable without."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from embedsearch.cli.terminal import plain, terminal
from embedsearch.text.inspection import Change, InspectedToken, Inspection, Kind

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

SHOWN = 8
"""Of a list of remarks of one kind."""
TIE, BLANK, NEWLINE, TAB = "‿", "·", "↵", "⇥"
LEFT_TO_RIGHT = "\u200e"
"""Ends a cell of Arabic or Hebrew, so that a terminal does not turn the row around."""

_BANDS = ("black on #b8d4f0", "black on #f5dfa6")
_STYLES: Mapping[Kind, str] = {
    "special": "bold white on #7a3f8f",
    "byte": "black on #d9d9d9",
    "unknown": "bold white on #b3261e",
}
_NOTES: Mapping[Kind, str] = {
    "continuation": f"{TIE} goes on with a word",
    "byte": "⟨hex⟩ bytes that make no character alone",
    "unknown": "¿…? not in the vocabulary",
    "special": "«…» special token",
}


def print_inspections(found: Sequence[Inspection], names: Mapping[str, str]) -> None:
    """Each text through each tokenizer: the tokens over their ids, then what happened on the way.

    `names` has the short name of each tokenizer.
    """
    console = terminal()
    for each in found:
        console.print(_heading(each, names), soft_wrap=True)
        if each.tokens:
            _print_rows(console, each.tokens)
        for remark in remarks(each):
            console.print("  ", plain(remark), sep="", style="dim", markup=False, soft_wrap=True)
        console.print()
    kinds = {token.kind for each in found for token in each.tokens}
    legend = [note for kind, note in _NOTES.items() if kind in kinds]
    if any(" " in shown(token) or BLANK in shown(token) for e in found for token in e.tokens):
        legend.append(f"{BLANK} blank")
    if legend:
        console.print("   ".join(legend), style="dim", markup=False, soft_wrap=True)


def shown(token: InspectedToken) -> str:
    """A token as it stands in its cell: blanks and bytes visible, the kind marked."""
    if token.kind == "special":
        return f"«{plain(token.token)}»"
    if token.kind == "unknown":
        return f"¿{plain(token.piece)}?"
    if token.data is not None:
        return f"⟨{token.data.hex(' ')}⟩"
    text = token.piece.replace("\n", NEWLINE).replace("\t", TAB).replace(" ", BLANK)
    text = plain(text) or "∅"
    if unicodedata.category(text[0])[0] == "M":  # a mark needs something to stand on
        text = f"◌{text}"
    return text if token.starts_word else TIE + text


def remarks(found: Inspection) -> list[str]:
    """What was hidden, added, changed or lost, a line each."""
    lines = [*_special_remarks(found), *_normal_remarks(found)]
    unknown = [found.text[token.start : token.end] for token in found.of_kind("unknown")]
    if unknown:
        lines.append(f"unknown    not in the vocabulary: {_some(map(repr, unknown), len(unknown))}")
    cut = found.of_kind("byte")
    if cut:
        texts = [repr(each) for each in _sources(found, cut)]
        lines.append(f"bytes      {len(cut)} tokens are parts of {_some(texts, len(texts))}")
    if not found.lossless:
        lines.append(f"lost       the tokens give back {_clipped(found.decoded)!r}")
    return lines


def _sources(found: Inspection, tokens: Iterable[InspectedToken]) -> list[str]:
    """The characters that byte tokens are parts of, each once."""
    texts = (found.text[token.start : token.end] for token in tokens)
    return list(dict.fromkeys(text.strip() or text for text in texts if text))


def _special_remarks(found: Inspection) -> Iterable[str]:
    special = found.of_kind("special")
    added = [f"{token.token} ({token.id})" for token in special if token.added]
    written = [f"{token.token} ({token.id})" for token in special if not token.added]
    if added:
        yield f"added      {' '.join(added)}, which are not in the text"
    if written:
        yield f"special    {' '.join(written)} in the text became special tokens, not words"


def _normal_remarks(found: Inspection) -> Iterable[str]:
    if found.prefix_blank:
        yield "added      a blank before the text"
    if found.normalized != found.text:
        changes = [_change(change) for change in found.changes]
        steps = ", ".join(found.normalizers) or "pre-tokenization"
        yield f"changed    {_some(changes, len(changes)) or 'further on'} ({steps})"
    elif found.normalizers:
        yield f"unchanged  by normalisation ({', '.join(found.normalizers)})"


def _change(change: Change) -> str:
    return f"{_clipped(change.before, 20)!r} → {_clipped(change.after, 20)!r}"


def _some(items: Iterable[str], count: int) -> str:
    """Some of the items that differ, and how many there are in all."""
    different = list(dict.fromkeys(items))
    rest = f", … ({count:,} in all)" if len(different) > SHOWN else ""
    return ", ".join(different[:SHOWN]) + rest


def _clipped(text: str, length: int = 200) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _heading(found: Inspection, names: Mapping[str, str]) -> Text:
    from rich.text import Text

    line = Text(plain(names[found.tokenizer]), style="bold cyan")
    numbers = [f"{found.count:,} token{'s' * (found.count != 1)}"]
    if found.text:
        numbers.append(f"{len(found.text):,} character{'s' * (len(found.text) != 1)}")
        numbers.append(f"{found.count / len(found.text):.2f} tokens a character")
    line.append(f"  {', '.join(numbers)}", style="not bold default")
    return line


def _print_rows(console: Console, tokens: Sequence[InspectedToken]) -> None:
    """Lines of cells, tokens above ids, as many as fit the width."""
    from rich.cells import cell_len
    from rich.text import Text

    colour = console.color_system is not None
    between = " " if colour else "│"
    upper, lower, width = Text("  "), Text("  "), 2
    for place, token in enumerate(tokens):
        cell, number = shown(token), str(token.id)
        size = max(cell_len(cell), len(number))
        if width > 2 and width + size + 1 > console.width:
            _print_pair(console, upper, lower)
            upper, lower, width = Text("  "), Text("  "), 2
        style = _STYLES.get(token.kind, _BANDS[place % 2]) if colour else ""
        upper.append(cell + LEFT_TO_RIGHT * _turns(cell), style=style)
        upper.append(" " * (size - cell_len(cell)) + between)
        lower.append(number, style="dim")
        lower.append(" " * (size - len(number) + 1))
        width += size + 1
    _print_pair(console, upper, lower)


def _print_pair(console: Console, upper: Text, lower: Text) -> None:
    for line in (upper, lower):
        line.rstrip()
        console.print(line, soft_wrap=True)


def _turns(cell: str) -> bool:
    return any(unicodedata.bidirectional(character) in ("R", "AL") for character in cell)
