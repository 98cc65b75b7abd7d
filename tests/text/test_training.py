import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.errors import InputError
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.text.training import PRE_TOKENIZATIONS, TokenizerConfig

KINDS = list(PRE_TOKENIZATIONS)
SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "Ein Jäger aus Kurpfalz, der reitet durch den grünen Wald!",
    "Pack my box with five dozen liquor jugs; 1234567890?",
    "Être ou ne pas être,\nvoilà la question.",
    "敏捷的棕色狐狸跳过懒狗。",
]


class RecordingProgress:
    def __init__(self) -> None:
        self.total = 0
        self.notes: list[str] = []

    def start(self, description: str, total: int | None, unit: str) -> None:
        assert unit == "B"

    def advance(self, amount: int) -> None:
        self.total += amount

    def note(self, message: str) -> None:
        self.notes.append(message)


def corpus(size: int = 400) -> list[str]:
    chosen = random.Random(0)
    words = " ".join(SENTENCES).split()
    return SENTENCES * 3 + [" ".join(chosen.choices(words, k=12)) for _ in range(size)]


@pytest.fixture(scope="module")
def trained() -> dict[str, Tokenizer]:
    texts = corpus()
    return {kind: Tokenizer.train(texts, kind=kind, vocab_size=600) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_corpus_is_known(trained, kind):
    tokenizer = trained[kind]
    assert 40 < tokenizer.vocab_size <= 600
    unknown = tokenizer.token_to_id(tokenizer.special_tokens.get("unk", ""))
    for text in SENTENCES:
        encoding = tokenizer.encode(text)
        assert encoding.ids
        assert unknown is None or unknown not in encoding.ids
        for (start, end), special in zip(
            encoding.offsets, encoding.special_tokens_mask, strict=True
        ):
            assert special or text[start:end]


@pytest.mark.parametrize("kind", ["bpe", "byte-bpe", "unigram", "char", "byte"])
def test_the_corpus_comes_back_whole(trained, kind):
    for text in SENTENCES:
        ids = trained[kind].encode(text, special_tokens=False).ids
        assert trained[kind].decode(ids) == text


@pytest.mark.parametrize("kind", ["byte", "byte-bpe"])
@given(text=st.text())
def test_any_text_comes_back_where_nothing_is_lost(trained, kind, text):
    tokenizer = trained[kind]
    assert tokenizer.round_trip_losses == ()
    encoding = tokenizer.encode(text, special_tokens=False)
    assert tokenizer.decode(encoding.ids, skip_special_tokens=False) == text
    assert all(text[start:end] for start, end in encoding.offsets)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("word", "two  blanks"),
        ("word", "zzz"),
        ("char", "ж"),
        ("bpe", "▁"),
        ("unigram", " The"),
        ("bpe", "ж"),
        ("wordpiece", "two  blanks"),
        ("unigram", "ж"),
    ],
)
def test_what_is_lost_is_told(trained, kind, text):
    tokenizer = trained[kind]
    assert tokenizer.round_trip_losses
    assert tokenizer.decode(tokenizer.encode(text, special_tokens=False).ids) != text


@given(text=st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="▁")))
def test_bpe_loses_what_it_tells_and_no_more(trained, text):
    tokenizer = trained["bpe"]
    ids = tokenizer.encode(text, special_tokens=False).ids
    if tokenizer.token_to_id("<unk>") not in ids:
        assert tokenizer.decode(ids) == text.removeprefix(" ")


def test_the_kinds_are_what_they_are_called(trained):
    text = "The lazy fox"
    assert trained["word"].encode(text).tokens == ["The", "lazy", "fox"]
    assert trained["char"].encode(text).tokens == list(text)
    assert trained["byte"].encode("ä").tokens == ["Ã", "¤"]
    assert trained["bpe"].encode(text).tokens == ["▁The", "▁lazy", "▁fox"]
    assert trained["byte-bpe"].encode(" lazy fox").tokens == ["Ġlazy", "Ġfox"]
    assert trained["wordpiece"].encode(text).tokens == ["[CLS]", "The", "lazy", "fox", "[SEP]"]
    assert trained["wordpiece"].encode("doglazy").tokens[1] != "[UNK]"
    assert trained["unigram"].encode(text).tokens[0].startswith("▁")


def test_bpe_is_the_library_called_directly(trained):
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, pre_tokenizers, trainers

    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<|endoftext|>", "<|pad|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        min_frequency=2,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(corpus(), trainer)
    assert trained["byte-bpe"].vocabulary() == backend.get_vocab()


def test_wordpiece_is_as_good_as_the_library_called_directly():
    """As many tokens, but for what follows from choosing among equally frequent pairs."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, pre_tokenizers, trainers

    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend.train_from_iterator(
        corpus(),
        trainers.WordPieceTrainer(
            vocab_size=160, min_frequency=2, special_tokens=special, show_progress=False
        ),
    )
    ours = Tokenizer.train(corpus(), kind="wordpiece", vocab_size=160)
    assert ours.vocab_size == backend.get_vocab_size() == 160
    counts = [sum(tokenizer.count(corpus())) for tokenizer in (ours, Tokenizer(backend))]
    assert counts[0] == pytest.approx(counts[1], rel=0.03)


PROGRAM = """
import sys
from tests.text.test_training import corpus
from embedsearch.text.tokenizer import Tokenizer
Tokenizer.train(iter(corpus()), kind=sys.argv[1], vocab_size=400).save(sys.argv[2])
"""


@pytest.mark.parametrize("kind", ["word", "char", "bpe", "byte-bpe", "wordpiece", "unigram"])
def test_training_is_deterministic(kind, tmp_path):
    """In other processes, with other hash seeds, with and without threads: the same bytes."""
    found = set()
    for number, parallel in enumerate(("true", "true", "false")):
        folder = tmp_path / str(number)
        subprocess.run(
            [sys.executable, "-c", PROGRAM, kind, str(folder)],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONHASHSEED": str(number), "TOKENIZERS_PARALLELISM": parallel},
            check=True,
        )
        found.add((folder / "tokenizer.json").read_bytes())
    assert len(found) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_loads_what_was_saved(trained, kind, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = trained[kind]
    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(str(tmp_path), local_files_only=True)
    again = Tokenizer.load(tmp_path)
    for text in [*SENTENCES, "", "  two  blanks ", "ж <unk> [SEP]"]:
        encoding = tokenizer.encode(text)
        assert theirs(text)["input_ids"] == encoding.ids == again.encode(text).ids
    for role, token in tokenizer.special_tokens.items():
        assert getattr(theirs, f"{role}_token") == token
    assert again.special_tokens == tokenizer.special_tokens
    saved = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert saved["training"]["kind"] == kind
    assert TokenizerConfig(**saved["training"]).vocab_size == 600


def test_settings():
    texts = ["ÉCOLE école Ecole ﬁn"] * 3
    config = TokenizerConfig(
        kind="word",
        normalization="nfkc",
        lowercase=True,
        strip_accents=True,
        special_tokens=("<unk>", "<s>", "</s>", "<tag>"),
        begin_token="<s>",
        end_token="</s>",
    )
    tokenizer = Tokenizer.train(texts, config)
    assert tokenizer.vocabulary() == {
        "<unk>": 0, "<s>": 1, "</s>": 2, "<tag>": 3, "ecole": 4, "fin": 5,
    }  # fmt: skip
    encoding = tokenizer.encode("École <tag> ﬁn rest")
    assert encoding.tokens == ["<s>", "ecole", "<tag>", "fin", "<unk>", "</s>"]
    assert encoding.offsets == [(0, 0), (0, 5), (6, 11), (12, 14), (15, 19), (0, 0)]
    assert tokenizer.special_token_count == 2
    assert tokenizer.special_tokens == {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}


def test_whitespace_keeps_ids_of_songs_whole():
    tokenizer = Tokenizer.train(
        ["spotify:1 spotify:2", "spotify:1"],
        TokenizerConfig(kind="word", pre_tokenization="whitespace", min_frequency=1),
    )
    assert tokenizer.encode("spotify:2 spotify:1").tokens == ["spotify:2", "spotify:1"]
    assert tokenizer.token_to_id("spotify:1") == 2  # the most frequent word comes first


def test_rare_words_are_not_learned():
    config = TokenizerConfig(kind="word", min_frequency=3)
    tokenizer = Tokenizer.train(["often " * 3 + "twice " * 2], config)
    assert tokenizer.token_to_id("often") is not None
    assert tokenizer.token_to_id("twice") is None


def test_progress():
    progress = RecordingProgress()
    texts = corpus(10)
    Tokenizer.train(iter(texts), kind="bpe", vocab_size=300, progress=progress)
    assert progress.total == sum(map(len, texts))
    assert len(progress.notes) == 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "byte"])
@pytest.mark.parametrize("texts", [[], [""], ["", " \n"]])
def test_an_empty_corpus(kind, texts):
    told = ("0 texts", "1 text", "2 texts")[len(texts)]
    with pytest.raises(InputError, match=f"nothing to learn from: {told}, and nothing in any"):
        Tokenizer.train(texts, kind=kind)


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [
        ("byte-bpe", 200, "vocab_size 200 is too small: 2 special tokens and 256 bytes take 258"),
        ("byte", 257, "take 258"),
        ("bpe", 20, "vocab_size 20 is smaller than the alphabet.*take [0-9]+; give at least"),
        ("wordpiece", 20, "smaller than the alphabet"),
        ("unigram", 20, "smaller than the alphabet"),
        ("word", 2, "too small"),
        ("word", 0, "at least 1"),
        ("word", True, "at least 1"),
        ("word", 2.5, "at least 1"),
        ("words", 100, "kind must be one of word, char"),
    ],
)
def test_a_vocabulary_that_is_too_small(kind, size, message):
    with pytest.raises(InputError, match=message):
        Tokenizer.train(corpus(10), kind=kind, vocab_size=size)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"special_tokens": ("<a>", "<a>")}, "'<a>' is given twice"),
        ({"special_tokens": ("the",)}, "'the' collides with what texts contain"),
        ({"special_tokens": ("",)}, "collides"),
        ({"special_tokens": (".",)}, "collides"),
        ({"special_tokens": ("<0x0A>",)}, "collides"),
        ({"special_tokens": ("<größe>",)}, "decoded as other bytes"),
        ({"special_tokens": ("<pad>", "[PAD]")}, "<pad>, \\[PAD\\] collide"),
        ({"kind": "bpe", "special_tokens": ("<pad>",)}, "needs a special token for what it does"),
        ({"begin_token": "<s>"}, "begin_token '<s>' is not one of the special tokens"),
        ({"end_token": "</s>"}, "end_token '</s>'"),
        ({"pre_tokenization": "words"}, "of byte-bpe must be one of r50k, cl100k, o200k"),
        ({"normalization": "nfd"}, "one of none, nfc, nfkc"),
        ({"min_frequency": 0}, "min_frequency"),
        ({"min_frequency": 10**30}, "min_frequency can be 10,000,000 at most"),
        ({"vocab_size": 10**12}, "vocab_size can be 10,000,000 at most, not 1,000,000,000,000"),
        ({"special_tokens": "<unk>"}, "must be a list, not '<unk>'"),
        ({"special_tokens": ("<\ud800>",)}, "has a lone surrogate"),
        ({"lowercase": "yes"}, "lowercase must be true or false"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(InputError, match=message):
        TokenizerConfig(**settings)


@pytest.mark.parametrize("bad", [None, b"bytes", 3, "\ud800"])
def test_a_text_that_is_none(bad):
    with pytest.raises(InputError, match="text 1 of the corpus"):
        Tokenizer.train(["good text", bad, "more"], kind="word")


def test_an_error_of_the_callers_own_iterator_comes_through():
    def texts():
        yield "some text"
        raise KeyError("my own")

    with pytest.raises(KeyError, match="my own"):
        Tokenizer.train(texts(), kind="bpe")


def test_it_can_be_interrupted():
    """Ctrl-C while the library works; reading stops, and no thread is waited for."""
    started = threading.Event()
    read = []

    def texts():
        for number in range(10**7):
            read.append(number)
            if number == 5000:
                started.set()
            yield "endless text"

    # Tests that run in the background of a shell hand down that SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    program = threading.Timer(0, lambda: (started.wait(), interrupt()))
    program.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            Tokenizer.train(texts(), kind="word")
    finally:
        program.join()
        signal.signal(signal.SIGINT, before)
    seen = len(read)
    assert seen < 10**7


def interrupt() -> None:
    import _thread

    _thread.interrupt_main()
