"""SentencePiece models (unigram, and BPE with or without byte fallback) to the backend.

The fields are those of sentencepiece_model.proto, the way they are used that of the library's own
encoder: bpe_model.cc, unigram_model.cc, normalizer.cc. What the backend does otherwise:

- Its map of characters looks at clusters of fewer than six bytes as wholes and at others character
  by character, where SentencePiece takes the longest match: several combining marks on one letter
  may come out otherwise, and a mark that was joined to its letter is left out of the offsets.
- Scores of unigram pieces are added in double precision; SentencePiece's single precision decides
  near ties by rounding in texts of thousands of characters.
- User-defined pieces of a BPE model, and special tokens, get the blank that is put before a text
  also after them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.errors import ModelError
from embedsearch.text.formats.files import read_bytes, reported
from embedsearch.text.formats.protobuf import as_float, as_text, fields

if TYPE_CHECKING:
    import tokenizers

SPACE = "▁"
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_UNIGRAM, _BPE = 1, 2
_KINDS = {3: "word", 4: "char"}


@dataclass(frozen=True, kw_only=True)
class Piece:
    text: str
    score: float
    kind: int


@dataclass(kw_only=True)
class Model:
    """What a model file says; the defaults are those of the file format."""

    pieces: list[Piece] = field(default_factory=list)
    kind: int = _UNIGRAM
    byte_fallback: bool = False
    whitespace_as_suffix: bool = False
    role_ids: dict[str, int] = field(
        default_factory=lambda: {"unk": 0, "bos": 1, "eos": 2, "pad": -1}
    )
    charsmap: bytes = b""
    dummy_prefix: bool = True
    collapse_spaces: bool = True


def read_sentencepiece(path: Path) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """The backend and its settings. ModelError for a damaged file or what cannot be expressed."""
    try:
        model = parse_model(read_bytes(path))
    except (ValueError, IndexError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"{path} is cut short, damaged or no SentencePiece model: {error}; fetch it again"
        ) from None
    _check(path, model)
    with reported(path, "SentencePiece model"):
        backend = build(model)
    return backend, _settings(model)


def parse_model(data: bytes) -> Model:
    """Raises ValueError where the bytes are no SentencePiece model."""
    model = Model()
    for number, value in fields(data):
        if number == 1:
            model.pieces.append(_piece(value))
        elif number == 2:
            _read_trainer(model, value)
        elif number == 3:
            _read_normalizer(model, value)
    if not model.pieces:
        raise ValueError("it has no pieces")
    return model


def _message(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a field is no message")
    return value


def _piece(value: int | bytes) -> Piece:
    found = dict(fields(_message(value)))
    kind = found.get(3, _NORMAL)
    return Piece(
        text=as_text(found.get(1, b"")),
        score=as_float(found[2]) if 2 in found else 0.0,
        kind=kind if isinstance(kind, int) else 0,
    )


def _read_trainer(model: Model, value: int | bytes) -> None:
    roles = {40: "unk", 41: "bos", 42: "eos", 43: "pad"}
    for number, setting in fields(_message(value)):
        if not isinstance(setting, int):
            continue
        if number == 3:
            model.kind = setting
        elif number == 24:
            model.whitespace_as_suffix = bool(setting)
        elif number == 35:
            model.byte_fallback = bool(setting)
        elif number in roles:
            model.role_ids[roles[number]] = setting if setting < 1 << 31 else -1


def _read_normalizer(model: Model, value: int | bytes) -> None:
    for number, setting in fields(_message(value)):
        if number == 2:
            model.charsmap = _message(setting)
        elif number == 3:
            model.dummy_prefix = bool(setting)
        elif number == 4:
            model.collapse_spaces = bool(setting)


def _check(path: Path, model: Model) -> None:
    if model.kind in _KINDS:
        raise ModelError(
            f"{path} is a SentencePiece model of the kind {_KINDS[model.kind]!r}; read are unigram "
            "and bpe"
        )
    if model.kind not in (_UNIGRAM, _BPE):
        raise ModelError(f"{path} is damaged: it names the model type {model.kind}; fetch it again")
    if model.whitespace_as_suffix or any(piece.kind == _UNUSED for piece in model.pieces):
        raise ModelError(
            f"{path} keeps spaces at the end of pieces or has unused pieces, which cannot be "
            "expressed here; train it again without"
        )
    unknown = [number for number, piece in enumerate(model.pieces) if piece.kind == _UNKNOWN]
    if unknown != [model.role_ids["unk"]]:
        raise ModelError(
            f"{path} is damaged: its unknown pieces are {unknown} and the trainer names "
            f"{model.role_ids['unk']}; fetch it again"
        )


def build(model: Model) -> tokenizers.Tokenizer:
    """The backend of a model."""
    from tokenizers import AddedToken, Tokenizer, models

    unknown = model.role_ids["unk"]
    if model.kind == _UNIGRAM:
        backend = Tokenizer(
            models.Unigram(_scored(model.pieces), unk_id=unknown, byte_fallback=model.byte_fallback)
        )
        added = {_UNKNOWN, _CONTROL}
    else:
        backend = Tokenizer(
            models.BPE(
                {piece.text: number for number, piece in enumerate(model.pieces)},
                _merges(model.pieces),
                unk_token=model.pieces[unknown].text,
                fuse_unk=True,
                byte_fallback=model.byte_fallback,
            )
        )
        added = {_UNKNOWN, _CONTROL, _USER_DEFINED}
    backend.add_tokens(
        [
            AddedToken(piece.text, normalized=False, special=piece.kind != _USER_DEFINED)
            for piece in model.pieces
            if piece.kind in added
        ]
    )
    _set_normalizer(backend, model)
    backend.decoder = decoder(byte_fallback=model.byte_fallback, dummy_prefix=model.dummy_prefix)
    return backend


def _scored(pieces: list[Piece]) -> list[tuple[str, float]]:
    """Pieces with scores; one that the user defined outweighs others of its length."""
    best = max((piece.score for piece in pieces if piece.kind == _NORMAL), default=0.0)
    if not all(math.isfinite(piece.score) for piece in pieces):
        raise ValueError("a score is not finite")
    return [
        (
            piece.text,
            len(piece.text.encode()) * best - 0.1 if piece.kind == _USER_DEFINED else piece.score,
        )
        for piece in pieces
    ]


def _merges(pieces: list[Piece]) -> list[tuple[str, str]]:
    """Every way to put a piece together from two: SentencePiece joins whatever pair is a piece.

    Of pairs with one score it takes the leftmost, so that a run of such pieces (the blanks of
    Llama 2) grows from the left: longer pieces come first.
    """
    ids = {piece.text: number for number, piece in enumerate(pieces) if piece.kind == _NORMAL}
    found: list[tuple[float, int, int, int, str, str]] = []
    for text, number in ids.items():
        for cut in range(1, len(text)):
            left, right = ids.get(text[:cut]), ids.get(text[cut:])
            if left is not None and right is not None:
                score = pieces[number].score
                found.append((-score, -len(text), left, right, text[:cut], text[cut:]))
    found.sort()
    return [(left, right) for *_, left, right in found]


def _set_normalizer(backend: tokenizers.Tokenizer, model: Model) -> None:
    from tokenizers import Regex, normalizers

    steps: list[Any] = []
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.collapse_spaces:
        # Deleted, not replaced, so that the offsets of what stays are its own.
        steps.append(normalizers.Replace(Regex(r"\A +| +\z|(?<= ) +"), ""))
    if model.dummy_prefix:
        # Not the Metaspace pre-tokenizer: that adds none to a text that begins with a blank.
        steps.append(normalizers.Prepend(SPACE))
    steps.append(normalizers.Replace(" ", SPACE))
    backend.normalizer = normalizers.Sequence(steps)


def decoder(*, byte_fallback: bool, dummy_prefix: bool) -> tokenizers.decoders.Decoder:
    """Pieces to text: blanks again, bytes joined to characters, the added blank gone."""
    from tokenizers import decoders

    steps: list[Any] = [decoders.Replace(SPACE, " ")]
    if byte_fallback:
        steps.append(decoders.ByteFallback())
    steps.append(decoders.Fuse())
    if dummy_prefix:
        steps.append(decoders.Strip(" ", 1, 0))
    return decoders.Sequence(steps)


def _settings(model: Model) -> dict[str, Any]:
    return {
        f"{role}_token": model.pieces[number].text
        for role, number in model.role_ids.items()
        if 0 <= number < len(model.pieces) and model.pieces[number].kind in (_UNKNOWN, _CONTROL)
    }
