"""The one tokenizer: text to ids, tokens and character offsets, over Hugging Face `tokenizers`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from embedsearch.errors import InputError, StorageError
from embedsearch.text.chat import render_chat
from embedsearch.text.encoding import (
    Encoding,
    Padding,
    Side,
    batches,
    encode,
    encode_all,
    ids_of,
)
from embedsearch.text.formats import read_tokenizer
from embedsearch.text.formats.bytelevel import is_unicode
from embedsearch.text.formats.reading import CONFIG_NAME, FILE_NAME, TEMPLATE_NAME
from embedsearch.text.losses import round_trip_losses
from embedsearch.text.roles import roles_of
from embedsearch.types import SILENT, Progress

if TYPE_CHECKING:
    import tokenizers

    from embedsearch.text.training import Kind, TokenizerConfig


class Tokenizer:
    """A fast tokenizer. It truncates and pads only where a call says so, whatever its file says.

    It is a `TokenCounter`: the chunker counts with it. It never changes, so threads may share it.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        config: Mapping[str, Any] | None = None,
        chat_template: str | None = None,
    ) -> None:
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self._config = dict(config or {})
        self._chat_template = chat_template
        self._size: int | None = None

    @classmethod
    def load(cls, source: str | Path) -> Tokenizer:
        """Reads a tokenizer from a folder, a file or the hub.

        A folder with tokenizer.json, vocab.json and merges.txt (GPT-2), vocab.txt (BERT), a
        SentencePiece .model or a tiktoken rank file; such a file itself; a hub id. Raises
        NotFoundError where there is none and ModelError where it cannot be read.
        """
        parts = read_tokenizer(source)
        return cls(parts.backend, parts.config, parts.chat_template)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        config: TokenizerConfig | None = None,
        *,
        kind: Kind | None = None,
        vocab_size: int | None = None,
        progress: Progress = SILENT,
    ) -> Tokenizer:
        """Learns a vocabulary from texts, which are read once and not kept.

        `kind` and `vocab_size` take the place of the config's where they are given. The same texts
        and settings give the same tokenizer. Progress counts characters. Raises InputError for
        settings that do not fit together, no text, or a vocabulary too small for the alphabet.
        """
        from embedsearch.text.training import TokenizerConfig, train_backend

        base = config or TokenizerConfig()
        chosen = replace(
            base,
            kind=base.kind if kind is None else kind,
            vocab_size=base.vocab_size if vocab_size is None else vocab_size,
        )
        return cls(*train_backend(texts, chosen, progress))

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens and gaps included: the rows that an embedding needs."""
        if self._size is None:
            ids = self._backend.get_vocab(with_added_tokens=True).values()
            self._size = max(ids, default=-1) + 1
        return self._size

    @property
    def special_token_count(self) -> int:
        """How many special tokens `encode` puts around a single text."""
        return int(self._backend.num_special_tokens_to_add(is_pair=False))

    @property
    def special_tokens(self) -> dict[str, str]:
        """Special tokens by their role: `bos eos unk sep pad cls mask`, as far as there are."""
        return roles_of(self._config, self.token_to_id)

    @property
    def round_trip_losses(self) -> tuple[str, ...]:
        """What decoding does not bring back; empty where `decode(encode(text))` is the text."""
        return round_trip_losses(json.loads(self._backend.to_str()))

    def vocabulary(self) -> dict[str, int]:
        """All tokens with their ids, added tokens included."""
        vocabulary: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        return vocabulary

    def special_vocabulary(self) -> dict[str, int]:
        """The tokens with their ids that decoding leaves out: tags, not parts of a text."""
        added = self._backend.get_added_tokens_decoder()
        return {token.content: number for number, token in added.items() if token.special}

    def token_to_id(self, token: str) -> int | None:
        """The id of a token as the vocabulary writes it, None where there is no such token."""
        found: int | None = self._backend.token_to_id(token) if is_unicode(token) else None
        return found

    def id_to_token(self, token_id: int) -> str | None:
        """The token of an id, None for a gap or beyond the vocabulary."""
        if not 0 <= token_id < 1 << 32:
            return None
        found: str | None = self._backend.id_to_token(token_id)
        return found

    def encode(
        self,
        text: str,
        *,
        special_tokens: bool = True,
        max_tokens: int | None = None,
        truncation_side: Side = "right",
    ) -> Encoding:
        """Tokens of `text`, with the model's special tokens around them unless told otherwise.

        The result has at most `max_tokens` tokens, special ones counted; it tells what was cut.
        """
        return self.encode_batch(
            [text],
            special_tokens=special_tokens,
            max_tokens=max_tokens,
            truncation_side=truncation_side,
        )[0]

    def encode_batch(
        self,
        texts: Sequence[str],
        *,
        special_tokens: bool = True,
        max_tokens: int | None = None,
        truncation_side: Side = "right",
        padding: Side | None = None,
    ) -> list[Encoding]:
        """`encode` of every text, in parallel. `padding` fills all up to the longest, on that side.

        InputError where padding is asked for and the tokenizer has no padding token, or where
        `max_tokens` leaves no room beside the special tokens.
        """
        return encode_all(
            self._backend,
            texts,
            special_tokens=special_tokens,
            max_tokens=max_tokens,
            truncation_side=truncation_side,
            padding=None if padding is None else Padding(padding, *self._padding()),
        )

    def encode_ids(
        self, texts: Sequence[str], *, special_tokens: bool = True, limit: int | None = None
    ) -> list[list[int]]:
        """Ids of each text, and nothing else: quicker than `encode_batch`.

        Of a text of more than `limit` ids the end is cut off, its special tokens stay. Raises
        InputError for a limit that leaves no room for a token.
        """
        return ids_of(self._backend, texts, special_tokens=special_tokens, limit=limit)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of `ids`. Raises InputError for an id that the vocabulary does not have."""
        for token_id in ids:
            if self.id_to_token(token_id) is None:
                raise InputError(
                    f"no token has the id {token_id}; the vocabulary has {self.vocab_size} ids"
                )
        return str(self._backend.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not counted."""
        counts: list[int] = []
        for batch in batches(texts):
            counts += map(len, encode(self._backend, batch, special_tokens=False, fast=True))
        return counts

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """(start, end) character range of each token of `text`, special tokens left out."""
        [found] = encode(self._backend, [text], special_tokens=False)
        offsets: list[tuple[int, int]] = found.offsets
        return offsets

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """A conversation as the text that the model was trained on.

        Encode it with `special_tokens=False`: the template writes them itself. Each message has
        `role` and `content`; `add_generation_prompt` ends the text where the model is to answer.
        InputError where the tokenizer has no chat template or the template refuses the messages.
        """
        if self._chat_template is None:
            raise InputError(
                "this tokenizer has no chat template: use an instruct model, or put its template "
                f"into {TEMPLATE_NAME} beside {FILE_NAME}"
            )
        return render_chat(
            self._chat_template,
            messages,
            special_tokens={f"{role}_token": token for role, token in self.special_tokens.items()},
            add_generation_prompt=add_generation_prompt,
            tools=tools,
        )

    def with_tokens(
        self, terms: Sequence[str] = (), *, special_tokens: Sequence[str] = ()
    ) -> Tokenizer:
        """This tokenizer with further tokens; those that it has already stay as they are.

        New ids follow the old ones. `terms` are words of the text and become one token each;
        `special_tokens` are tags that never occur in a text by chance, and decoding leaves out. A
        model's embedding is brought along by `resize_embeddings`.
        """
        from embedsearch.text.extension import extend

        return Tokenizer(
            extend(self._backend, terms, special_tokens), self._config, self._chat_template
        )

    def with_chat_template(self, template: str) -> Tokenizer:
        """This tokenizer with a chat template, a Jinja program as transformers has it."""
        return Tokenizer(self._backend, self._config, template)

    def save(self, folder: str | Path) -> None:
        """Writes tokenizer.json and what belongs to it, for `load` and transformers' AutoTokenizer.

        StorageError where it cannot be written; what was there before is kept then.
        """
        config = {"tokenizer_class": "PreTrainedTokenizerFast", **self._config}
        config |= {f"{role}_token": token for role, token in self.special_tokens.items()}
        files = {
            FILE_NAME: str(self._backend.to_str()),
            CONFIG_NAME: json.dumps(config, ensure_ascii=False, indent=2) + "\n",
        }
        if self._chat_template is not None:
            files[TEMPLATE_NAME] = self._chat_template
        home = Path(folder)
        try:
            home.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=".unfinished-", dir=home) as draft:
                for name, text in files.items():
                    Path(draft, name).write_text(text, encoding="utf-8")
                for name in files:
                    Path(draft, name).replace(home / name)
            if self._chat_template is None:  # one that is there is that of another tokenizer
                (home / TEMPLATE_NAME).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot write to {str(folder)!r}: {error.strerror}") from None

    def _padding(self) -> tuple[str, int]:
        token = self.special_tokens.get("pad")
        found = None if token is None else self.token_to_id(token)
        if token is None or found is None:
            raise InputError(
                "this tokenizer has no padding token: add one, "
                "tokenizer.with_tokens(special_tokens=['<pad>'])"
            )
        return token, found
