"""Tokens to text as they come: no half characters, stop strings found across tokens."""

from __future__ import annotations

from collections.abc import Sequence

from embedsearch.text.tokenizer import Tokenizer

_HALF = "\ufffd"
_LONGEST_HALF = 16
"""Tokens after which what looks like half a character is taken for what it is."""


class TextStream:
    """The text of a growing list of tokens, in pieces that never need to be taken back.

    A piece is held back while it may be the beginning of a stop string or of a character whose
    bytes are not all there. The method of two offsets is that of Hugging Face's
    text-generation-inference.
    """

    def __init__(
        self, tokenizer: Tokenizer, stop: Sequence[str], ends: frozenset[int] = frozenset()
    ) -> None:
        """`ends` are tokens that end the text and are no part of it."""
        self.ids: list[int] = []
        """All that came but the end."""
        self._known: list[int] = []
        self.text = ""
        self.stopped = False
        self.ended_by: int | None = None
        self._tokenizer = tokenizer
        self._stop = stop
        self._ends = ends
        self._held = ""
        self._before, self._read = 0, 0

    @property
    def over(self) -> bool:
        """Whether a stop string or an end token has come."""
        return self.stopped or self.ended_by is not None

    def push(self, token: int) -> str:
        """What text became certain with this token, perhaps none."""
        if token in self._ends:
            self.ended_by = token
            return ""
        self.ids.append(token)
        self._known += known_ids(self._tokenizer, [token])
        return self._take(self._decoded(final=False))

    def finish(self) -> str:
        """What was held back, when no token follows."""
        piece = self._take(self._decoded(final=True))
        if not self.stopped:
            self.text += self._held
            piece, self._held = piece + self._held, ""
        return piece

    def _decoded(self, *, final: bool) -> str:
        known = self._tokenizer.decode(self._known[self._before : self._read])
        text = self._tokenizer.decode(self._known[self._before :])
        young = len(self._known) - self._read < _LONGEST_HALF
        if len(text) <= len(known) or (text.endswith(_HALF) and young and not final):
            return ""
        self._before, self._read = self._read, len(self._known)
        return text[len(known) :]

    def _take(self, piece: str) -> str:
        if self.stopped:
            return ""
        held = self._held + piece
        ends = [place for stop in self._stop if (place := held.find(stop)) >= 0]
        if ends:
            self.stopped = True
            out, self._held = held[: min(ends)], ""
        else:
            keep = max((_overlap(held, stop) for stop in self._stop), default=0)
            out, self._held = held[: len(held) - keep], held[len(held) - keep :]
        self.text += out
        return out


def known_ids(tokenizer: Tokenizer, ids: Sequence[int]) -> list[int]:
    """Those that stand for something: many models have rows beyond their tokenizer's vocabulary,
    to a round number, which can be drawn and are no text."""
    return [token for token in ids if tokenizer.id_to_token(token) is not None]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with."""
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
