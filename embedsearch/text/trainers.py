"""The kinds of tokenizers: what they are made of, and how their vocabulary is learned."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from embedsearch.errors import InputError
from embedsearch.text.corpus import Corpus
from embedsearch.text.formats.bytelevel import SPLIT_PATTERNS, byte_characters
from embedsearch.text.formats.sentencepiece import SPACE, decoder, parse_model

if TYPE_CHECKING:
    import tokenizers

    from embedsearch.text.training import TokenizerConfig

_WORDS = rf"{SPACE}?[^\s{SPACE}]+|[\s{SPACE}]"
"""A word with the blank before it; further white space stands alone."""
_UNFEEDABLE = re.compile(r"[\t\n\r\0]")
"""SentencePiece reads lines with tabs between word and count."""
_PREFIX = "##"
_CHUNK = 10_000


def learn(corpus: Corpus, config: TokenizerConfig) -> tokenizers.Tokenizer:
    """A backend with a vocabulary from the texts; special tokens have the first ids."""
    if config.kind == "byte":
        return _with_bytes(config)
    if config.kind in ("word", "char"):
        return _learn_words(corpus, config)
    if config.kind == "wordpiece":
        return _learn_wordpiece(corpus, config)
    if config.kind == "unigram":
        return _learn_unigram(corpus, config)
    return _learn_bpe(corpus, config)


def post_processor(
    backend: tokenizers.Tokenizer, begin: str | None, end: str | None
) -> tokenizers.processors.PostProcessor:
    """Puts special tokens around a text, and the second one between and after two."""
    from tokenizers import processors

    single = [*filter(None, [begin]), "$A", *filter(None, [end])]
    pair = [*single, "$B:1", *(f"{token}:1" for token in filter(None, [end]))]
    ids = [(token, backend.token_to_id(token)) for token in {begin, end} if token]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def _assemble(model: Any, config: TokenizerConfig) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer, decoders

    backend = Tokenizer(model)
    backend.normalizer = _normalizer(config)
    backend.pre_tokenizer = _pre_tokenizer(config)
    if config.kind in ("byte", "byte-bpe"):
        backend.decoder = decoders.ByteLevel()
    elif config.kind in ("bpe", "unigram"):
        backend.decoder = decoder(byte_fallback=False, dummy_prefix=True)
    elif config.kind == "char":
        backend.decoder = decoders.Fuse()
    elif config.kind == "wordpiece":
        backend.decoder = decoders.WordPiece(prefix=_PREFIX, cleanup=False)
    return backend


def _normalizer(config: TokenizerConfig) -> Any:
    from tokenizers import normalizers

    steps: list[Any] = []
    if config.normalization != "none":
        steps.append({"nfc": normalizers.NFC, "nfkc": normalizers.NFKC}[config.normalization]())
    if config.lowercase:
        steps.append(normalizers.Lowercase())
    if config.strip_accents:
        steps += [normalizers.NFD(), normalizers.StripAccents(), normalizers.NFC()]
    return normalizers.Sequence(steps) if steps else None


def _pre_tokenizer(config: TokenizerConfig) -> Any:
    from tokenizers import Regex, pre_tokenizers

    how = config.splits_by
    if how in SPLIT_PATTERNS:
        split = pre_tokenizers.Split(Regex(SPLIT_PATTERNS[how]), "isolated")
        over_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=how == "r50k")
        return over_bytes if how == "r50k" else pre_tokenizers.Sequence([split, over_bytes])
    if config.kind == "byte":
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if config.kind == "char":
        return pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    if how == "metaspace":
        # "first": what follows a special token inside a text gets no blank of its own.
        blanks = pre_tokenizers.Metaspace(SPACE, prepend_scheme="first", split=False)
        words = pre_tokenizers.Split(Regex(_WORDS), "isolated")
        return pre_tokenizers.Sequence([blanks, words])
    splitters: dict[str, Any] = {
        "words": pre_tokenizers.Whitespace,
        "whitespace": pre_tokenizers.WhitespaceSplit,
        "bert": pre_tokenizers.BertPreTokenizer,
    }
    return splitters[how]()


def _with_bytes(config: TokenizerConfig) -> tokenizers.Tokenizer:
    from tokenizers import models

    tokens = [*config.all_special_tokens, *byte_characters()]
    return _assemble(models.BPE({token: n for n, token in enumerate(tokens)}, []), config)


def _learn_words(corpus: Corpus, config: TokenizerConfig) -> tokenizers.Tokenizer:
    from tokenizers import models, trainers

    backend = _assemble(models.WordLevel(unk_token=config.unk_token), config)
    trainer = trainers.WordLevelTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=list(config.all_special_tokens),
        show_progress=False,
    )
    corpus.learn(lambda: backend.train_from_iterator(corpus, trainer))
    return backend


def _learn_bpe(corpus: Corpus, config: TokenizerConfig) -> tokenizers.Tokenizer:
    from tokenizers import models, trainers

    over_bytes = config.kind == "byte-bpe"
    model = models.BPE() if over_bytes else models.BPE(unk_token=config.unk_token, fuse_unk=False)
    backend = _assemble(model, config)
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=list(config.all_special_tokens),
        initial_alphabet=list(byte_characters()) if over_bytes else [],
        show_progress=False,
    )
    corpus.learn(lambda: backend.train_from_iterator(corpus, trainer))
    _check_size(backend.get_vocab_size(), config)
    return backend


def _learn_wordpiece(corpus: Corpus, config: TokenizerConfig) -> tokenizers.Tokenizer:
    """BPE over words whose later characters are written `##c`, as the library does it.

    The library numbers those in the order of its hash table, which is another in every run and
    decides between pairs that are equally frequent. So words are counted first, and the characters
    are given to it in order.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    backend = _assemble(models.WordPiece(unk_token=config.unk_token), config)
    words = _count_words(corpus, backend)
    later = sorted({_PREFIX + character for word in words for character in word[1:]})
    first = {character for word in words for character in word}
    _check_size(len(config.all_special_tokens) + len(later) + len(first), config)
    learner = Tokenizer(models.WordPiece(unk_token=config.unk_token))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=[*config.all_special_tokens, *later],
        continuing_subword_prefix=_PREFIX,
        show_progress=False,
    )
    corpus.learn(lambda: learner.train_from_iterator(_repeated(words), trainer))
    vocabulary = learner.get_vocab(with_added_tokens=True)
    backend.model = models.WordPiece(
        vocabulary, unk_token=config.unk_token, continuing_subword_prefix=_PREFIX
    )
    return backend


def _repeated(words: Mapping[str, int]) -> Iterator[str]:
    """Every word as often as it was counted, in texts of bounded size."""
    for word, count in sorted(words.items()):
        for start in range(0, count, _CHUNK):
            yield f"{word} " * min(_CHUNK, count - start)


def _count_words(corpus: Corpus, backend: tokenizers.Tokenizer) -> dict[str, int]:
    """How often each word occurs, as the backend splits texts into words.

    The library counts them in a trainer; its state is the only place that tells.
    """
    from tokenizers import Tokenizer, models, trainers

    counter = Tokenizer(models.WordLevel())
    if backend.normalizer is not None:
        counter.normalizer = backend.normalizer
    counter.pre_tokenizer = backend.pre_tokenizer
    trainer = trainers.WordLevelTrainer(vocab_size=1, show_progress=False)
    corpus.learn(lambda: counter.train_from_iterator(corpus, trainer))
    words: dict[str, int] = json.loads(trainer.__getstate__())["WordLevelTrainer"]["words"]
    return words


def _learn_unigram(corpus: Corpus, config: TokenizerConfig) -> tokenizers.Tokenizer:
    """SentencePiece's own trainer, fed with words and how often they occur.

    The library's trainer gives another vocabulary in every run.
    """
    from tokenizers import models

    backend = _assemble(models.Unigram(), config)
    words = _count_words(corpus, backend)
    special = config.all_special_tokens
    alphabet = {character for word in words for character in word}
    _check_size(len(special) + len(alphabet), config)
    spaces = [word for word in words if _UNFEEDABLE.fullmatch(word)]
    room = config.vocab_size - len(special) - len(spaces)
    data = corpus.learn(lambda: _train_sentencepiece(words, room))
    unknown = config.unk_token
    pieces = [
        (piece.text, piece.score)
        for piece in parse_model(data).pieces
        if piece.kind == 1 and piece.text not in special
    ]
    pieces.sort(key=lambda piece: (-piece[1], piece[0]))
    rarest = pieces[-1][1] if pieces else 0.0
    pieces += [(space, rarest) for space in sorted(spaces)]
    backend.model = models.Unigram(
        [*((token, 0.0) for token in special), *pieces], unk_id=special.index(unknown or "")
    )
    return backend


def _train_sentencepiece(words: Mapping[str, int], pieces: int) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_sentences(words),
            input_format="tsv",
            model_writer=model,
            model_type="unigram",
            vocab_size=pieces + 1,  # its own <unk>
            hard_vocab_limit=False,
            bos_id=-1,
            eos_id=-1,
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            max_sentence_length=1 << 20,
            num_threads=4,  # part of the result: sums are rounded thread by thread
            minloglevel=2,
        )
    except RuntimeError as error:
        raise InputError(f"SentencePiece cannot learn from these texts: {error}") from None
    return model.getvalue()


def _sentences(words: Mapping[str, int]) -> Iterable[str]:
    return (
        f"{word.replace(SPACE, ' ')}\t{count}"
        for word, count in sorted(words.items())
        if not _UNFEEDABLE.search(word)
    )


def _check_size(needed: int, config: TokenizerConfig) -> None:
    """The alphabet alone must not take more than there is room for."""
    if needed > config.vocab_size:
        raise InputError(
            f"vocab_size {config.vocab_size} is smaller than the alphabet: the special tokens and "
            f"the characters of these texts take {needed:,}; give at least that, or choose "
            "byte-bpe, whose alphabet is the 256 bytes"
        )
