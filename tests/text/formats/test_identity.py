"""Every format against its reference implementation, on the sets of many languages.

Each line of the declarations of human rights (388 languages) and of the Tatoeba pairs (112): the
same ids; on every tenth the same offsets, which count characters of the line.
"""

from __future__ import annotations

import gzip
import json
import lzma
import random
import unicodedata

import pytest

from embedsearch.text.formats.bytelevel import SPLIT_PATTERNS
from embedsearch.text.formats.ranks import _parse
from embedsearch.text.tokenizer import Tokenizer

tiktoken = pytest.importorskip("tiktoken")
sentencepiece = pytest.importorskip("sentencepiece")

pytestmark = [pytest.mark.data, pytest.mark.slow]

# cl100k's own pattern, with its possessive quantifiers (tiktoken_ext/openai_public.py); the others
# stand there as they stand here, or in words that the reference does not tell apart.
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|"
    r"\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)


STEP = 10


@pytest.fixture(scope="module")
def lines(public_set) -> list[str]:
    found: list[str] = []
    with lzma.open(public_set("udhr") / "udhr.jsonl.xz", "rt", encoding="utf-8") as file:
        for line in file:
            found += json.loads(line)["text"].split("\n")
    with gzip.open(public_set("tatoeba") / "tatoeba.tsv.gz", "rt", encoding="utf-8") as file:
        for line in file:
            found += line.rstrip("\n").split("\t")[1:]
    assert len(found) > 200_000
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def documents(public_set) -> list[str]:
    with lzma.open(public_set("udhr") / "udhr.jsonl.xz", "rt", encoding="utf-8") as file:
        found = [json.loads(line)["text"] for line in file]
    assert len(found) == 388
    return found


def awkward(seed: int) -> list[str]:
    """Runs of blanks and of one character, and random characters of every script."""
    chosen = random.Random(seed)
    runs = [" " * n + "x" + " " * m + "\n" * n + "=" * m for n in range(40) for m in (0, 1, 17, 33)]
    every = [
        chr(code)
        for code in range(1, 0x20000)
        if not 0xD800 <= code < 0xE000 and unicodedata.category(chr(code)) not in ("Cn", "Co")
    ]
    some = [*"ab's S'LL ſK1٣² \n\t\r", "\u00a0", "\u2028", "\x85", "😀", "\u0301", "中", "\ufeff"]
    return runs + [
        "".join(chosen.choices(pool, k=chosen.randint(1, 12)))
        for pool in (every, some)
        for _ in range(5000)
    ]


def assert_equal(texts: list[str], found: list[list[int]], expected: list[list[int]]) -> None:
    for text, ours, theirs in zip(texts, found, expected, strict=True):
        assert ours == theirs, text


@pytest.mark.parametrize("name", SPLIT_PATTERNS)
def test_tiktoken_ranks(name, public_set, lines):
    file = public_set("tokenizers") / "tiktoken" / f"{name}_base.tiktoken"
    tokenizer = Tokenizer.load(file)
    reference = tiktoken.Encoding(
        name,
        pat_str=CL100K if name == "cl100k" else SPLIT_PATTERNS[name],
        mergeable_ranks=_parse(file),
        special_tokens={},
    )
    texts = [*lines, *awkward(1)]
    expected = reference.encode_ordinary_batch(texts, num_threads=2)
    assert_equal(texts, tokenizer.encode_ids(texts), expected)
    some, expected = texts[::STEP], expected[::STEP]
    for text, ids, encoding in zip(some, expected, tokenizer.encode_batch(some), strict=True):
        again, starts = reference.decode_with_offsets(ids)
        assert again == text
        assert [start for start, _ in encoding.offsets] == starts, text


@pytest.mark.parametrize("form", ["vocab.json", "tokenizer.json"])
def test_gpt2_files(form, public_set, lines):
    """GPT-2 is r50k with its one special token."""
    files = public_set("tokenizers")
    tokenizer = Tokenizer.load(files / "gpt2" / form)
    reference = Tokenizer.load(files / "tiktoken" / "r50k_base.tiktoken")
    assert tokenizer.vocab_size == reference.vocab_size == 50_257
    texts = [*lines[::STEP], *awkward(2)]
    assert tokenizer.encode_ids(texts) == reference.encode_ids(texts)


UNLIKE_SENTENCEPIECE = "Бэе ас"
"""One line of 260,000: SentencePiece composes и and a macron before a second macron, the backend
does not look into a cluster of so many bytes."""


@pytest.mark.parametrize(
    "file",
    ["llama2/tokenizer.model", "mistral_v3/tokenizer.model", "xlnet_base_cased/spiece.model"],
)
def test_sentencepiece_models(file, public_set, lines):
    path = public_set("tokenizers") / file
    tokenizer = Tokenizer.load(path)
    reference = sentencepiece.SentencePieceProcessor(model_file=str(path))
    byte_fallback = "xlnet" not in file
    texts = [*lines, *(awkward(3) if byte_fallback else [])]
    expected = reference.encode(texts)
    found = tokenizer.encode_ids(texts)
    unlike = [t for t, ours, ids in zip(texts, found, expected, strict=True) if ours != ids]
    some = [text for text in texts[::STEP] if text not in unlike]
    mappings = reference.encode(some, return_type="offset_mapping")
    for text, wanted, encoding in zip(some, mappings, tokenizer.encode_batch(some), strict=True):
        for ours, theirs, piece in zip(
            encoding.offsets, wanted["offsets"], wanted["pieces"], strict=True
        ):
            assert same_characters(text, ours, theirs), (text, piece)
    if byte_fallback:
        assert unlike == []
    else:
        [line] = unlike
        assert line.strip().startswith(UNLIKE_SENTENCEPIECE)


def same_characters(text: str, ours: tuple[int, int], theirs: tuple[int, int]) -> bool:
    """Whether two ranges hold the same characters, white space and combined marks aside.

    Where a character becomes several pieces, SentencePiece gives it to the last and nothing to the
    others, nor to the blank that it puts before a text; the backend gives it to all. Blanks that
    are collapsed belong to the piece before or after.
    """
    if theirs[0] == theirs[1]:
        return ours[0] == theirs[0] and ours[1] <= ours[0] + 1
    if ours == theirs:
        return True
    # Blanks to SentencePiece, not to Python: a blank of no width, marks of direction.
    text = "".join(" " if unicodedata.category(c) == "Cf" else c for c in text)
    if not text[slice(*ours)].strip():
        return not text[slice(*theirs)].strip()
    (start, end), (their_start, their_end) = trimmed(text, ours), trimmed(text, theirs)
    marks = text[min(end, their_end) : max(end, their_end)]
    return start == their_start and all(unicodedata.combining(mark) for mark in marks)


def trimmed(text: str, span: tuple[int, int]) -> tuple[int, int]:
    inside = text[slice(*span)]
    start = span[0] + len(inside) - len(inside.lstrip())
    return start, start + len(inside.strip())


@pytest.mark.parametrize(
    ("name", "lower"),
    [
        ("bert_base_uncased", True),
        ("bert_base_cased", False),
        ("bert_base_multilingual_cased", False),
    ],
)
def test_bert_vocabularies(name, lower, public_set, lines):
    from transformers import BertTokenizer

    path = public_set("tokenizers") / name / "vocab.txt"
    tokenizer = Tokenizer.load(path)
    reference = BertTokenizer(vocab=str(path), do_lower_case=lower)
    texts = [*lines, *awkward(4)]
    ids = [found.ids for found in reference.backend_tokenizer.encode_batch_fast(texts)]
    assert_equal(texts, tokenizer.encode_ids(texts), ids)
    some = texts[::STEP]
    expected = reference(some, return_offsets_mapping=True)
    for text, ids, offsets, encoding in zip(
        some,
        expected["input_ids"],
        expected["offset_mapping"],
        tokenizer.encode_batch(some),
        strict=True,
    ):
        assert encoding.ids == ids, text
        assert encoding.offsets == offsets, text


@pytest.mark.parametrize("file", ["llama2/tokenizer.model", "tiktoken/o200k_base.tiktoken"])
def test_whole_documents_come_back(file, public_set, documents):
    tokenizer = Tokenizer.load(public_set("tokenizers") / file)
    for text, ids in zip(documents, tokenizer.encode_ids(documents), strict=True):
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize(
    ("file", "text", "tokens", "ids"),
    [
        ("tiktoken/cl100k_base.tiktoken", "strawberry", ["str", "aw", "berry"], None),
        (
            "gpt2/vocab.json",
            "Hello, world!",
            ["Hello", ",", "Ġworld", "!"],
            [15496, 11, 995, 0],
        ),
    ],
)
def test_known_facts(file, text, tokens, ids, public_set):
    encoding = Tokenizer.load(public_set("tokenizers") / file).encode(text)
    assert encoding.tokens == tokens
    assert ids is None or encoding.ids == ids


def test_the_token_tax(public_set):
    """The same text in Thai, Burmese and Tibetan costs several times the English one, once."""
    files = public_set("tokenizers") / "tiktoken"
    with lzma.open(public_set("udhr") / "udhr.jsonl.xz", "rt", encoding="utf-8") as file:
        texts = {record["lang"]: record["text"] for record in map(json.loads, file)}
    languages = ["eng", "tha", "mya", "bod"]
    taxes = []
    for name in ("r50k", "o200k"):
        tokenizer = Tokenizer.load(files / f"{name}_base.tiktoken")
        english, *others = tokenizer.count([texts[language] for language in languages])
        taxes.append([count / english for count in others])
    assert all(tax > 3 for tax in taxes[0])
    assert all(new < old for old, new in zip(*taxes, strict=True))
    assert taxes[1][0] < 2
