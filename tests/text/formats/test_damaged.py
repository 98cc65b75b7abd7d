"""Tokenizer files that are damaged, cut short or something else: an error that names the file."""

import base64
import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.errors import EmbedSearchError, ModelError, NotFoundError
from embedsearch.text.formats.bytelevel import as_characters
from embedsearch.text.formats.protobuf import fields
from embedsearch.text.formats.sentencepiece import parse_model
from embedsearch.text.tokenizer import Tokenizer
from tests.text.test_training import corpus

sentencepiece = pytest.importorskip("sentencepiece")


def sp_model(kind: str, **options) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()),
        model_writer=model,
        model_type=kind,
        vocab_size=450,
        minloglevel=2,
        hard_vocab_limit=False,
        **options,
    )
    return model.getvalue()


def ranks(size: int = 256) -> bytes:
    lines = [base64.b64encode(bytes([n])) + b" %d" % n for n in range(min(size, 256))]
    lines += [base64.b64encode(b"a" * (n - 253)) + b" %d" % n for n in range(256, size)]
    return b"\n".join(lines) + b"\n"


def gpt2_files(folder: Path) -> Path:
    vocabulary = {as_characters(bytes([n])): n for n in range(256)}
    vocabulary |= {"ab": 256, "Ġab": 257, "<|endoftext|>": 258}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\na b\nĠ ab\n", encoding="utf-8")
    return folder


BERT = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\n##s\nworld\n"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("unigram", {}),
        ("unigram", {"byte_fallback": True, "add_dummy_prefix": False}),
        ("unigram", {"user_defined_symbols": ["<sep>", "fox"], "control_symbols": ["<ctl>"]}),
        ("bpe", {}),
        ("bpe", {"byte_fallback": True, "remove_extra_whitespaces": False}),
        ("bpe", {"normalization_rule_name": "identity", "add_dummy_prefix": False}),
    ],
)
def test_sentencepiece_options(kind, options, tmp_path):
    """Models trained here with what the public ones do not have."""
    path = tmp_path / "x.model"
    path.write_bytes(sp_model(kind, **options))
    reference = sentencepiece.SentencePieceProcessor(model_file=str(path))
    tokenizer = Tokenizer.load(path)
    assert tokenizer.vocab_size == reference.get_piece_size()
    chosen = random.Random(0)
    texts = ["", " ", "  a  b ", "ﬁ ½ Ａ", "zzz 敏 ж", "fox.fox the<sep>fox"] + [
        "".join(chosen.choices("foxthe ,.狐ä½\n", k=chosen.randint(1, 20))) for _ in range(500)
    ]
    for text in texts:
        assert tokenizer.encode(text).ids == reference.encode(text), text
        if not options:
            assert tokenizer.decode(tokenizer.encode(text).ids) == reference.decode(
                reference.encode(text)
            ).replace(" ⁇ ", "")
    roles = tokenizer.special_tokens
    assert (roles["unk"], roles["bos"], roles["eos"]) == ("<unk>", "<s>", "</s>")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("word", {}, "of the kind 'word'; read are unigram and bpe"),
        ("char", {}, "of the kind 'char'"),
        ("bpe", {"treat_whitespace_as_suffix": True}, "keeps spaces at the end of pieces"),
    ],
)
def test_sentencepiece_models_that_cannot_be_expressed(kind, options, message, tmp_path):
    path = tmp_path / "x.model"
    path.write_bytes(sp_model(kind, **options))
    with pytest.raises(ModelError, match=message):
        Tokenizer.load(path)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff" * 50, b"\x0a\x05abc"])
def test_no_sentencepiece_model(content, tmp_path):
    path = tmp_path / "x.model"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"x\.model.*fetch it again"):
        Tokenizer.load(path)


@pytest.fixture(scope="module")
def unigram() -> bytes:
    return sp_model("unigram")


@given(data=st.data())
def test_a_damaged_sentencepiece_model_is_read_or_refused(unigram, data, tmp_path_factory):
    """Cut short anywhere, or with a byte changed: never another exception, never a crash."""
    cut = data.draw(st.integers(0, len(unigram)))
    damaged = bytearray(unigram[:cut])
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            place = data.draw(st.integers(0, len(damaged) - 1))
            damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "x.model"
    path.write_bytes(bytes(damaged))
    try:
        Tokenizer.load(path).encode("the quick fox")
    except EmbedSearchError as error:
        assert "fetch it again" in str(error) or "read are unigram" in str(error)  # noqa: PT017


@given(st.binary(max_size=100))
def test_any_bytes_as_a_message(data):
    try:
        list(fields(data))
        parse_model(data)
    except ValueError:
        pass


def test_ranks(tmp_path):
    path = tmp_path / "my_cl100k.tiktoken"
    path.write_bytes(ranks(258))
    tokenizer = Tokenizer.load(path)
    assert tokenizer.encode("aaaa b").ids == [257, ord(" "), ord("b")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tiktoken", ranks(258), "258 ranks, which is no vocabulary known here.*cl100k"),
        ("cl100k.tiktoken", ranks(100), "cut short.*none for the byte 100"),
        ("cl100k.tiktoken", b"", "none for the byte 0"),
        ("cl100k.tiktoken", ranks() + b"YWE= 300\n", "not the numbers from 0 on"),
        ("cl100k.tiktoken", ranks() + b"YWE=", ":257 is not a token in base64 and its rank"),
        ("cl100k.tiktoken", ranks() + b"!!! 256", ":257 is not"),
        ("cl100k.tiktoken", b"<html>\n<body>\n", ":1 is not"),
    ],
)
def test_damaged_ranks(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        Tokenizer.load(path)


def test_gpt2(tmp_path):
    folder = gpt2_files(tmp_path)
    for source in (folder, folder / "vocab.json", folder / "merges.txt"):
        tokenizer = Tokenizer.load(source)
        assert tokenizer.encode("ab abc<|endoftext|>").tokens == ["ab", "Ġab", "c", "<|endoftext|>"]
        assert tokenizer.special_tokens["eos"] == "<|endoftext|>"
    tokenizer.save(tmp_path / "saved")
    assert Tokenizer.load(tmp_path / "saved").encode("ab").ids == [256]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("merges.txt", "a b\na q q\n", r"merges\.txt:2 is no merge of two tokens.*'a q q'"),
        ("merges.txt", "a b\na\n", r"merges\.txt:2"),
        ("merges.txt", "<html>", r"merges\.txt:1"),
        ("vocab.json", "{", r"vocab\.json is damaged: not JSON"),
        ("vocab.json", "[1]", "holds list, not a JSON object"),
        ("vocab.json", '{"hello": 0}', "not the vocabulary of a byte-level BPE"),
        ("vocab.json", '{"a": "x"}', "vocab.json"),
    ],
)
def test_damaged_gpt2_files(name, content, message, tmp_path):
    (gpt2_files(tmp_path) / name).write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        Tokenizer.load(tmp_path)


def test_vocab_and_merges_go_together(tmp_path):
    (gpt2_files(tmp_path) / "merges.txt").unlink()
    with pytest.raises(NotFoundError, match=r"merges\.txt is missing: vocab.json and merges.txt"):
        Tokenizer.load(tmp_path)


def test_bert(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text(BERT, encoding="utf-8")
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode("HELLOS world").ids == [2, 5, 6, 7, 3]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert Tokenizer.load(path).encode("HELLOS world").ids == [2, 1, 7, 3]


@pytest.mark.parametrize("content", ["", "hello\nworld\n", "<html>\n"])
def test_no_bert_vocabulary(content, tmp_path):
    (tmp_path / "vocab.txt").write_text(content)
    with pytest.raises(ModelError, match=r"vocab\.txt is cut short or not.*no \[UNK\]"):
        Tokenizer.load(tmp_path)


def test_a_vocabulary_that_is_not_utf8(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(BERT.encode() + b"\xff\n")
    with pytest.raises(ModelError, match=r"vocab\.txt is damaged: it is not UTF-8 at byte"):
        Tokenizer.load(tmp_path)


def test_tokenizer_json_cut_short(tmp_path):
    Tokenizer.train(corpus(20), kind="bpe", vocab_size=100).save(tmp_path)
    path = tmp_path / "tokenizer.json"
    whole = path.read_bytes()
    for cut in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:cut])
        with pytest.raises(ModelError, match=r"tokenizer\.json.*damaged"):
            Tokenizer.load(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
def test_damaged_settings(name, tmp_path):
    Tokenizer.train(corpus(20), kind="word").save(tmp_path)
    (tmp_path / name).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=f"{name} is damaged"):
        Tokenizer.load(tmp_path)


def test_special_tokens_of_a_map(tmp_path):
    Tokenizer.train(corpus(20), kind="word").save(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": {"content": "[PAD]"}}')
    assert Tokenizer.load(tmp_path).special_tokens["eos"] == "[PAD]"


def test_a_class_that_transformers_knows(tmp_path):
    """A folder without tokenizer.json whose config names a class is loaded as that class does."""
    (tmp_path / "vocab.txt").write_text(BERT.replace("hello", "Hello"), encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert Tokenizer.load(tmp_path).encode("Hellos world").ids == [2, 5, 6, 7, 3]


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"x")
    with pytest.raises(ModelError, match="is no tokenizer file known here"):
        Tokenizer.load(path)


def test_several_in_one_folder(tmp_path):
    for name in ("a.model", "b.model"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=r"several tokenizers, give one of them: a.model, b.model"):
        Tokenizer.load(tmp_path)


def test_a_hub_id(monkeypatch, tmp_path):
    """What is in the cache is used without asking; else it is fetched; without either, the way."""
    import huggingface_hub

    asked = []

    def snapshot_download(repo, **options):
        asked.append(repo)
        raise OSError("cannot reach the hub")

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(ModelError, match="to bring a tokenizer by hand, copy its"):
        Tokenizer.load("owner/name")
    assert asked == ["owner/name"]
    snapshot = tmp_path / "models--owner--name" / "snapshots" / "abc"
    reference = tmp_path / "models--owner--name" / "refs" / "main"
    for folder in (snapshot, reference.parent):
        folder.mkdir(parents=True)
    reference.write_text("abc")
    with pytest.raises(ModelError, match="cannot reach the hub"):  # nothing useful in the cache
        Tokenizer.load("owner/name")
    gpt2_files(snapshot)
    asked.clear()
    assert Tokenizer.load("owner/name").encode("ab").ids == [256]
    assert asked == []


@pytest.mark.parametrize("name", ["no/such/folder", "./missing", "missing.json", "a b"])
def test_no_such_path(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match="no tokenizer at"):
        Tokenizer.load(name)
