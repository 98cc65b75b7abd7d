"""Training a tokenizer: what can be set, and from texts to a backend."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from embedsearch.errors import InputError
from embedsearch.text.formats.bytelevel import is_unicode, reads_as_bytes
from embedsearch.text.roles import role_by_name
from embedsearch.types import Progress

if TYPE_CHECKING:
    import tokenizers

Kind = Literal["word", "char", "byte", "bpe", "byte-bpe", "wordpiece", "unigram"]
Normalization = Literal["none", "nfc", "nfkc"]
PreTokenization = Literal[
    "words", "whitespace", "bert", "metaspace", "r50k", "cl100k", "o200k", "none"
]

PRE_TOKENIZATIONS: dict[str, tuple[PreTokenization, ...]] = {
    "word": ("words", "whitespace", "bert"),
    "char": ("none",),
    "byte": ("none",),
    "bpe": ("metaspace",),
    "byte-bpe": ("r50k", "cl100k", "o200k"),
    "wordpiece": ("bert", "words", "whitespace"),
    "unigram": ("metaspace",),
}
"""What each kind may split texts by; the first is its default.

`words` splits runs of letters and digits from runs of punctuation, `whitespace` at white space
alone, `bert` every punctuation mark and Chinese character; `metaspace` keeps the blank with the
word that follows; `r50k`, `cl100k` and `o200k` are the patterns of GPT-2, GPT-4 and GPT-4o.
"""

_SPECIAL_TOKENS: dict[str, tuple[str, ...]] = {
    "word": ("[PAD]", "[UNK]"),
    "char": ("[PAD]", "[UNK]"),
    "byte": ("<|endoftext|>", "<|pad|>"),
    "bpe": ("<pad>", "<unk>", "<s>", "</s>"),
    "byte-bpe": ("<|endoftext|>", "<|pad|>"),
    "wordpiece": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    "unigram": ("<pad>", "<unk>", "<s>", "</s>"),
}
_MOST = 10_000_000
"""Room for a vocabulary is set aside before it is learned."""
_OVER_BYTES = ("byte", "byte-bpe")
"""Kinds that know every text."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """How a tokenizer is trained.

    `vocab_size` counts special tokens and is the most there will be; a small corpus gives fewer.
    What occurs less often than `min_frequency` is not learned. `pre_tokenization` None is the first
    of `PRE_TOKENIZATIONS` for the kind. `special_tokens` None are those usual for the kind; a token
    with a usual name (`<pad>`, `[UNK]`, `<s>`) plays its role. `begin_token` and `end_token` stand
    around every text that is encoded; None is [CLS] and [SEP] for wordpiece, none for other kinds.
    """

    kind: Kind = "byte-bpe"
    vocab_size: int = 30_000
    min_frequency: int = 2
    normalization: Normalization = "none"
    lowercase: bool = False
    strip_accents: bool = False
    pre_tokenization: PreTokenization | None = None
    special_tokens: tuple[str, ...] | None = None
    begin_token: str | None = None
    end_token: str | None = None

    def __post_init__(self) -> None:
        _check_choice("kind", self.kind, get_args(Kind))
        _check_choice("normalization", self.normalization, get_args(Normalization))
        for name in ("vocab_size", "min_frequency"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} must be a whole number of at least 1, not {value!r}")
            if value > _MOST:
                raise InputError(f"{name} can be {_MOST:,} at most, not {value:,}")
        for name in ("lowercase", "strip_accents"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if self.pre_tokenization is not None:
            allowed = PRE_TOKENIZATIONS[self.kind]
            _check_choice(f"pre_tokenization of {self.kind}", self.pre_tokenization, allowed)
        if isinstance(self.special_tokens, str | int):
            raise InputError(f"special_tokens must be a list, not {self.special_tokens!r}")
        if self.special_tokens is not None:
            object.__setattr__(self, "special_tokens", tuple(self.special_tokens))
        self._check_special_tokens()
        fixed = len(self.all_special_tokens) + (256 if self.kind in _OVER_BYTES else 1)
        if self.vocab_size < fixed:
            special = len(self.all_special_tokens)
            alphabet = "256 bytes" if self.kind in _OVER_BYTES else "any token of the text"
            raise InputError(
                f"vocab_size {self.vocab_size} is too small: {special} special tokens and "
                f"{alphabet} take {fixed}"
            )

    def _check_special_tokens(self) -> None:
        tokens = self.all_special_tokens
        for token in tokens:
            if not isinstance(token, str) or re.fullmatch(r"\w*|.|##.*|<0x[0-9A-F]{2}>", token):
                raise InputError(
                    f"the special token {token!r} collides with what texts contain; write it with "
                    "brackets, for instance <tag>"
                )
            if not is_unicode(token):
                raise InputError(f"the special token {token!r} has a lone surrogate")
            if self.kind in _OVER_BYTES and reads_as_bytes(token):
                raise InputError(
                    f"the special token {token!r} would be decoded as other bytes; use ASCII"
                )
            if tokens.count(token) > 1:
                raise InputError(f"the special token {token!r} is given twice")
        for role in ("unk", "pad", "mask"):
            same = [token for token in tokens if role_by_name(token) == role]
            if len(same) > 1:
                raise InputError(f"the special tokens {', '.join(same)} collide: one role, {role}")
        if self.kind not in _OVER_BYTES and self.unk_token is None:
            raise InputError(
                f"the kind {self.kind!r} needs a special token for what it does not know: add "
                "[UNK] or <unk>, or choose byte-bpe"
            )
        for name in ("begin_token", "end_token"):
            placed = getattr(self, name)
            if placed is not None and placed not in tokens:
                raise InputError(f"{name} {placed!r} is not one of the special tokens {tokens}")

    @property
    def all_special_tokens(self) -> tuple[str, ...]:
        """In the order of their ids, from 0 on."""
        return _SPECIAL_TOKENS[self.kind] if self.special_tokens is None else self.special_tokens

    @property
    def unk_token(self) -> str | None:
        return next((t for t in self.all_special_tokens if role_by_name(t) == "unk"), None)

    @property
    def splits_by(self) -> PreTokenization:
        return self.pre_tokenization or PRE_TOKENIZATIONS[self.kind][0]

    @property
    def around(self) -> tuple[str | None, str | None]:
        """The special tokens before and after every text."""
        if self.kind == "wordpiece" and self.begin_token is None and self.end_token is None:
            tokens = self.all_special_tokens
            if "[CLS]" in tokens and "[SEP]" in tokens:
                return "[CLS]", "[SEP]"
        return self.begin_token, self.end_token


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def train_backend(
    texts: Iterable[str], config: TokenizerConfig, progress: Progress
) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """The trained backend and its tokenizer_config.json. Raises as `Tokenizer.train` does."""
    from tokenizers import AddedToken

    from embedsearch.text.corpus import Corpus
    from embedsearch.text.trainers import learn, post_processor

    backend = learn(Corpus(texts, progress), config)
    special = config.all_special_tokens
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    if any(config.around):
        backend.post_processor = post_processor(backend, *config.around)
    roles = {role: token for token in reversed(special) if (role := role_by_name(token))}
    settings = {f"{role}_token": token for role, token in sorted(roles.items())}
    if config.kind in _OVER_BYTES and "eos" in roles:
        settings.setdefault("bos_token", roles["eos"])
    return backend, {**settings, "training": asdict(config)}
