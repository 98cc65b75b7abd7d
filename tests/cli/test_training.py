"""`train tokenizer` and `train terms`: thin, so what is tested is what they add to the calls."""

import gzip
import json

import pytest

from embedsearch.text.tokenizer import Tokenizer
from tests.cli.test_commands import assert_error
from tests.text.test_training import corpus


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    lines = corpus(200)
    (folder / "a.txt").write_text("\n".join(lines[:100]), encoding="utf-8")
    (folder / "b.txt.gz").write_bytes(gzip.compress("\n".join(lines[100:]).encode()))
    (folder / "c.jsonl").write_text('{"text": "the sentencepiece fox"}\n' * 120, encoding="utf-8")
    (folder / "d.md").write_text("# Heading\n\nthe quick *fox*\n", encoding="utf-8")
    (folder / "e.pdf").write_bytes(b"%PDF-")
    return folder


def test_train_tokenizer(cli, texts, tmp_path):
    out = tmp_path / "out"
    outcome = cli(
        *("train", "tokenizer", texts, "--out", out, "--kind", "wordpiece", "--lowercase"),
        *("--vocab-size", 300, "--json"),
    )
    assert outcome.code == 0
    assert outcome.json.keys() == {"vocab_size", "path", "kind", "seconds"}
    assert outcome.json["kind"] == "wordpiece"
    tokenizer = Tokenizer.load(out)
    assert tokenizer.vocab_size == outcome.json["vocab_size"] <= 300
    assert tokenizer.encode("THE fox").tokens == ["[CLS]", "the", "fox", "[SEP]"]
    settings = json.loads((out / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["training"]["lowercase"] is True
    assert "e.pdf" in outcome.err


def test_what_was_trained_is_no_text(cli, texts):
    for out in ("texts", "texts/own"):
        command = ("train", "tokenizer", "texts", "--out", out, "--min-frequency", 1)
        assert cli(*command).code == 0
        first = Tokenizer.load(out).vocabulary()
        assert cli(*command).code == 0
        assert Tokenizer.load(out).vocabulary() == first
        (texts / "tokenizer.json").unlink(missing_ok=True)
        (texts / "tokenizer_config.json").unlink(missing_ok=True)


def test_a_file_is_no_folder_to_train_into(cli, texts):
    (texts / "made").write_text("mine", encoding="utf-8")
    assert_error(cli("train", "tokenizer", "texts", "--out", "texts/made"), "is a file: --out")
    assert_error(cli("train", "tokenizer", "texts", "--out", "w" * 300), "too long for a path")
    assert (texts / "made").read_text(encoding="utf-8") == "mine"


def test_settings(cli, texts, tmp_path):
    outcome = cli(
        *("train", "tokenizer", texts / "c.jsonl", "--out", "out", "--kind", "word"),
        *("--special-token", "<unk>", "--special-token", "<s>", "--begin-token", "<s>"),
        *("--min-frequency", "1", "--normalization", "nfkc", "--strip-accents"),
        *("--pre-tokenization", "whitespace"),
    )
    assert outcome.code == 0
    assert outcome.out == "5 tokens in out\n"
    assert "what is not in the vocabulary becomes <unk>" in outcome.err
    tokenizer = Tokenizer.load(tmp_path / "out")
    assert tokenizer.vocabulary().keys() == {"<unk>", "<s>", "fox", "sentencepiece", "the"}
    assert tokenizer.encode("thé").tokens == ["<s>", "the"]


def test_train_terms(cli, texts, tmp_path):
    assert (
        cli("train", "tokenizer", texts / "a.txt", "--out", "base", "--vocab-size", 300).code == 0
    )
    command = ("train", "terms", "base", texts, "--out", "more", "--limit", 1)
    outcome = cli(*command, "--term", "zebra", "--special-token", "<|user|>", "--json")
    assert outcome.code == 0
    assert [term["text"] for term in outcome.json["terms"]] == ["sentencepiece"]
    assert outcome.json["terms"][0]["count"] == 120
    assert outcome.json["added"] == 5  # each word alone and behind a blank, and the tag
    tokenizer = Tokenizer.load(tmp_path / "more")
    assert tokenizer.encode("a sentencepiece").tokens == ["a", "Ġsentencepiece"]
    shown = cli(*command, "--min-count", 2, "--min-pieces", 4)
    assert "sentencepiece" in shown.out
    assert "302 tokens in more" in shown.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "no such file or folder"),
        (["empty"], "there is no text in"),
        (["texts/e.pdf"], "there is no text in"),
        (["texts", "--vocab-size", "9"], "vocab_size 9 is too small"),
        (["texts", "--kind", "bpe", "--vocab-size", "9"], "smaller than the alphabet"),
        (["texts", "--kind", "words"], "Invalid value for '--kind'"),
        (["texts", "--special-token", "the"], "collides with what texts contain"),
        (["latin1.txt"], "latin1.txt:1: not UTF-8"),
    ],
)
def test_bad_input_is_one_line(cli, texts, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin1.txt").write_bytes("caf\xe9 ".encode("latin-1") * 10)
    outcome = cli("train", "tokenizer", *arguments, "--out", "out")
    assert outcome.code == 2
    assert outcome.out == ""
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_is_not_there(cli, texts):
    outcome = cli("train", "terms", "./missing", texts, "--out", "out")
    assert outcome.code == 2
    assert "no tokenizer at" in outcome.err
