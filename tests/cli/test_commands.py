"""Every command: its JSON, its exit code, what a person reads, what goes to stderr."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from embedsearch.cli.main import main
from tests.support import touch, write

COUNTS = {"added", "changed", "removed", "unchanged", "skipped", "chunks"}
INDEX_KEYS = COUNTS | {"truncated_tokens", "seconds"}
HIT_KEYS = {"rank", "document_id", "score", "text", "start", "end", "metadata"}
STATUS_KEYS = {"documents", "chunks", "model", "fingerprint", "engine", "index", "size_bytes"}
EVALUATION_KEYS = {"ndcg@10", "recall@100", "mrr@10", "map", "queries", "documents", "mode"}


def one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1


def assert_error(outcome, *parts: str, code: int = 2) -> None:
    """A line on stderr, nothing on stdout, no traceback."""
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.startswith("embedsearch: ")
    assert one_line(outcome.err)
    assert "Traceback" not in outcome.err
    for part in parts:
        assert part in outcome.err


# index


def test_index_tells_what_it_did_as_json(cli, home, tiny):
    outcome = cli("index", "docs", "--json")
    assert outcome.code == 0
    assert outcome.json.keys() >= INDEX_KEYS
    assert outcome.json["unchanged"] == 5
    assert outcome.json["added"] == outcome.json["changed"] == outcome.json["removed"] == 0
    assert outcome.json["skipped"] == [
        {"path": str(home / "docs/image.png"), "reason": "binary file (.png)"}
    ]
    assert isinstance(outcome.json["seconds"], float)
    assert outcome.err == ""


def test_index_a_new_folder(cli, tmp_path, tiny):
    write(tmp_path / "docs/a.md", "# A\n\nThe cat sat on the mat.")
    write(tmp_path / "docs/b.jsonl", '{"_id": "1", "text": "music"}\n{bad\n')
    outcome = cli("index", "docs", "--model", tiny, "--json")
    assert outcome.code == 0
    assert {key: outcome.json[key] for key in INDEX_KEYS - {"seconds"}} == {
        "added": 2,
        "changed": 0,
        "removed": 0,
        "unchanged": 0,
        "chunks": 2,
        "truncated_tokens": 0,
        "skipped": outcome.json["skipped"],
    }
    [skipped] = outcome.json["skipped"]
    assert skipped["path"] == "docs/b.jsonl:2"
    assert (tmp_path / ".embedsearch").is_dir()


def test_index_reads_well(cli, home):
    write(home / "docs/new.txt", "python code")
    (home / "docs/bread.md").unlink()
    outcome = cli("index", "docs")
    assert outcome.code == 0
    assert "1 added, 0 changed, 1 removed, 4 unchanged" in outcome.out
    assert outcome.err == "skipped 1 × binary file (.png)\n"


def test_a_rehearsal_says_that_it_is_one(cli, home):
    (home / "docs/bread.md").unlink()
    outcome = cli("index", "docs", "--dry-run")
    assert outcome.code == 0
    assert "would be: 0 added, 0 changed, 1 removed, 4 unchanged" in outcome.out
    assert cli("status", "--json").json["documents"] == 5


def test_a_rehearsal_on_nothing_leaves_nothing(cli, tmp_path, tiny):
    write(tmp_path / "docs/a.txt", "the cat sat")
    before = sorted(tmp_path.rglob("*"))
    for db in (".embedsearch", "new/folders/x.es"):
        outcome = cli("index", "docs", "--dry-run", "--model", tiny, "--db", db)
        assert (outcome.code, outcome.out[:20]) == (0, "would be: 1 added, 0")
        assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "mine").mkdir()
    assert cli("index", "docs", "--dry-run", "--model", tiny, "--db", "mine").code == 0
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("nowhere",),
        ("docs", "--glob", "["),
        ("docs", "--model", "./nowhere"),
        ("docs", "--index", "nonsense"),
        ("docs", "--device", "gpu"),
    ],
)
def test_an_index_that_fails_at_once_leaves_nothing(cli, tmp_path, tiny, arguments):
    write(tmp_path / "docs/a.txt", "the cat sat")
    before = sorted(tmp_path.rglob("*"))
    model = () if "--model" in arguments else ("--model", tiny)
    assert_error(cli("index", *arguments, *model))
    assert sorted(tmp_path.rglob("*")) == before
    assert_error(cli("search", "cat"), "there is no collection in /", "embedsearch index PATH")


def test_an_index_that_fails_leaves_what_was_there(cli, home):
    assert_error(cli("index", "nowhere"))
    assert cli("status", "--json").json["documents"] == 5


def test_files_that_are_rightly_passed_over_are_counted(cli, tmp_path, tiny):
    write(tmp_path / ".gitignore", "*.log\n")
    for name in ("a.log", "b.log", "a.png", "b.png", ".hidden"):
        write(tmp_path / name, "x")
    write(tmp_path / "a.txt", "the cat sat")
    write(tmp_path / "broken.txt", b"a\0b")
    outcome = cli("index", ".", "--model", tiny)
    assert outcome.err.splitlines() == [
        "skipped broken.txt: binary file",
        "skipped 2 × hidden",
        "skipped 2 × named in .gitignore",
        "skipped 2 × binary file (.png)",
        "skipped 1 × the collection itself",
    ]


def test_index_options_reach_the_sync(cli, home):
    (home / "docs/bread.md").unlink()
    (home / "docs/deep/rocket.txt").unlink()
    assert cli("index", "docs", "--no-prune", "--json").json["removed"] == 0
    assert cli("index", "docs", "--glob", "*.md", "--json").json["removed"] == 1
    write(home / "docs/big.txt", "word " * 300_000)
    outcome = cli("index", "docs", "--max-document-mb", "1", "--json")
    assert (outcome.json["removed"], outcome.code) == (1, 0)
    assert "larger than 1 MiB" in [entry["reason"] for entry in outcome.json["skipped"]]


def test_index_exit_codes(cli, tmp_path, tiny):
    (tmp_path / "empty").mkdir()
    assert cli("index", "empty", "--model", tiny).code == 1  # nothing found
    assert cli("index", "empty", "--db", "empty/c").code == 1  # but the collection itself
    outcome = cli("search", "cat")
    assert outcome.err.startswith("nothing found: the collection is empty; `embedsearch index")
    write(tmp_path / "bad/a.txt", b"\0\0")
    assert cli("index", "bad").code == 2  # bad input, and nothing else
    write(tmp_path / "bad/b.txt", "the cat")
    assert cli("index", "bad", "--model", tiny).code == 0  # something to show
    (tmp_path / "bad/b.txt").unlink()
    assert cli("index", "bad").code == 0  # something was removed
    assert cli("index", "bad").code == 2
    assert_error(cli("index", "nowhere"), "no such file or folder", "nowhere")


# search and similar


def test_search_as_json(cli, home):
    outcome = cli("search", "how do I log in when I forgot the password?", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    hits = outcome.json
    assert [hit["rank"] for hit in hits] == list(range(1, len(hits) + 1))
    assert all(hit.keys() >= HIT_KEYS for hit in hits)
    best = hits[0]
    assert best["document_id"] == "docs/login.md"
    text = (home / "docs/login.md").read_text()
    assert text[best["start"] : best["end"]] == best["text"]
    assert best["metadata"] == {}
    assert all(isinstance(hit["score"], float) for hit in hits)


@pytest.mark.parametrize("mode", ["hybrid", "semantic", "keyword"])
def test_search_options_reach_the_search(cli, home, mode):
    def ids(*options):
        return [
            h["document_id"] for h in cli("search", "band", "--mode", mode, "--json", *options).json
        ]

    assert ids("-k", 1) == ["song 1"]
    assert ids("--where", "lang=en") == ["song 1"]
    assert ids("--where", "year=1999", "--where", "id=song*", "-k", 1) == ["song 1"]
    assert ids("--where", "path=docs/music.jsonl", "--k", 1) == ["song 1"]
    assert ids("--where", "lang=fr") == []
    assert ids("--by", "chunk", "-k", 1) == ["song 1"]


def test_where_reads_numbers_also_as_strings(cli, home):
    def ids(condition):
        hits = cli("search", "the", "--where", condition, "--json").json
        return sorted(hit["document_id"] for hit in hits)

    assert ids("year=1999") == ["song 1", "song 2"]
    assert ids("year>=1999") == ["song 1", "song 2"]
    assert ids("year!=1999") == ["docs/bread.md", "docs/deep/rocket.txt", "docs/login.md"]
    assert ids("id!=7") == sorted({*ids("id!=song 1"), "song 1"})


def test_search_for_people(cli, home):
    outcome = cli("search", "reset link", "-k", 2)
    assert (outcome.code, outcome.err) == (0, "")
    assert " 1. Log in › Reset  " in outcome.out or " 1. Log in  " in outcome.out
    assert "docs/login.md" in outcome.out
    assert re.search(r"  \d\.\d{3}\n", outcome.out)
    assert "The reset link is sent by email." in " ".join(outcome.out.split())
    assert " 2. " in outcome.out
    assert " 3. " not in outcome.out
    assert "\x1b" not in outcome.out  # no colours where no terminal is


@pytest.mark.parametrize("columns", ["0", "3", "19"])
def test_a_terminal_of_no_width_is_taken_for_a_usual_one(cli, home, monkeypatch, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    usual = cli("search", "reset link", "-k", 2)
    monkeypatch.setenv("COLUMNS", columns)
    assert cli("search", "reset link", "-k", 2) == usual


def test_a_hit_without_a_title_goes_by_its_id(cli, home):
    outcome = cli("search", "rocket", "-k", 1, "--mode", "keyword")
    assert outcome.out.startswith(" 1. docs/deep/rocket.txt  ")
    assert outcome.out.count("docs/deep/rocket.txt") == 1


def test_nothing_found(cli, home):
    outcome = cli("search", "cat", "--where", "lang=fr")
    assert (outcome.code, outcome.out, outcome.err) == (1, "", "nothing found\n")
    outcome = cli("search", "cat", "--where", "lang=fr", "--json")
    assert (outcome.code, outcome.json, outcome.err) == (1, [], "")


def test_similar(cli, home):
    outcome = cli("similar", "docs/login.md", "-k", 3, "--json")
    assert outcome.code == 0
    assert len(outcome.json) == 3
    assert all(hit.keys() >= HIT_KEYS for hit in outcome.json)
    assert "docs/login.md" not in [hit["document_id"] for hit in outcome.json]
    [hit] = cli("similar", "song 1", "--where", "lang=de", "--json").json
    assert hit["document_id"] == "song 2"
    outcome = cli("similar", "song 1", "-k", 1)
    assert outcome.out.startswith(" 1. ")
    assert_error(cli("similar", "nowhere"), "there is no document 'nowhere'")
    assert cli("similar", "song 1", "--where", "lang=fr", "--json").code == 1


# status and doctor


def test_status(cli, home, tiny):
    outcome = cli("status", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    status = outcome.json
    assert status.keys() == STATUS_KEYS
    assert status["index"].keys() >= {"kind", "vectors", "generation", "recall"}
    assert (status["index"]["measured"], status["index"]["stale"]) == (None, "")
    assert (status["documents"], status["model"]) == (5, str(tiny))
    assert status["chunks"] == status["index"]["vectors"] >= 5
    assert re.fullmatch(r"[0-9a-f]{64}", status["fingerprint"])
    assert (status["index"]["generation"], status["index"]["recall"]) == (1, 1.0)
    assert status["size_bytes"] > 10_000
    for_people = cli("status").out
    for value in ("5", str(tiny), status["fingerprint"][:16], status["index"]["kind"]):
        assert value in for_people


def test_status_of_a_new_collection(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    cli("index", "empty")
    status = cli("status", "--json").json
    assert status["documents"] == status["chunks"] == status["index"]["vectors"] == 0
    assert (status["model"], status["fingerprint"]) == (None, None)
    assert "none yet" in cli("status").out


def test_status_of_a_single_chunk(cli, tmp_path, tiny):
    write(tmp_path / "a.txt", "a cat")
    cli("index", "a.txt", "--model", tiny)
    assert re.search(r", 1 vector, generation 1, recall 1$", cli("status").out, re.MULTILINE)


def test_doctor(cli, home):
    outcome = cli("doctor", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json["ok"] is True
    assert all(c.keys() == {"check", "ok", "detail", "remedy"} for c in outcome.json["checks"])
    assert all(check["ok"] for check in outcome.json["checks"])
    for_people = cli("doctor")
    assert for_people.code == 0
    assert len(for_people.out.splitlines()) == len(outcome.json["checks"])


def test_doctor_finds_something(cli, home):
    [file] = (home / ".embedsearch/index").iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    touch(file)
    outcome = cli("doctor", "--json")
    assert (outcome.code, outcome.json["ok"]) == (1, False)
    [wrong] = [check for check in outcome.json["checks"] if not check["ok"]]
    assert wrong["check"] == "index file"
    for_people = cli("doctor")
    assert for_people.code == 1
    assert "FAIL  index file: " in for_people.out
    assert wrong["remedy"] in for_people.out


def test_doctor_without_a_collection(cli):
    outcome = cli("doctor", "--json")
    assert (outcome.code, outcome.json["ok"]) == (1, False)


# delete, vacuum, reindex, export


def test_delete(cli, home):
    outcome = cli("delete", "song 1", "docs/bread.md", "nowhere", "--json")
    assert (outcome.code, outcome.json, outcome.err) == (0, {"deleted": 2}, "")
    outcome = cli("delete", "song 1", "--json")
    assert (outcome.code, outcome.json) == (1, {"deleted": 0})
    outcome = cli("delete", "song 2", "./docs/login.md")
    assert (outcome.code, outcome.out) == (0, "1 deleted\n")
    assert outcome.err == "there is no document './docs/login.md'\n"
    assert cli("status", "--json").json["documents"] == 2
    assert cli("index", "docs", "--json").json["added"] == 3


def test_vacuum(cli, home):
    cli("delete", "docs/login.md")
    outcome = cli("vacuum", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert isinstance(outcome.json["freed_bytes"], int)
    for path in (home / ".embedsearch").rglob("*"):
        assert not path.is_file() or b"reset link" not in path.read_bytes()
    assert "MB freed" in cli("vacuum").out


def test_reindex_with_another_model(cli, home, tiny, other):
    before = cli("status", "--json").json
    outcome = cli("reindex", "--model", other, "--json")
    assert outcome.code == 0
    assert outcome.json.keys() >= COUNTS
    assert (outcome.json["changed"], outcome.json["embedded"]) == (5, before["chunks"])
    after = cli("status", "--json").json
    assert (after["model"], after["documents"], after["chunks"]) == (
        str(other),
        5,
        before["chunks"],
    )
    assert after["fingerprint"] != before["fingerprint"]
    question = "the satellite orbits the moon in space"
    [hit] = cli("search", question, "-k", 1, "--mode", "semantic", "--json").json
    assert hit["document_id"] == "docs/deep/rocket.txt"
    assert cli("doctor").code == 0
    assert cli("reindex").out.startswith("0 added, 5 changed")


def test_another_model_is_refused_with_the_way_out(cli, home, tiny, other):
    prints = [cli("status", "--json").json["fingerprint"][:16]]
    assert_error(cli("index", "docs", "--model", other), "reindex --model", *prints)
    cli("reindex", "--model", other)
    prints.append(cli("status", "--json").json["fingerprint"][:16])
    assert_error(cli("index", "docs", "--model", tiny), "reindex --model", *prints)


def test_export_to_stdout(cli, home):
    outcome = cli("export")
    assert (outcome.code, outcome.err) == (0, "")
    documents = [json.loads(line) for line in outcome.out.splitlines()]
    assert [d["_id"] for d in documents] == [
        "docs/bread.md",
        "docs/deep/rocket.txt",
        "docs/login.md",
        "song 1",
        "song 2",
    ]
    assert documents[3]["metadata"] == {"lang": "en", "year": 1999}
    assert cli("export", "--json").json == documents


def test_export_to_a_file(cli, home):
    outcome = cli("export", "--out", "out.jsonl")
    assert (outcome.code, outcome.out) == (0, "")
    assert "5 documents written to out.jsonl" in outcome.err
    assert (home / "out.jsonl").read_text() == cli("export").out
    outcome = cli("export", "--out", "again.jsonl", "--json")
    assert outcome.json == {"documents": 5, "path": "again.jsonl"}
    assert_error(cli("export", "--out", "nowhere/out.jsonl"), "nowhere")


# evaluate


def test_evaluate_search(cli, tmp_path, tiny):
    corpus = [
        {"_id": "1", "title": "", "text": "the cat sat on the mat"},
        {"_id": "2", "title": "", "text": "the stock market fell"},
        {"_id": "3", "title": "", "text": "the rocket launched into space"},
    ]
    write(tmp_path / "set/corpus.jsonl", "".join(json.dumps(d) + "\n" for d in corpus))
    write(tmp_path / "set/queries.jsonl", '{"_id": "q", "text": "rocket in space"}\n')
    write(tmp_path / "set/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\t3\t1\n")
    outcome = cli("evaluate", "search", "set", "--model", tiny, "--json")
    assert outcome.code == 0
    assert outcome.json.keys() >= EVALUATION_KEYS | {"seconds"}
    assert (outcome.json["queries"], outcome.json["documents"]) == (1, 3)
    assert [outcome.json[name] for name in ("ndcg@10", "recall@100", "mrr@10", "map")] == [1.0] * 4
    outcome = cli("evaluate", "search", "set", "--model", tiny, "--mode", "keyword")
    assert outcome.code == 0
    assert re.search(r"ndcg@10 +1\.0000", outcome.out)
    assert_error(cli("evaluate", "search", "nowhere"), "nowhere")
    assert not (tmp_path / ".embedsearch").exists()


# Where the collection is


def test_db_and_the_environment_name_the_collection(cli, home, monkeypatch, tmp_path):
    shutil.move(home / ".embedsearch", home / "moved")
    assert_error(cli("status"), "there is no collection", ".embedsearch")
    assert cli("status", "--db", "moved", "--json").json["documents"] == 5
    monkeypatch.setenv("EMBEDSEARCH_DB", str(home / "moved"))
    assert cli("status", "--json").json["documents"] == 5
    assert_error(cli("status", "--db", "nowhere"), "nowhere")  # the option comes first


COMMANDS = [
    ("search", "cat"),
    ("similar", "a"),
    ("status",),
    ("delete", "a"),
    ("vacuum",),
    ("reindex",),
    ("export",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_without_a_collection_nothing_is_made(cli, tmp_path, command, options):
    assert_error(cli(*command, *options), "there is no collection", "embedsearch index PATH")
    assert list(tmp_path.iterdir()) == []


# Wrong use


@pytest.mark.parametrize(
    "arguments",
    [
        ("search",),
        ("search", "a", "b"),
        ("search", "a", "--mode", "fuzzy"),
        ("search", "a", "-k", "many"),
        ("search", "a", "--nonsense"),
        ("index",),
        ("delete",),
        ("nonsense",),
        ("evaluate", "nonsense"),
        ("--nonsense",),
    ],
)
def test_wrong_use(cli, arguments):
    assert_error(cli(*arguments), "--help")


def test_wrong_use_names_the_help_of_the_command(cli):
    assert_error(cli("search"), "Missing argument 'QUERY'", "(see embedsearch search --help)")
    assert_error(cli("search", "log", "in"), "put what has blanks in it in quotes")
    assert_error(cli("search", "-40 degrees"), "No such option: -4; put -- before a text")
    assert_error(cli("search", "--", "-40 degrees"), "there is no collection")
    assert "put -- before" not in cli("search", "x", "--kk").err
    assert_error(cli("train", "foo"), "No such command", "(see embedsearch train --help)")
    outcome = cli("search", "cat", "--mode", "foo")
    assert_error(outcome, "'--mode': 'foo' is not one of 'hybrid'")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("search", ""), "the query is empty"),
        (("search", " \t"), "the query is empty"),
        (("search", "a", "-k", "0"), "k must be"),
        (("search", "a", "-k", "-5"), "k must be"),
        (("search", "a", "-k", "99999"), "k must be"),
        (("search", "a", "--where", "lang"), "--where takes KEY=VALUE"),
        (("search", "a", "--where", "lang>true"), "has no order"),
        (("search", "a", "--where", 'a"b=1'), "cannot be the name of a field"),
        (("similar", "song 1", "-k", "0"), "k must be"),
        (("index", "docs", "--glob", ""), "glob is empty"),
        (("index", "docs", "--max-document-mb", "0"), "max_document_mb"),
        (("index", "docs", "--db", "docs"), "is not a collection"),
        (("status", "--db", "docs/bread.md"), "is a file"),
        (("reindex", "--model", "./nowhere"), "nowhere"),
        (("reindex", "--model", "docs"), "docs"),
    ],
)
def test_bad_input(cli, home, arguments, part):
    assert_error(cli(*arguments), part)


@pytest.mark.parametrize(
    "query",
    ['"', "a AND", "NEAR(", "*", "'; DROP TABLE chunks; --", "text:x", "cat " * 10_000, "🐈", "-k"],
)
@pytest.mark.parametrize("mode", ["hybrid", "keyword"])
def test_queries_of_any_kind(cli, home, query, mode):
    outcome = cli("search", "--mode", mode, "--json", "--", query)
    assert outcome.code in (0, 1)
    assert isinstance(outcome.json, list)
    assert "bug" not in outcome.err


@pytest.mark.parametrize(
    "arguments", [("--help",), ("-h",), ("index", "--help"), ("evaluate", "-h")]
)
def test_help(cli, arguments):
    outcome = cli(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert "Usage: embedsearch" in outcome.out


def test_every_command_has_an_example_that_names_it(cli):
    commands = "index search similar status doctor delete vacuum reindex export"
    for command in commands.split():
        assert f"Example: embedsearch {command}" in cli(command, "--help").out
    assert "Example: embedsearch evaluate search" in cli("evaluate", "search", "--help").out


def test_no_arguments_show_the_help(cli):
    outcome = cli()
    assert "Usage: embedsearch" in outcome.out + outcome.err
    assert outcome.code == 2


def test_a_bug_is_called_one(cli, home, monkeypatch):
    def broken(*_args, **_options):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("embedsearch.collection.collection.Collection.status", broken)
    outcome = cli("status")
    assert_error(outcome, "this is a bug: RuntimeError: two lines", code=70)
    monkeypatch.setenv("EMBEDSEARCH_DEBUG", "1")
    with pytest.raises(RuntimeError):
        main(["status"])


@pytest.mark.parametrize("command", [["search", "x"], ["similar", "x"], ["ask", "x"]])
def test_a_collection_that_may_not_be_looked_at(cli, home, monkeypatch, command):
    is_dir = Path.is_dir

    def refuse(path, **options):
        if path.name == ".embedsearch":
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path, **options)

    monkeypatch.setattr(Path, "is_dir", refuse)
    assert_error(cli(*command), ".embedsearch: Permission denied; check the permissions")


def test_an_operating_system_error_is_one_line(cli, home, monkeypatch):
    def broken(*_args, **_options):
        raise PermissionError(13, "Permission denied", "some/file")

    monkeypatch.setattr("embedsearch.collection.collection.Collection.status", broken)
    outcome = cli("status")
    assert outcome.code in (2, 70)
    assert "Traceback" not in outcome.err
    assert "some/file" in outcome.err
    assert one_line(outcome.err)


# What documents and files are called must not reach the terminal raw

EVIL = "\x1b[31m\x07\x9b2J\u202eevil\r"


def printable(text: str) -> bool:
    return not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_control_characters_are_shown_not_sent(cli, tmp_path, tiny):
    line = {"_id": f"id{EVIL}", "title": f"title{EVIL}", "text": f"the cat{EVIL} sat\n# {EVIL}"}
    write(tmp_path / "docs/a.jsonl", json.dumps(line) + "\n{bad\n")
    write(tmp_path / f"docs/page{EVIL}\n2.md", f"# Cat{EVIL}\n\nThe cat{EVIL} sat on the mat.")
    write(tmp_path / f"docs/broken{EVIL}\n.txt", b"\0")
    for arguments in (
        ("index", "docs", "--model", tiny),
        ("search", "cat"),
        ("search", "cat", "--mode", "semantic"),
        ("similar", f"id{EVIL}"),
        ("similar", f"nowhere{EVIL}"),
        ("status",),
        ("doctor",),
        ("index", f"nowhere{EVIL}\n"),
        ("search", "cat", "--where", f"x{EVIL}"),
        ("export", "--out", f"out{EVIL}.jsonl"),
        ("status", "--db", f"no{EVIL}\nwhere"),
        (f"command{EVIL}",),
        ("search", "cat", f"--option{EVIL}"),
    ):
        outcome = cli(*arguments)
        assert printable(outcome.out), arguments
        assert printable(outcome.err), arguments
    found = cli("search", "cat").out
    assert r"\x1b[31m\x07\x9b2J\u202eevil" in found


def test_names_that_are_not_utf8_can_be_typed(cli, tmp_path, tiny):
    name = "caf\udce9.txt"  # as the arguments of a process come
    write(tmp_path / "docs" / name, "the cat sat on the mat")
    assert cli("index", "docs", "--model", tiny).code == 0
    [hit] = cli("search", "cat", "--where", f"path=docs/{name}", "--json").json
    assert hit["document_id"] == "docs/caf\\xe9.txt"
    assert cli("similar", f"docs/{name}").code == 1  # alone
    assert_error(cli("search", "caf\udce9"), "the query has a lone surrogate")
    assert cli("delete", f"docs/{name}", "--json").json == {"deleted": 1}


# A model named by a relative path


def test_a_relative_model_is_found_from_anywhere(cli, tmp_path, tiny, monkeypatch):
    shutil.copytree(tiny, tmp_path / "models/mine")
    write(tmp_path / "docs/a.txt", "the cat sat on the mat")
    assert cli("index", "docs", "--model", "models/mine").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    db = tmp_path / ".embedsearch"
    assert cli("status", "--db", db, "--json").json["model"] == str(tmp_path / "models/mine")
    assert cli("search", "cat", "--db", db, "--json").code == 0
    assert cli("index", tmp_path / "docs", "--db", db, "--model", "../models/mine").code == 0


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        (("index", "docs"), True),
        (("reindex",), True),
        (("train", "songs", "lists.txt"), False),
        (("search", "index"), False),
        ((), False),
    ],
)
def test_what_was_done_is_kept_only_where_it_is(cli, monkeypatch, command, kept):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["embedsearch.cli.main"], "_run", interrupt)
    outcome = cli(*command)
    assert_error(outcome, code=130)
    assert ("the same command goes on from there" in outcome.err) == kept
