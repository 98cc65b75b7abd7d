"""What a tokenizer makes of a text, cut and padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from embedsearch.errors import InputError

if TYPE_CHECKING:
    import tokenizers

Side = Literal["left", "right"]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """One text as tokens; the five lists are of equal length.

    `offsets` are (start, end) character ranges of the text, (0, 0) for a special token that the
    tokenizer added. `attention_mask` is 0 for padding, else 1; `special_tokens_mask` is 1 for added
    special tokens and padding, else 0. `cut_tokens` counts the text's tokens that truncation took
    away, and `cut` is the character range that they stood for.
    """

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    attention_mask: list[int]
    special_tokens_mask: list[int]
    cut_tokens: int = 0
    cut: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Tokens of a text and the characters that they stand for, taken away by truncation."""

    tokens: int = 0
    span: tuple[int, int] = (0, 0)


NOTHING_CUT = Cut()


def as_encoding(found: tokenizers.Encoding, cut: Cut = NOTHING_CUT) -> Encoding:
    return Encoding(
        ids=found.ids,
        tokens=found.tokens,
        offsets=found.offsets,
        attention_mask=found.attention_mask,
        special_tokens_mask=found.special_tokens_mask,
        cut_tokens=cut.tokens,
        cut=cut.span,
    )


def truncate(encoding: tokenizers.Encoding, room: int, side: Side) -> Cut:
    """Cuts a text's tokens, without special ones, down to `room`, in place; what went."""
    excess = len(encoding) - room
    if excess <= 0:
        return NOTHING_CUT
    offsets = encoding.offsets
    gone = offsets[room:] if side == "right" else offsets[:excess]
    encoding.truncate(room, direction=side)
    return Cut(tokens=excess, span=(min(s for s, _ in gone), max(e for _, e in gone)))


def pad(encodings: Sequence[tokenizers.Encoding], pad_token: str, pad_id: int, side: Side) -> None:
    """Pads all to the longest, in place."""
    longest = max(map(len, encodings), default=0)
    for encoding in encodings:
        encoding.pad(longest, direction=side, pad_id=pad_id, pad_token=pad_token)


def check_side(name: str, side: str) -> None:
    if side not in ("left", "right"):
        raise InputError(f"{name} must be 'left' or 'right', not {side!r}")
