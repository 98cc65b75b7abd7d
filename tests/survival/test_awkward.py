"""Files and queries that are hard to take: one clear line for each, and the rest goes on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest

from embedsearch.collection.collection import Collection
from embedsearch.errors import InputError
from embedsearch.types import Document, Mode
from tests.encoder.tiny import make_tiny_model
from tests.fake_encoder import FakeEncoder
from tests.survival.processes import ENVIRONMENT, ROOT
from tests.survival.state import check_health, check_search, read_state
from tests.text.awkward import FOX, build_awkward

NEWLINE = "two\nlines.txt"
QUERIES = {
    "long": " ".join(f"word{number % 3000}" for number in range(10_000)),
    "one long word": "x" * 100_000,
    "fts operators": 'fox AND NOT (dog OR lazy) NEAR("quick brown", 2)',
    "fts column": "text: fox - context : dog",
    "fts star": "* fo* ^quick +brown {text}: x",
    "fts operators alone": "AND OR NOT NEAR",
    "open quote": '"quick brown',
    "quotes": "'\"`\u201e\u201c\u2019 \"\" '' fox",
    "sql": "fox'; DROP TABLE documents; --",
    "sql union": '" UNION SELECT text FROM documents --',
    "percent": "100% _fox_ \\ %s {0} $1 ?1 :name",
    "marks": "!?.,;:()[]{}<>/|\\~^*+-=&@#$%",
    "nul": "fox\x00dog",
    "controls": "\x1b[31mfox\x07\r\n\tdog\x7f",
    "emoji": "👩‍👩‍👧 🏳️‍🌈 🦊",
    "right to left": "\u202eשלום עולם، مرحبا بالعالم",
    "no language": "\u0301\u200b\ufeff\ufdd0\uffff\U000e0001",
    "cjk": "敏捷的棕色狐狸跳过懒狗",
}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("queries") / "c.es"
    with Collection.open(folder, model=FakeEncoder()) as collection:
        collection.upsert(
            Document(id=name, text=f"{FOX} {query[:500]}") for name, query in QUERIES.items()
        )
        collection.upsert([Document(id="fox", text=FOX)])
        yield collection


def test_each_bad_file_is_one_line_and_the_rest_is_indexed(tmp_path: Path) -> None:
    folder, docs = tmp_path / "c.es", tmp_path / "docs"
    docs.mkdir()
    expected = build_awkward(docs)
    with Collection.open(folder, model=FakeEncoder()) as collection:
        report = collection.sync([docs])
        reasons: dict[str, list[str]] = {}
        for skipped in report.skipped:
            name = skipped.path.split("docs/", 1)[1].partition(".jsonl:")[0]
            reasons.setdefault(name, []).append(skipped.reason)
        for name, reason in expected.items():
            if reason:
                (told,) = reasons.pop(printable(name))
                assert reason in told, name
                assert "\n" not in told
        assert all(expected[name] == "" for name in reasons if name in expected)
        assert collection.get("docs/bom16.txt").text == FOX
        assert collection.get(f"docs/{NEWLINE}").text == FOX
        assert report.added == len(collection)
        again = collection.sync([docs])
        assert (again.added, again.changed, again.removed) == (0, 0, 0)
        assert again.unchanged == report.added
    check_health(folder, 0)
    check_search(folder, read_state(folder), ["the quick brown cafe"], 0)


def printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_text_and_nothing_else(name: str, mode: Mode, collection: Collection) -> None:
    query = QUERIES[name]
    hits = collection.search(query, k=50, mode=mode)
    assert collection.search(query, k=50, mode=mode) == hits  # from postings in memory
    assert len(collection) == len(QUERIES) + 1
    if mode != "keyword":
        assert len(hits) == len(collection)
    if "fox" in query:
        assert "fox" in [hit.document_id for hit in hits]
    if mode == "keyword" and name in ("marks", "emoji"):
        assert hits == []
    for hit in hits:
        for start, end in hit.highlights:
            assert hit.snippet[start:end].strip()


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("query", ["", " ", "\n\t\u3000", "fox \ud800"])
def test_what_is_no_query_is_refused(query: str, mode: Mode, collection: Collection) -> None:
    with pytest.raises(InputError, match=r"empty|lone surrogate at character 4"):
        collection.search(query, mode=mode)


@pytest.mark.parametrize(
    "value", ["\ud800", "x\x00y", "'; DROP TABLE documents; --", "x*?[" * 2000]
)
def test_filters_and_ids_are_values(value: str, collection: Collection) -> None:
    for where in ({"id": value}, {"path": {"$glob": value}}, {"lang": value}, {value: "x"}):
        with suppress(InputError):
            assert collection.search("fox", where=where) == []
    assert collection.get(value) is None
    assert value not in collection
    assert collection.delete([value]) == 0
    with pytest.raises(LookupError, match="there is no document"):
        collection.similar(value)


def run(*arguments: str | bytes | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, ROOT / "cli.py", *arguments, "--db", folder],
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "this is a bug" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["search", "", "--mode", "keyword"], 2),
        (["search", "  ", "--mode", "keyword"], 2),
        (["search", b"fox \xff", "--mode", "keyword"], 2),
        (["search", QUERIES["long"], "--mode", "keyword"], 1),
        (["search", QUERIES["fts operators"], "--mode", "keyword"], 0),
        (["search", QUERIES["sql"], "--mode", "keyword", "--where", "lang=';--"], 1),
        (["search", "fox", "--mode", "keyword", "--where", "';--=1"], 1),
        (["search", QUERIES["right to left"], "--mode", "keyword"], 1),
        (["similar", b"\xff"], 2),
        (["delete", b"\xff", "a\nb"], 0),
        (["index", b"/nowhere/\xff\n"], 2),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_command_line_answers_in_lines(
    arguments: list[str | bytes], code: int, tmp_path: Path
) -> None:
    folder = tmp_path / "c.es"
    with Collection.open(folder, model=FakeEncoder()) as collection:
        collection.upsert([Document(id=id_, text=FOX) for id_ in ("a\x1b[2Jb", "a\nb")])
    done = run(*arguments, folder=folder)
    assert done.returncode == code, done.stderr
    # `delete` names the id that there is not.
    assert len(done.stderr.splitlines()) == (code != 0 or arguments[0] == "delete")
    assert "\x1b[2J" not in done.stdout
    if code:
        assert done.stdout == ""


@pytest.mark.slow
def test_the_whole_command_line(tmp_path: Path) -> None:
    """One real model through it all: every awkward file indexed, each problem on a line."""
    folder, docs = tmp_path / "c.es", tmp_path / "docs"
    docs.mkdir()
    expected = build_awkward(docs)
    model = make_tiny_model(tmp_path / "model")
    done = run("index", docs, "--model", model, "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    names = {entry["path"] for entry in report["skipped"]}
    for name, reason in expected.items():
        told = f"docs/{printable(name)}" in names or str(docs / printable(name)) in names
        assert told == bool(reason), name
    found = run("search", QUERIES["long"], "-k", "3", folder=folder)
    assert found.returncode == 0
    (line,) = found.stderr.splitlines()
    assert re.search(r"has \d{5,} tokens; its meaning is that of the first \d+$", line)


def test_names_of_files_cannot_break_a_line(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in (NEWLINE, "red\x1b[31m\r\nname.txt"):
        (tmp_path / "docs" / name).write_bytes(b"\0" * 9)
    done = run("index", tmp_path / "docs", folder=tmp_path / "c.es")
    assert done.returncode == 2
    assert [line.rpartition("/")[2] for line in done.stderr.splitlines()] == [
        "red\\x1b[31m  name.txt: binary file",
        "two lines.txt: binary file",
    ]
