"""The one tokenizer: text to ids, tokens and character offsets, over Hugging Face `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedsearch.errors import InputError, ModelError, NotFoundError

if TYPE_CHECKING:
    import tokenizers

FILE_NAME = "tokenizer.json"
_BATCH_CHARACTERS = 1 << 19
_BATCH_TEXTS = 4096


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """One text as tokens; the three lists are of equal length.

    `offsets` are (start, end) character ranges of the text, (0, 0) for a special token.
    """

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]


class Tokenizer:
    """A fast tokenizer. It never truncates or pads, whatever its file says.

    It is a `TokenCounter`: the chunker counts with it.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend

    @classmethod
    def load(cls, folder_or_file: str | Path) -> Tokenizer:
        """Reads `tokenizer.json`, given itself or its folder.

        Raises NotFoundError where there is none and ModelError where it cannot be read.
        """
        from tokenizers import Tokenizer as Backend

        path = Path(folder_or_file)
        file = path / FILE_NAME if path.is_dir() else path
        if not file.is_file():
            raise NotFoundError(
                f"no tokenizer at {str(file)!r}; give a {FILE_NAME} or the folder that holds one"
            )
        try:
            return cls(Backend.from_str(file.read_text(encoding="utf-8")))
        except OSError as error:
            raise ModelError(f"cannot read the tokenizer {str(file)!r}: {error.strerror}") from None
        except Exception as error:  # the library raises nothing narrower
            raise ModelError(
                f"{str(file)!r} is damaged or no {FILE_NAME} of Hugging Face tokenizers: {error}"
            ) from None

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    @property
    def special_token_count(self) -> int:
        """How many special tokens `encode` puts around a single text."""
        return int(self._backend.num_special_tokens_to_add(is_pair=False))

    def encode(self, text: str, *, special_tokens: bool = True) -> Encoding:
        """Tokens of `text`, with the model's special tokens around them unless told otherwise."""
        encoding = self._encode(text, special_tokens)
        return Encoding(ids=encoding.ids, tokens=encoding.tokens, offsets=encoding.offsets)

    def encode_ids(
        self, texts: Sequence[str], *, special_tokens: bool = True, limit: int | None = None
    ) -> list[list[int]]:
        """Ids of each text; of a text of more than `limit` ids the end is cut off, its special
        tokens stay. Raises InputError for a limit that leaves no room for a token."""
        room = None
        if limit is not None:
            room = limit - (self.special_token_count if special_tokens else 0)
            if room < 1:
                raise InputError(f"a limit of {limit} tokens leaves no room for text")
        ids: list[list[int]] = []
        for batch in _batches(texts):
            try:
                encodings = self._backend.encode_batch_fast(
                    batch, add_special_tokens=special_tokens
                )
            except (TypeError, UnicodeError) as error:
                raise _not_text(error) from None
            for text, encoding in zip(batch, encodings, strict=True):
                if limit is None or room is None or len(encoding) <= limit:
                    ids.append(encoding.ids)
                else:
                    ids.append(self._cut(text, room, special_tokens).ids)
        return ids

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of `ids`. Raises InputError for an id that the vocabulary does not have."""
        for token_id in ids:
            if not 0 <= token_id < 1 << 32 or self._backend.id_to_token(token_id) is None:
                raise InputError(
                    f"no token has the id {token_id}; the vocabulary has {self.vocab_size} ids"
                )
        return str(self._backend.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not counted."""
        counts: list[int] = []
        for batch in _batches(texts):
            try:
                encodings = self._backend.encode_batch_fast(batch, add_special_tokens=False)
            except (TypeError, UnicodeError) as error:
                raise _not_text(error) from None
            counts += map(len, encodings)
        return counts

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """(start, end) character range of each token of `text`, special tokens left out."""
        offsets: list[tuple[int, int]] = self._encode(text, special_tokens=False).offsets
        return offsets

    def _cut(self, text: str, room: int, special_tokens: bool) -> tokenizers.Encoding:
        # not by `enable_truncation`, which would change the backend under another thread's feet
        encoding = self._encode(text, special_tokens=False)
        encoding.truncate(room)
        return self._backend.post_process(encoding, None, special_tokens)

    def _encode(self, text: str, special_tokens: bool) -> tokenizers.Encoding:
        try:
            return self._backend.encode(text, add_special_tokens=special_tokens)
        except (TypeError, UnicodeError) as error:
            raise _not_text(error) from None


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
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
