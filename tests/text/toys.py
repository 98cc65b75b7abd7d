"""Small tokenizers of every kind, trained in milliseconds by the library itself."""

from __future__ import annotations

import json
import string
from collections.abc import Callable

from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers import Tokenizer as Backend

from embedsearch.text.tokenizer import Tokenizer

TEXT = [
    "the cat sat on the mat and the dog ran after the ball in the garden",
    "hello world, the strawberry is red and the raspberry is redder",
    "low lower lowest, new newer newest, wide wider widest",
    "naïve café déjà vu, Straße, smörgåsbord",
    "สวัสดีชาวโลก สวัสดี привет мир 你好世界 🦩",
] * 4


def byte_bpe(vocab_size: int = 400) -> Tokenizer:
    """As GPT-2: bytes, then merges."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    backend.train_from_iterator(TEXT, trainer)
    return Tokenizer(backend)


def wordpiece() -> Tokenizer:
    """As BERT: lower case, no accents, `##`, [CLS] and [SEP] around."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = string.ascii_lowercase + "สวด"
    words = ["the", "cat", "cafe", "he", "##ll", "lowest", "red"]
    vocabulary = [*special, *letters, *(f"##{letter}" for letter in letters), *words]
    numbered = {token: number for number, token in enumerate(vocabulary)}
    backend = Backend(models.WordPiece(vocab=numbered, unk_token="[UNK]"))
    backend.add_special_tokens(special)
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, backend.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return Tokenizer(backend)


def unigram() -> Tokenizer:
    """As XLNet: SentencePiece's `▁` for a blank, a table of probabilities."""
    backend = Backend(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(TEXT, trainer)
    return Tokenizer(backend)


def fallback_bpe() -> Tokenizer:
    """As Llama 2: SentencePiece's BPE, bytes for what the vocabulary lacks, no pre-tokenizer."""
    trained = Backend(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    head = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=450, special_tokens=head, limit_alphabet=30, show_progress=False
    )
    trained.train_from_iterator(TEXT, trainer)
    vocabulary = trained.get_vocab()
    merges = [tuple(merge) for merge in _merges(trained)]
    backend = Backend(
        models.BPE(
            vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    backend.add_special_tokens([AddedToken(name, special=True) for name in head[:3]])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
    )
    return Tokenizer(backend)


def suffix_bpe() -> Tokenizer:
    """As the first BPE: `</w>` at the end of a word, unknown characters fused."""
    backend = Backend(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=True))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(
        vocab_size=200,
        special_tokens=["<unk>"],
        end_of_word_suffix="</w>",
        limit_alphabet=30,
        show_progress=False,
    )
    backend.train_from_iterator(TEXT, trainer)
    return Tokenizer(backend)


def word() -> Tokenizer:
    """A word a token."""
    backend = Backend(models.WordLevel(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(
        vocab_size=60, special_tokens=["[UNK]"], show_progress=False
    )
    backend.train_from_iterator(TEXT, trainer)
    return Tokenizer(backend)


def char() -> Tokenizer:
    """A character a token."""
    backend = Backend(models.WordLevel(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    trainer = trainers.WordLevelTrainer(
        vocab_size=200, special_tokens=["[UNK]"], show_progress=False
    )
    backend.train_from_iterator(TEXT, trainer)
    return Tokenizer(backend)


def _merges(backend: Backend) -> list[list[str]]:
    found: list[list[str]] = json.loads(backend.to_str())["model"]["merges"]
    return found


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "byte_bpe": byte_bpe,
    "wordpiece": wordpiece,
    "unigram": unigram,
    "fallback_bpe": fallback_bpe,
    "suffix_bpe": suffix_bpe,
    "word": word,
    "char": char,
}
