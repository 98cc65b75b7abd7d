"""One text through one tokenizer, with all that is hidden or changed on the way."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from embedsearch.text.anatomy import BLANK, Anatomy, RawToken
from embedsearch.text.tokenizer import Tokenizer

Kind = Literal["word", "continuation", "byte", "unknown", "special"]
"""`word` begins a word, `continuation` goes on with one, `byte` is no character of its own,
`unknown` stands for what the vocabulary lacks, `special` is a token with a meaning of its own."""

COMPARED_CHARACTERS = 2_000
"""How much of a text is compared with its normalised form: the comparison is quadratic."""


@dataclass(frozen=True, kw_only=True)
class InspectedToken:
    """A token and where it comes from: `text[start:end]`, nothing where `added`.

    `piece` is the token as a person reads it, for an unknown one the text that it stands for;
    `data` are the bytes of a byte token.
    """

    id: int
    token: str
    start: int
    end: int
    kind: Kind
    piece: str
    data: bytes | None
    starts_word: bool
    added: bool


@dataclass(frozen=True, kw_only=True)
class Change:
    """What normalisation made of `text[start:end]`."""

    start: int
    end: int
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A text as tokens. `normalized` is the text that the model saw, `decoded` what the tokens give
    back, without special tokens that were put around them; `changes` covers the first
    `COMPARED_CHARACTERS` characters. `prefix_blank` says that a blank was put before the text."""

    tokenizer: str
    text: str
    tokens: tuple[InspectedToken, ...]
    normalizers: tuple[str, ...]
    normalized: str
    changes: tuple[Change, ...]
    prefix_blank: bool
    decoded: str

    @property
    def count(self) -> int:
        """How many tokens there are, special tokens among them."""
        return len(self.tokens)

    @property
    def lossless(self) -> bool:
        """Whether the tokens give the text back exactly."""
        return self.decoded == self.text

    def of_kind(self, kind: Kind) -> list[InspectedToken]:
        """The tokens of one kind, in order."""
        return [token for token in self.tokens if token.kind == kind]

    def as_json(self) -> dict[str, Any]:
        """What `embedsearch tokenize --json` prints for one text and tokenizer."""
        return {
            "tokenizer": self.tokenizer,
            "text": self.text,
            "ids": [token.id for token in self.tokens],
            "tokens": [token.token for token in self.tokens],
            "offsets": [[token.start, token.end] for token in self.tokens],
            "count": self.count,
            "pieces": [token.piece for token in self.tokens],
            "kinds": [token.kind for token in self.tokens],
            "word_starts": [token.starts_word for token in self.tokens],
            "bytes": [token.data.hex() if token.data else None for token in self.tokens],
            "special_tokens": [
                {"index": index, "id": token.id, "token": token.token, "added": token.added}
                for index, token in enumerate(self.tokens)
                if token.kind == "special"
            ],
            "unknown": [
                {"index": index, "start": token.start, "end": token.end}
                for index, token in enumerate(self.tokens)
                if token.kind == "unknown"
            ],
            "normalizers": list(self.normalizers),
            "normalized": self.normalized,
            "changes": [asdict(change) for change in self.changes],
            "prefix_blank": self.prefix_blank,
            "decoded": self.decoded,
            "lossless": self.lossless,
        }


def inspect_text(tokenizer: Tokenizer, text: str, *, name: str = "") -> Inspection:
    """The tokens of a text, marked, and what was added, changed, unknown or lost.

    `name` is what the tokenizer is called. Raises InputError for what is no text.
    """
    anatomy = Anatomy(tokenizer)
    raw = anatomy.encode(text)
    parts = _normalized_parts(anatomy, raw, text)
    bare = [token.id for token in raw if not token.added]
    normalized = "".join(after for _, _, after in parts)
    return Inspection(
        tokenizer=name,
        text=text,
        tokens=tuple(
            _inspected(anatomy, text, token, before)
            for before, token in zip([None, *raw], raw, strict=False)
        ),
        normalizers=anatomy.normalizers,
        normalized=normalized,
        changes=_changes(parts),
        prefix_blank=anatomy.prefix_blank
        and bool(normalized)
        and not normalized.startswith((" ", BLANK)),
        decoded=anatomy.decode_many([bare])[0],
    )


def _inspected(
    anatomy: Anatomy, text: str, raw: RawToken, before: RawToken | None
) -> InspectedToken:
    piece, data = anatomy.piece(raw.id, raw.token), anatomy.data(raw.id, raw.token)
    starts = before is None or before.word != raw.word or piece[:1].isspace()
    if data is not None and anatomy.byte_level and _is_text(data):
        data = None
    kind: Kind = "word" if starts else "continuation"
    written = text[raw.start : raw.end]
    if raw.id == anatomy.unknown_id and written != anatomy.token(raw.id):
        kind, piece = "unknown", written
    elif raw.added or raw.id in anatomy.special_ids:
        kind = "special"
    elif data is not None:
        kind = "byte"
    return InspectedToken(
        id=raw.id,
        token=raw.token,
        start=raw.start,
        end=raw.end,
        kind=kind,
        piece=piece,
        data=data,
        starts_word=starts and kind != "special",
        added=raw.added,
    )


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _normalized_parts(
    anatomy: Anatomy, raw: Sequence[RawToken], text: str
) -> list[tuple[int, str, str]]:
    """Parts of the text: where each starts, itself, and its normalised form.

    Tokens that the tokenizer looks for in the text itself stay as they are, and what is between
    them is normalised apart, as the library does.
    """
    parts, last = [], 0
    for token in raw:
        written = text[token.start : token.end]
        if token.id in anatomy.added_ids and not token.added and written.strip() == token.token:
            gap = text[last : token.start]
            parts += [(last, gap, anatomy.normalize(gap))] if gap else []
            parts.append((token.start, written, written))
            last = token.end
    gap = text[last:]
    return [*parts, (last, gap, anatomy.normalize(gap))] if gap else parts


def _changes(parts: Sequence[tuple[int, str, str]]) -> tuple[Change, ...]:
    """What normalisation changed within the first characters of the text."""
    changes: list[Change] = []
    for offset, before, after in parts:
        room = COMPARED_CHARACTERS - offset
        if before == after or room <= 0:
            continue
        before, after = before[:room], after[:room]
        matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
        changes += [
            Change(
                start=offset + start,
                end=offset + end,
                before=before[start:end],
                after=after[begin:stop],
            )
            for kind, start, end, begin, stop in matcher.get_opcodes()
            if kind != "equal"
        ]
    return tuple(changes)
