"""What a tokenizer makes of texts: encoded in batches, cut and padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from embedsearch.errors import InputError, ModelError

if TYPE_CHECKING:
    import tokenizers

Side = Literal["left", "right"]

_BATCH_CHARACTERS = 1 << 19
_BATCH_TEXTS = 4096


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


@dataclass(frozen=True)
class Padding:
    """On which side, and with what."""

    side: Side
    token: str
    token_id: int


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """What truncation took away, and the offsets of what it kept; None where it did nothing."""

    tokens: int = 0
    span: tuple[int, int] = (0, 0)
    kept: list[tuple[int, int]] | None = None


_NOTHING = _Cut()


def encode_all(
    backend: tokenizers.Tokenizer,
    texts: Sequence[str],
    *,
    special_tokens: bool,
    max_tokens: int | None,
    truncation_side: Side,
    padding: Padding | None,
) -> list[Encoding]:
    """Every text, in parallel; the backend itself is never told to truncate or pad, because that
    would hold for other threads too."""
    _check_side("truncation_side", truncation_side)
    if padding is not None:
        _check_side("padding", padding.side)
    room = _room(backend, max_tokens, special_tokens)
    found: list[tokenizers.Encoding] = []
    cuts = [_NOTHING] * len(texts)
    for batch in batches(texts):
        found += encode(backend, batch, special_tokens=special_tokens)
    for number, encoding in enumerate(found):
        if max_tokens is not None and len(encoding) > max_tokens:
            [bare] = encode(backend, [texts[number]], special_tokens=False)
            cuts[number] = _truncate(bare, room, truncation_side)
            found[number] = backend.post_process(bare, None, special_tokens)
    if padding is not None:
        longest = max(map(len, found), default=0)
        for encoding in found:
            encoding.pad(
                longest,
                direction=padding.side,
                pad_id=padding.token_id,
                pad_token=padding.token,
            )
    return [_as_encoding(*pair) for pair in zip(found, cuts, strict=True)]


def ids_of(
    backend: tokenizers.Tokenizer,
    texts: Sequence[str],
    *,
    special_tokens: bool,
    limit: int | None,
) -> list[list[int]]:
    """Ids of every text, its end cut off to `limit`."""
    room = _room(backend, limit, special_tokens)
    ids: list[list[int]] = []
    for batch in batches(texts):
        encodings = encode(backend, batch, special_tokens=special_tokens, fast=True)
        for text, encoding in zip(batch, encodings, strict=True):
            if limit is not None and len(encoding) > limit:
                [bare] = encode(backend, [text], special_tokens=False)
                bare.truncate(room)
                encoding = backend.post_process(bare, None, special_tokens)
            ids.append(encoding.ids)
    return ids


def encode(
    backend: tokenizers.Tokenizer, texts: list[str], *, special_tokens: bool, fast: bool = False
) -> list[tokenizers.Encoding]:
    """The backend's encodings; `fast` leaves out the offsets. InputError for what is no text."""
    call = backend.encode_batch_fast if fast else backend.encode_batch
    try:
        found: list[tokenizers.Encoding] = call(texts, add_special_tokens=special_tokens)
    except (TypeError, UnicodeError) as error:
        raise _not_text(error) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's; it has no place to be imported from
            raise
        raise ModelError(
            f"the tokenizer fails on a text, so its file must be damaged ({error}); fetch it again"
        ) from None
    return found


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Batches of bounded size: an encoding takes some hundred bytes for each token."""
    batch: list[str] = []
    characters = 0
    for text in texts:
        if not isinstance(text, str):
            raise _not_text(TypeError(f"a {type(text).__name__} was given"))
        batch.append(text)
        characters += len(text)
        if characters >= _BATCH_CHARACTERS or len(batch) == _BATCH_TEXTS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _not_text(error: Exception) -> InputError:
    return InputError(f"only strings without lone surrogates can be tokenized: {error}")


def _room(backend: tokenizers.Tokenizer, limit: int | None, special_tokens: bool) -> int:
    """Tokens of a text within a limit; 0 where there is none."""
    if limit is None:
        return 0
    added = int(backend.num_special_tokens_to_add(is_pair=False)) if special_tokens else 0
    if isinstance(limit, bool) or not isinstance(limit, int) or limit <= added:
        raise InputError(
            f"a limit of {limit} tokens leaves no room for text: {added} of them are special"
        )
    return limit - added


def _truncate(encoding: tokenizers.Encoding, room: int, side: Side) -> _Cut:
    """Cuts a text's tokens, without special ones, down to `room`, in place; what went."""
    excess = len(encoding) - room
    if excess <= 0:
        return _NOTHING
    offsets = encoding.offsets
    gone = offsets[room:] if side == "right" else offsets[:excess]
    encoding.truncate(room, direction=side)
    return _Cut(
        tokens=excess,
        span=(min(start for start, _ in gone), max(end for _, end in gone)),
        kept=encoding.offsets,
    )


def _as_encoding(found: tokenizers.Encoding, cut: _Cut) -> Encoding:
    offsets = found.offsets
    if cut.kept is not None:
        # Special tokens were put around tokens that had been post-processed before, and some
        # post-processors (RoBERTa's) take the blank off the offsets each time.
        own = iter(cut.kept)
        offsets = [(0, 0) if special else next(own) for special in found.special_tokens_mask]
    return Encoding(
        ids=found.ids,
        tokens=found.tokens,
        offsets=offsets,
        attention_mask=found.attention_mask,
        special_tokens_mask=found.special_tokens_mask,
        cut_tokens=cut.tokens,
        cut=cut.span,
    )


def _check_side(name: str, side: str) -> None:
    if side not in ("left", "right"):
        raise InputError(f"{name} must be 'left' or 'right', not {side!r}")
