"""The commands that make tokenizers visible."""

import json
import re
import sys

import pytest

from tests.cli.test_commands import EVIL, assert_error, printable
from tests.support import write
from tests.text.toys import byte_bpe, wordpiece

KEYS = {"tokenizer", "ids", "tokens", "offsets", "count"}


@pytest.fixture
def toys(cli, tmp_path):
    """Folders `byte` and `wordpiece` in the working directory."""
    for name, made in (("byte", byte_bpe()), ("wordpiece", wordpiece())):
        write(tmp_path / name / "tokenizer.json", made._backend.to_str())
    return tmp_path


def test_tokenize_as_json(cli, toys):
    outcome = cli("tokenize", "the cafés", "-t", "byte", "-t", "./wordpiece", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    byte, pieces = outcome.json
    assert byte.keys() >= KEYS
    assert (byte["tokenizer"], pieces["tokenizer"]) == ("byte", "./wordpiece")
    for found, made in ((byte, byte_bpe()), (pieces, wordpiece())):
        expected = made.encode("the cafés")
        assert found["ids"] == expected.ids
        assert found["tokens"] == expected.tokens
        assert found["offsets"] == [list(span) for span in expected.offsets]
        assert found["count"] == len(expected.ids)
    assert byte["lossless"]
    assert pieces["normalized"] == "the cafes"


def test_tokenize_for_people(cli, toys):
    outcome = cli("tokenize", "Hello cafe 🐙", "-t", "byte", "-t", "wordpiece")
    assert (outcome.code, outcome.err) == (0, "")
    assert "\x1b" not in outcome.out
    byte = byte_bpe().encode("Hello cafe 🐙")
    for number in byte.ids:
        assert re.search(rf"\b{number}\b", outcome.out)
    assert "⟨20 f0 9f⟩│⟨90⟩│⟨99⟩" in outcome.out
    assert "«[CLS]»│" in outcome.out
    assert "¿🐙?" in outcome.out
    assert "added      [CLS] (2) [SEP] (3), which are not in the text" in outcome.out
    assert "changed    'H' → 'h'" in outcome.out
    assert "unknown    not in the vocabulary: '🐙'" in outcome.out
    assert "lost       the tokens give back 'hello cafe [UNK]'" in outcome.out
    assert "tokens are parts of '🐙'" in outcome.out


def test_tokenize_in_colour(cli, toys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = cli("tokenize", "the cat", "-t", "byte").out
    assert "\x1b[" in coloured
    assert "│" not in coloured
    monkeypatch.delenv("FORCE_COLOR")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in cli("tokenize", "the cat", "-t", "byte").out


def test_rows_fit_the_width(cli, toys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    out = cli("tokenize", "the cat sat on the mat " * 20, "-t", "byte").out
    cells = [line for line in out.splitlines() if "│" in line]
    assert len(cells) > 5
    assert max(map(len, cells)) <= 60


def test_tokenize_with_the_default_model(cli):
    [found] = cli("tokenize", "strawberry", "--json").json
    assert (found["tokenizer"], found["ids"]) == ("all-MiniLM-L6-v2", [101, 16876, 102])


def test_several_texts(cli, toys):
    found = cli("tokenize", "the", "", "-t", "byte", "--json").json
    assert [each["text"] for each in found] == ["the", ""]
    assert found[1]["count"] == 0
    assert "0 tokens" in cli("tokenize", "", "-t", "byte").out


def test_control_characters_are_shown(cli, toys):
    for arguments in (("-t", "byte"), ("-t", "wordpiece"), ("-t", f"nowhere{EVIL}")):
        outcome = cli("tokenize", f"cat{EVIL}[31m", *arguments)
        assert printable(outcome.out)
        assert printable(outcome.err)


def test_vectors(cli, tiny):
    [found] = cli("tokenize", "the cat", "--vectors", tiny, "--json").json
    assert found.keys() >= {*KEYS, "static", "contextual", "neighbours"} - {"tokenizer"}
    assert [len(found[key]) for key in ("ids", "static", "contextual")] == [4, 4, 4]
    out = cli("tokenize", "the cat", "--vectors", tiny).out
    assert "«[CLS]»" in out
    assert "32 numbers" in out


def test_one_word_compared(cli, tiny, tmp_path):
    texts = ("the cat sat", "the dog ran after the cat")
    outcome = cli("tokenize", *texts, "--vectors", tiny, "--compare", "cat", "--json")
    assert outcome.code == 0
    assert outcome.json["word"] == "cat"
    assert outcome.json["static"] == [[pytest.approx(1)] * 2] * 2
    assert outcome.json["contextual"][0][1] < 0.9999
    out = cli("tokenize", *texts, "--vectors", tiny, "--compare", "cat").out
    assert "1  the cat sat  cat" in out
    assert out.count("1.00") >= 6
    pytest.importorskip("matplotlib")
    outcome = cli("tokenize", *texts, "--vectors", tiny, "--compare", "cat", "--plot", "cat.png")
    assert "cat.png" in outcome.err
    assert (tmp_path / "cat.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("a", "-t", "nowhere/at/all"), ["nowhere"]),
        (("a", "-t", "byte", "-t", "byte"), ["twice"]),
        (("a", "--vectors", "./nowhere"), ["nowhere"]),
        (("a", "--vectors", "all-MiniLM-L6-v2", "-t", "byte"), ["leave out -t"]),
        (("a", "b", "--compare", "cat"), ["'cat' is not in 'a'"]),
        (("a", "--plot", "x.png"), ["--compare"]),
        (("a", "--compare", "a", "--plot", "x.exe"), ["x.exe", ".png"]),
        ((), ["Missing argument"]),
    ],
)
def test_wrong_use_of_tokenize(cli, toys, arguments, parts):
    assert_error(cli("tokenize", *arguments), *parts)


LINES = [
    {"lang": "en", "text": "the cat sat on the mat"},
    {"lang": "th", "text": "สวัสดีชาวโลก สวัสดี"},
]


def test_compare(cli, toys):
    write(toys / "a.jsonl", "".join(json.dumps(line) + "\n" for line in LINES))
    arguments = ("tokenizers", "compare", "a.jsonl", "-t", "byte", "-t", "wordpiece")
    outcome = cli(*arguments, "--price", "3", "--context", "64", "--reference", "en", "--json")
    assert outcome.code == 0
    assert (outcome.json["basis"], outcome.json["price"]) == ("same texts", 3.0)
    byte = outcome.json["tokenizers"][0]
    assert byte["tokenizer"] == "byte"
    english, thai = byte["groups"]
    assert english["ratio"] == 1
    assert thai["ratio"] == thai["tokens"] / english["tokens"]
    assert english["context_share"] == english["tokens"] / 64
    assert byte["cost"] == pytest.approx(byte["tokens"] * 3e-6)
    outcome = cli(*arguments, "--price", "3")
    assert outcome.code == 0
    assert "price" in outcome.out
    assert re.search(r"en +\d+ +1\.00×", outcome.out)
    assert "same texts, compared with" in outcome.out


def test_compare_with_many_languages(cli, toys):
    lines = [{"lang": f"l{n:02}", "text": "the cat " * (n + 1)} for n in range(50)]
    write(toys / "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    out = cli("tokenizers", "compare", "a.jsonl", "-t", "byte").out
    assert "… 20 more" in out
    shown = re.findall(r"^ (l\d\d) ", out, re.MULTILINE)
    assert shown == [f"l{n:02}" for n in [*range(49, 29, -1), *range(9, -1, -1)]]


def test_compare_draws(cli, toys):
    pytest.importorskip("matplotlib")
    write(toys / "a.txt", "the cat sat\non the mat\n")
    outcome = cli("tokenizers", "compare", "a.txt", "-t", "byte", "--plots", "plots", "--json")
    assert outcome.code == 0
    assert {path.name for path in (toys / "plots").iterdir()} == {
        "lengths.png",
        "compression.png",
        "index.html",
        "data.json",
    }
    assert "index.html" in outcome.err


def test_compare_without_matplotlib(cli, toys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    write(toys / "a.txt", "the cat\n")
    outcome = cli("tokenizers", "compare", "a.txt", "-t", "byte", "--plots", "plots")
    assert_error(outcome, "pip install 'embedsearch[plots]'")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("nowhere.txt",), "no such file"),
        (("bad.tsv",), "bad.tsv:1"),
        (("a.txt", "--context", "0"), "context_window"),
        (("a.txt", "--price", "-1"), "price"),
        (("a.txt", "--reference", "zz"), "'zz'"),
        ((), "Missing argument"),
    ],
)
def test_wrong_use_of_compare(cli, toys, arguments, part):
    write(toys / "a.txt", "the cat\n")
    write(toys / "bad.tsv", "one field\n")
    assert_error(cli("tokenizers", "compare", *arguments, "-t", "byte"), part)


def test_evaluate_tokenizer(cli, toys):
    corpus = [
        {"_id": "1", "text": "the cat sat on the mat", "metadata": {"lang": "en"}},
        {"_id": "2", "text": "สวัสดีชาวโลก", "metadata": {"lang": "th"}},
    ]
    write(toys / "set/corpus.jsonl", "".join(json.dumps(line) + "\n" for line in corpus))
    write(toys / "set/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\t1\t1\n")
    arguments = ("evaluate", "tokenizer", "set", "-t", "byte", "-t", "wordpiece", "--limit", "5")
    outcome = cli(*arguments, "--json")
    assert outcome.code == 0
    byte = outcome.json[0]
    counts = byte_bpe().count([line["text"] for line in corpus])
    assert (byte["tokenizer"], byte["documents"], byte["tokens"]) == ("byte", 2, sum(counts))
    [cut] = byte["cut_off"]
    assert cut["limit"] == 5
    assert cut["tokens_cut"] == sum(max(0, count - 5) for count in counts)
    assert [each["language"] for each in byte["languages"]] == ["en", "th"]
    out = cli(*arguments).out
    assert "beyond 5" in out
    assert "1 of the 1 documents that answer a question lose their end" in out
    assert re.search(r"\bth +1 ", out)
    assert_error(cli("evaluate", "tokenizer", "nowhere"), "nowhere")
    assert_error(cli("evaluate", "tokenizer", "set", "--limit", "0"), "limit")
