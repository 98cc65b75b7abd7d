"""What is inside a tokenizer: its kind, its special, unknown and byte tokens, what it normalises.

The one place that looks below `Tokenizer` into the library of Hugging Face.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from embedsearch.errors import InputError
from embedsearch.text.formats.bytelevel import byte_characters

if TYPE_CHECKING:
    import tokenizers

    from embedsearch.text.tokenizer import Tokenizer

_BATCH_CHARACTERS = 1 << 19
_BATCH_TEXTS = 4096
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
BLANK = "▁"
"""What SentencePiece writes for a blank."""

_STEPS = {
    "Lowercase": "lower case",
    "StripAccents": "accents taken off",
    "Strip": "blanks at the ends taken off",
    "Nmt": "control characters and odd blanks tidied",
    "Precompiled": "SentencePiece's own table (NFKC and more)",
}
_BERT_STEPS = {
    "clean_text": "control characters taken out",
    "handle_chinese_chars": "blanks around Chinese characters",
    "strip_accents": "accents taken off",
    "lowercase": "lower case",
}


@dataclass(frozen=True, kw_only=True)
class RawToken:
    """One token as the library gives it; `word` numbers the pieces of pre-tokenization, None for
    a special token; `added` says that the tokenizer put it there, not the text."""

    id: int
    token: str
    start: int
    end: int
    word: int | None
    added: bool


class Anatomy:
    """Facts about a tokenizer that `Tokenizer` itself does not need."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._backend: tokenizers.Tokenizer = tokenizer._backend

    @property
    def kind(self) -> str:
        """`BPE`, `WordPiece`, `Unigram` or `WordLevel`."""
        return type(self._backend.model).__name__

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of the special tokens, `[CLS]` for instance."""
        added = self._backend.get_added_tokens_decoder()
        return frozenset(number for number, token in added.items() if token.special)

    @cached_property
    def added_ids(self) -> frozenset[int]:
        """Ids of all tokens that are found in the text before the model sees it."""
        return frozenset(self._backend.get_added_tokens_decoder())

    @cached_property
    def unknown_id(self) -> int | None:
        """The id of what the vocabulary lacks; None where nothing can be unknown."""
        if self.kind == "Unigram":
            number = self.model_settings["unk_id"]
            return None if number is None else int(number)
        token = self._backend.model.unk_token
        return None if token is None else self._backend.token_to_id(token)

    @cached_property
    def byte_level(self) -> bool:
        """Whether tokens are written in GPT-2's alphabet, a letter for each byte."""
        parts = (*_flat(self._settings["pre_tokenizer"]), *_flat(self._settings["decoder"]))
        parts = (*parts, *_flat(self._settings["normalizer"]))
        return any(part["type"] == "ByteLevel" for part in parts)

    @cached_property
    def byte_fallback(self) -> bool:
        """Whether a character that the vocabulary lacks becomes `<0x..>` tokens, one a byte."""
        if self.kind == "BPE":
            return bool(self._backend.model.byte_fallback)
        return self.kind == "Unigram" and bool(self.model_settings.get("byte_fallback"))

    @cached_property
    def normalizers(self) -> tuple[str, ...]:
        """What the normaliser does, in words, in order."""
        return tuple(words for part in _flat(self._settings["normalizer"]) for words in _say(part))

    @cached_property
    def prefix_blank(self) -> bool:
        """Whether pre-tokenization puts a blank before a text that does not begin with one."""
        return any(
            part.get("add_prefix_space", False)
            if part["type"] == "ByteLevel"
            else part["type"] == "Metaspace" and part.get("prepend_scheme", "always") != "never"
            for part in _flat(self._settings["pre_tokenizer"])
        )

    @cached_property
    def model_settings(self) -> dict[str, Any]:
        """The model as in tokenizer.json, vocabulary and merges included."""
        found: dict[str, Any] = json.loads(self._backend.model.__getstate__())
        return found

    def token(self, token_id: int) -> str:
        """The token of an id; empty where the vocabulary has a gap."""
        return str(self._backend.id_to_token(token_id) or "")

    def normalize(self, text: str) -> str:
        """The text as the model sees it, a blank written as a blank."""
        normalizer = self._backend.normalizer
        found = text if normalizer is None else str(normalizer.normalize_str(text))
        if any(part["type"] == "ByteLevel" for part in _flat(self._settings["normalizer"])):
            return self.as_bytes(found).decode("utf-8", "replace")
        return found.replace(BLANK, " ") if self._writes_blanks and BLANK not in text else found

    def symbols(self, texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """What each word of the texts is to a byte-pair model before any merge; a token that is
        found in the text before the model sees it is a word of one symbol."""
        for batch in _batches(texts):
            for found in self._unmerged.encode_batch(batch, add_special_tokens=False):
                pairs = zip(found.word_ids, found.tokens, strict=True)
                for _word, symbols in groupby(pairs, key=itemgetter(0)):
                    yield tuple(token for _, token in symbols)

    def encode(self, text: str) -> list[RawToken]:
        """The tokens of a text with all that the library knows of them."""
        found = self._checked(text, special_tokens=True)
        columns = (
            found.ids,
            found.tokens,
            found.offsets,
            found.word_ids,
            found.special_tokens_mask,
        )
        return [
            RawToken(
                id=number, token=token, start=span[0], end=span[1], word=word, added=bool(added)
            )
            for number, token, span, word, added in zip(*columns, strict=True)
        ]

    def encode_batches(self, texts: Sequence[str]) -> Iterator[list[list[int]]]:
        """The ids of texts, some at a time, in order, without special tokens put around them.

        Computed in parallel.
        """
        for batch in _batches(texts):
            encodings = self._backend.encode_batch_fast(batch, add_special_tokens=False)
            yield [encoding.ids for encoding in encodings]

    def decode_many(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """The text of each list of ids, special tokens included."""
        found: list[str] = self._backend.decode_batch(
            [list(each) for each in ids], skip_special_tokens=False
        )
        return found

    def data(self, token_id: int, token: str) -> bytes | None:
        """The bytes that a token stands for; None where it stands for characters."""
        if token_id in self.added_ids:
            return None
        if self.byte_level:
            return self.as_bytes(token)
        byte = _BYTE_TOKEN.fullmatch(token) if self.byte_fallback else None
        return bytes.fromhex(byte[1]) if byte else None

    def piece(self, token_id: int, token: str) -> str:
        """The token as a person reads it: without `##` or `</w>`, a blank as a blank. Bytes that
        make no character are U+FFFD."""
        if token_id in self.added_ids:
            return token
        data = self.data(token_id, token)
        if data is not None:
            return data.decode("utf-8", "replace")
        prefix, suffix = self._affixes
        token = token.removeprefix(prefix) or token
        if suffix:
            token = token.removesuffix(suffix) or token
        return token.replace(BLANK, " ") if self._writes_blanks else token

    @staticmethod
    def as_bytes(token: str) -> bytes:
        """A token in GPT-2's alphabet as bytes; a character that is not in it as its own UTF-8."""
        table = _byte_alphabet()
        return b"".join(
            bytes([table[letter]]) if letter in table else letter.encode() for letter in token
        )

    @cached_property
    def _unmerged(self) -> tokenizers.Tokenizer:
        """The tokenizer with the alphabet of its byte-pair model, and without merges."""
        from tokenizers import Tokenizer as Backend
        from tokenizers import models

        affixes = "continuing_subword_prefix end_of_word_suffix"
        names = f"unk_token fuse_unk byte_fallback {affixes}".split()
        found = self.model_settings
        settings = {name: found[name] for name in names if found.get(name) is not None}
        bare = Backend(models.BPE(vocab=found["vocab"], merges=[], **settings))
        bare.normalizer, bare.pre_tokenizer = self._backend.normalizer, self._backend.pre_tokenizer
        bare.add_tokens(list(self._backend.get_added_tokens_decoder().values()))
        return bare

    @cached_property
    def _affixes(self) -> tuple[str, str]:
        model = self._backend.model
        prefix = getattr(model, "continuing_subword_prefix", None) or ""
        return prefix, getattr(model, "end_of_word_suffix", None) or ""

    @cached_property
    def _settings(self) -> dict[str, dict[str, Any]]:
        parts = ("normalizer", "pre_tokenizer", "decoder")
        found = {name: getattr(self._backend, name) for name in parts}
        return {
            name: json.loads(part.__getstate__()) if part else {} for name, part in found.items()
        }

    @cached_property
    def _writes_blanks(self) -> bool:
        return BLANK in json.dumps(self._settings, ensure_ascii=False)

    def _checked(self, text: str, *, special_tokens: bool) -> tokenizers.Encoding:
        try:
            return self._backend.encode(text, add_special_tokens=special_tokens)
        except (TypeError, UnicodeError) as error:
            raise InputError(
                f"only strings without lone surrogates can be tokenized: {error}"
            ) from None


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters >= _BATCH_CHARACTERS or len(batch) == _BATCH_TEXTS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _flat(part: dict[str, Any]) -> list[dict[str, Any]]:
    """A component of tokenizer.json as the list of its steps."""
    if not part:
        return []
    for name in ("normalizers", "pretokenizers", "decoders"):
        if part["type"] == "Sequence" and name in part:
            return [step for each in part[name] for step in _flat(each)]
    return [part]


def _say(part: dict[str, Any]) -> list[str]:
    """A step of normalisation in words."""
    kind = part["type"]
    if kind == "BertNormalizer":
        accents = part["strip_accents"]  # null stands for "as lowercase"
        settings = part | {"strip_accents": part["lowercase"] if accents is None else accents}
        return [words for name, words in _BERT_STEPS.items() if settings[name]]
    if kind == "Prepend":
        return [f"{part['prepend']!r} put before the text"]
    if kind == "Replace":
        pattern = next(iter(part["pattern"].values()))
        return [f"{pattern!r} written as {part['content']!r}"]
    return [_STEPS.get(kind, kind)]


@cache
def _byte_alphabet() -> dict[str, int]:
    """The byte for each letter of GPT-2's alphabet."""
    return {letter: byte for byte, letter in enumerate(byte_characters())}
