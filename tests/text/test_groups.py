import gzip
import json
import lzma

import pytest

from embedsearch.errors import InputError, NotFoundError
from embedsearch.text.groups import TextGroup, language_of, read_groups, sentences
from tests.support import write


def by_name(groups):
    return {group.name: (list(group.texts), list(group.parallel)) for group in groups}


LINES = [
    {"lang": "en", "text": "one"},
    {"lang": "de", "text": "eins"},
    {"lang": "en", "text": "two"},
    {"metadata": {"language": "fr"}, "text": "un"},
    {"text": "nobody's"},
    {"lang": "xx", "text": " \n"},
]


@pytest.mark.parametrize(
    ("name", "pack"),
    [("a.jsonl", bytes), ("a.jsonl.gz", gzip.compress), ("a.jsonl.xz", lzma.compress)],
)
def test_json_lines_by_language(tmp_path, name, pack):
    data = "\n".join(json.dumps(line) for line in LINES) + "\n\n"
    write(tmp_path / name, pack(data.encode()))
    assert by_name(read_groups([tmp_path / name])) == {
        "en": (["one", "two"], []),
        "de": (["eins"], []),
        "fr": (["un"], []),
        "a.jsonl": (["nobody's"], []),
    }


def test_tables_with_a_parallel_text(tmp_path):
    write(tmp_path / "a.tsv", "de\teins\tone\nde\tzwei\ttwo\nfr\tun\tone\n")
    assert by_name(read_groups([str(tmp_path / "a.tsv")])) == {
        "de": (["eins", "zwei"], ["one", "two"]),
        "fr": (["un"], ["one"]),
    }
    write(tmp_path / "b.tsv", 'de\t"eins\n')  # a quotation mark is a character
    assert by_name(read_groups([tmp_path / "b.tsv"])) == {"de": (['"eins'], [])}


def test_other_files_are_a_group_each(tmp_path):
    write(tmp_path / "a.txt", "one\n\n two\n")
    write(tmp_path / "b.md", "# three\n")
    assert by_name(read_groups([tmp_path / "a.txt", tmp_path / "b.md"])) == {
        "a.txt": (["one", " two"], []),
        "b.md": (["# three"], []),
    }


def test_files_of_one_name_are_groups_of_their_own(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "index.md", f"{folder}\n")
    files = [tmp_path / "a" / "index.md", tmp_path / "b" / "index.md", tmp_path / "a" / "index.md"]
    assert by_name(read_groups(files)) == {
        str(files[0]): (["a"], []),
        str(files[1]): (["b"], []),
    }


@pytest.mark.parametrize("name", ["a.txt.xz", "a.log.XZ", "a.txt.gz"])
def test_packed_plain_text(tmp_path, name):
    pack = gzip.compress if name.endswith("gz") else lzma.compress
    write(tmp_path / name, pack(b"one\r\n\ntwo\n"))
    assert by_name(read_groups([tmp_path / name])) == {name: (["one", "two"], [])}


@pytest.mark.parametrize("name", ["a.tsv", "a.TSV", "a.jsonl", "a.JSONL"])
def test_a_byte_order_mark_is_no_part_of_a_language(tmp_path, name):
    line = "en\tone\n" if "tsv" in name.lower() else '{"lang": "en", "text": "one"}\n'
    write(tmp_path / name, f"\ufeff{line}")
    assert by_name(read_groups([tmp_path / name])) == {"en": (["one"], [])}


def test_half_a_character_is_replaced(tmp_path):
    write(tmp_path / "a.jsonl", r'{"lang": "en", "text": "a \ud83d"}')
    assert by_name(read_groups([tmp_path / "a.jsonl"])) == {"en": (["a \ufffd"], [])}


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.jsonl", '{"text": "a"}\n{bad\n', "a.jsonl:2: not JSON"),
        ("a.jsonl", '{"text": 3}\n', "a.jsonl:1: no JSON object"),
        ("a.jsonl", "[]\n", "a.jsonl:1: no JSON object"),
        ("a.jsonl", b'{"text": "\xff"}\n', "a.jsonl:1: not UTF-8"),
        ("a.jsonl", "\n", "there is no text"),
        ("a.jsonl.gz", b"no gzip", "a.jsonl.gz: cannot be read"),
        ("a.jsonl.xz", b"no xz", "a.jsonl.xz: cannot be read"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "a"}', mtime=0)[:-9], "a.jsonl.gz: cannot be read"),
        ("a.tsv", "one field\n", "a.tsv:1: 1 fields"),
        ("a.tsv", "de\teins\tone\nde\tzwei\n", "a.tsv:2: 2 fields"),
        ("a.txt", "", "a.txt: empty"),
        ("a.png", b"\x89PNG\0", "a.png: binary"),
    ],
)
def test_bad_files(tmp_path, name, content, part):
    with pytest.raises(InputError, match=part):
        read_groups([write(tmp_path / name, content)])


def test_a_file_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr("embedsearch.text.groups.MAX_BYTES", 100)
    packed = lzma.compress(b'{"text": "' + b"a" * 200 + b'"}')
    with pytest.raises(InputError, match="larger than 100 bytes"):
        read_groups([write(tmp_path / "a.jsonl.xz", packed)])


def test_no_file(tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        read_groups([tmp_path / "nowhere.txt"])
    with pytest.raises(InputError, match="no text"):
        read_groups([])


@pytest.mark.parametrize(
    ("texts", "parallel", "part"),
    [
        (["a"], ["a", "b"], "1 text and 2 parallel ones"),
        ([3], [], "int"),
        (["\ud800"], [], "lone surrogate"),
    ],
)
def test_groups_that_make_no_sense(texts, parallel, part):
    with pytest.raises(InputError, match=part):
        TextGroup(name="x", texts=texts, parallel=parallel)


def test_language_of():
    assert language_of({"lang": "de", "language": "fr"}) == "fr"
    assert language_of({"lang": ""}) is None
    assert language_of({"lang": 3}) is None


def test_sentences():
    assert sentences("One. Two?  Three!\nFour\n\n 五。六 v1.2 3") == [
        "One.",
        "Two?",
        "Three!",
        "Four",
        "五。",
        "六 v1.2 3",
    ]
    assert sentences(" \n ") == []
