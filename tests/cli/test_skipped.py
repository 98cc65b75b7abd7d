"""What a command tells of files that it passed over."""

from __future__ import annotations

import pytest

from tests.support import write

TEXT = "the cat sat on the mat\n" * 20
MODEL = ("--min-count", 1, "--vector-size", 8, "--epochs", 1, "--workers", 1)
COMMANDS = {
    "tokenizer": ("--vocab-size", 300),
    "word2vec": MODEL,
    "index": ("--db", "made"),
}


@pytest.fixture
def run(cli, tmp_path, tiny):
    """`train` or `index` of a folder of texts, of pictures, and of 25 files that are damaged."""
    write(tmp_path / "texts/a.txt", TEXT)
    for number in range(25):
        write(tmp_path / f"texts/{number}.png", b"\x89PNG")
        write(tmp_path / f"texts/{number}.txt.gz", b"no gzip")

    def command(kind):
        if kind == "index":
            return cli("index", "texts", "--model", tiny, *COMMANDS[kind])
        return cli("train", kind, "texts", "--out", "made", *COMMANDS[kind])

    return command


@pytest.mark.parametrize("kind", COMMANDS)
def test_what_is_as_it_should_be_is_counted(run, kind):
    told = run(kind).err.splitlines()
    assert "skipped 25 × binary file (.png)" in told
    assert sum(line.endswith("damaged gzip file") for line in told) == 20


@pytest.mark.parametrize(
    ("kind", "rest"),
    [("tokenizer", ""), ("word2vec", ""), ("index", "; --json lists them all")],
)
def test_a_list_is_promised_where_there_is_one(run, kind, rest):
    assert f"… and 5 more{rest}" in run(kind).err.splitlines()
