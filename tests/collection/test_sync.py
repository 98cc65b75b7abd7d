"""Sync: what is added, changed, removed and left alone, and what is not even opened."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedsearch.collection.collection import Collection
from embedsearch.collection.plan import SyncConfig, source_key
from embedsearch.errors import InputError, NotFoundError
from embedsearch.types import Document, Skipped
from tests.support import (
    CountingEncoder,
    Untouchable,
    chunk_rows,
    counts,
    database_bytes,
    texts_of,
    touch,
    without_times,
    write,
)

NOWHERE = "a name that no test uses"


@pytest.fixture
def encoder():
    return CountingEncoder()


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


@pytest.fixture
def collection(tmp_path, encoder):
    with Collection.open(tmp_path / "c", model=encoder) as opened:
        yield opened


class Bar:
    """A Progress that remembers how far it came."""

    def start(self, description, total, unit):
        self.total, self.unit, self.came = total, unit, [0]

    def advance(self, amount):
        assert amount >= 0
        self.came.append(self.came[-1] + amount)

    def note(self, message):
        pass


@pytest.fixture
def shut(monkeypatch):
    """From its call on, no file is opened."""

    def refuse(path, *args, **kwargs):
        raise AssertionError(f"{path} was opened")

    return lambda: monkeypatch.setattr("embedsearch.collection.sync.read_file", refuse)


def line(id_: str | int | None, text: str, **fields: object) -> str:
    record = {} if id_ is None else {"_id": id_}
    return json.dumps({**record, "text": text, **fields}) + "\n"


def reasons(report) -> dict[str, str]:
    return {entry.path: entry.reason for entry in report.skipped}


# Files of one document


def test_a_folder_changes_step_by_step(collection, encoder, docs):
    write(docs / "a.md", "# Lynx\n\nThe lynx sleeps.")
    write(docs / "b.txt", "emu")
    write(docs / "deep/c.rst", "zebu")
    report = collection.sync([docs])
    assert counts(report) == {"added": 3}
    assert (report.chunks, report.embedded, report.truncated_tokens) == (3, 3, 0)
    assert report.skipped == ()
    assert list(texts_of(collection)) == ["docs/a.md", "docs/b.txt", "docs/deep/c.rst"]

    report = collection.sync([docs])
    assert counts(report) == {"unchanged": 3}
    assert (report.chunks, report.embedded) == (0, 0)

    write(docs / "b.txt", "emu and cat")
    write(docs / "d.txt", "new")
    (docs / "deep/c.rst").unlink()
    report = collection.sync([docs])
    assert counts(report) == {"added": 1, "changed": 1, "removed": 1, "unchanged": 1}
    assert (report.chunks, report.embedded) == (2, 2)
    assert texts_of(collection) == {
        "docs/a.md": "# Lynx\n\nThe lynx sleeps.",
        "docs/b.txt": "emu and cat",
        "docs/d.txt": "new",
    }
    assert len(encoder.documents) == 5
    assert len(chunk_rows(collection)) == 3


def test_a_touched_file_is_read_and_found_to_be_as_it_was(collection, encoder, docs, shut):
    path = write(docs / "a.txt", "lynx")
    collection.sync([docs])
    embedded = len(encoder.documents)
    touch(path)
    report = collection.sync([docs])
    assert counts(report) == {"unchanged": 1}
    assert (report.chunks, report.embedded, len(encoder.documents)) == (0, 0, embedded)
    shut()  # the new time was noted
    assert counts(collection.sync([docs])) == {"unchanged": 1}


def test_a_change_that_keeps_the_size_is_noticed(collection, docs):
    path = write(docs / "a.txt", "lynx")
    collection.sync([docs])
    write(path, "zebu")
    assert counts(collection.sync([docs])) == {"changed": 1}
    assert texts_of(collection) == {"docs/a.txt": "zebu"}


def test_an_older_file_put_in_place_is_noticed(collection, docs):
    path = write(docs / "a.txt", "lynx")
    collection.sync([docs])
    path.write_text("zebu")
    os.utime(path, ns=(5, 5))
    assert counts(collection.sync([docs])) == {"changed": 1}


def test_a_renamed_file_is_another_document_with_the_same_vectors(collection, encoder, docs):
    path = write(docs / "old.md", "# Lynx\n\nThe lynx sleeps.")
    collection.sync([docs])
    path.rename(docs / "new.md")
    report = collection.sync([docs])
    assert counts(report) == {"added": 1, "removed": 1}
    assert (report.chunks, report.embedded) == (1, 0)
    assert list(texts_of(collection)) == ["docs/new.md"]
    assert len(encoder.documents) == 1


def test_a_text_is_embedded_once_wherever_it_stands(collection, encoder, docs):
    for number in range(700):  # more than one batch
        write(docs / f"{number}.txt", f"copy {number % 2}")
    report = collection.sync([docs])
    assert (report.chunks, report.embedded) == (700, 2)
    assert sorted(encoder.documents) == ["copy 0", "copy 1"]


def test_changing_one_part_embeds_that_part_alone(collection, encoder, docs):
    parts = [" ".join(f"{word}{n}" for n in range(40)) + "." for word in ("lynx", "emu", "zebu")]
    path = write(docs / "a.txt", "\n\n".join(parts))
    chunks = collection.sync([docs]).chunks
    assert chunks >= 3
    write(path, "\n\n".join([*parts, "A last word."]))
    report = collection.sync([docs])
    assert counts(report) == {"changed": 1}
    assert report.embedded < report.chunks


# Files of many documents


def test_lines_of_a_jsonl_file_come_change_and_go(collection, docs):
    path = write(docs / "a.jsonl", line("1", "one") + line("2", "two") + line("3", "three"))
    assert counts(collection.sync([docs])) == {"added": 3}
    write(path, line("1", "one") + line("3", "drei") + line("4", "four"))
    report = collection.sync([docs])
    assert counts(report) == {"added": 1, "changed": 1, "removed": 1, "unchanged": 1}
    assert texts_of(collection) == {"1": "one", "3": "drei", "4": "four"}
    assert counts(collection.sync([docs])) == {"unchanged": 3}


def test_metadata_and_title_are_part_of_a_document(collection, docs):
    path = write(docs / "a.jsonl", line("1", "one", title="T", metadata={"n": 1}))
    collection.sync([docs])
    write(path, line("1", "one", title="T", metadata={"n": 2}))
    report = collection.sync([docs])
    assert counts(report) == {"changed": 1}
    assert report.embedded == 0  # the text that is embedded did not change
    assert collection.get("1").metadata == {"n": 2}
    write(path, line("1", "one", title="U", metadata={"n": 2}))
    assert collection.sync([docs]).embedded == 1


def test_lines_without_an_id_are_called_after_file_and_line(collection, docs):
    write(docs / "a.jsonl", line(None, "one") + "\n" + line(7, "seven"))
    collection.sync([docs])
    assert texts_of(collection) == {"docs/a.jsonl#1": "one", "7": "seven"}


def test_bad_lines_are_passed_over_and_told(collection, docs):
    lines = [line("1", "one"), "{broken\n", line("2", ""), "[]\n", line("3", "three")]
    write(docs / "a.jsonl", "".join(lines))
    report = collection.sync([docs])
    assert counts(report) == {"added": 2}
    assert list(reasons(report)) == ["docs/a.jsonl:2", "docs/a.jsonl:3", "docs/a.jsonl:4"]
    assert reasons(report)["docs/a.jsonl:3"] == "empty document"


def test_a_line_that_goes_bad_takes_its_document_along(collection, docs):
    path = write(docs / "a.jsonl", line("1", "one") + line("2", "two"))
    collection.sync([docs])
    write(path, line("1", "one") + "{broken\n")
    assert counts(collection.sync([docs])) == {"unchanged": 1, "removed": 1}


def test_an_id_that_stands_twice_in_a_file_is_the_first_one(collection, docs):
    write(docs / "a.jsonl", line("1", "first") + line("1", "second") + line("2", "two"))
    report = collection.sync([docs])
    assert counts(report) == {"added": 2}
    assert texts_of(collection) == {"1": "first", "2": "two"}
    assert "more than once; the first is taken" in reasons(report)["docs/a.jsonl"]
    assert counts(collection.sync([docs])) == {"unchanged": 2}


def test_an_id_that_stands_in_two_files_is_the_first_files(collection, docs):
    write(docs / "a.jsonl", line("1", "a's"))
    write(docs / "b.jsonl", line("1", "b's") + line("2", "two"))
    for expected in ({"added": 2}, {"unchanged": 2}):
        report = collection.sync([docs])
        assert counts(report) == expected
        assert texts_of(collection) == {"1": "a's", "2": "two"}
        assert reasons(report)["docs/b.jsonl"] == (
            "the id '1' is that of a document of another file, which stays; ids of rows and lines "
            "count across all files"
        )
    (docs / "a.jsonl").unlink()  # then b's is the only one
    collection.sync([docs])
    assert texts_of(collection) == {"1": "b's", "2": "two"}


def test_a_file_with_another_files_id_still_loses_its_lines(collection, docs):
    write(docs / "a.jsonl", line("1", "a's"))
    path = write(docs / "b.jsonl", line("1", "b's") + line("2", "two") + line("3", "three"))
    collection.sync([docs])
    write(path, line("1", "b's") + line("2", "two"))
    rehearsed = collection.sync([docs], dry_run=True)
    report = collection.sync([docs])
    assert counts(report) == {"unchanged": 2, "removed": 1}
    assert without_times(rehearsed) == without_times(report)
    assert texts_of(collection) == {"1": "a's", "2": "two"}


@pytest.mark.parametrize(("old", "new"), [("a", "b"), ("b", "a")])
def test_an_id_moves_from_one_file_to_another(collection, encoder, docs, old, new):
    write(docs / f"{old}.jsonl", line("1", "one") + line("2", "two"))
    write(docs / f"{new}.jsonl", line("3", "three"))
    collection.sync([docs])
    write(docs / f"{old}.jsonl", line("2", "two"))
    write(docs / f"{new}.jsonl", line("3", "three") + line("1", "one"))
    rehearsed = collection.sync([docs], dry_run=True)
    report = collection.sync([docs])
    assert texts_of(collection) == {"1": "one", "2": "two", "3": "three"}
    assert report.skipped == ()
    assert counts(report) == {"unchanged": 3}
    assert without_times(rehearsed) == without_times(report)
    assert counts(collection.sync([docs])) == {"unchanged": 3}
    assert len(encoder.documents) == 3
    (docs / f"{new}.jsonl").unlink()
    collection.sync([docs])
    assert texts_of(collection) == {"2": "two"}


@pytest.mark.parametrize(("owner", "other"), [("a", "b"), ("b", "a")])
def test_an_id_stays_with_its_file_when_another_wants_it(collection, docs, owner, other):
    write(docs / f"{owner}.jsonl", line("1", "one"))
    write(docs / f"{other}.jsonl", line("2", "two"))
    collection.sync([docs])
    write(docs / f"{owner}.jsonl", line("1", "one, changed"))
    write(docs / f"{other}.jsonl", line("2", "two") + line("1", "the other's"))
    rehearsed = collection.sync([docs], dry_run=True)
    report = collection.sync([docs])
    assert counts(report) == {"changed": 1, "unchanged": 1}
    assert without_times(rehearsed) == without_times(report)
    assert list(reasons(report)) == [f"docs/{other}.jsonl"]
    assert texts_of(collection) == {"1": "one, changed", "2": "two"}


def test_rows_are_dealt_out_anew_among_files(collection, encoder, docs):
    """Every file has ids of every other one, some with another text, one twice."""
    deal = {"a": "012345", "b": "6789", "c": "xyz"}
    for name, ids in deal.items():
        write(docs / f"{name}.jsonl", "".join(line(i, f"text {i}") for i in ids))
    collection.sync([docs])
    deal = {"a": "6x01", "b": "2y78", "c": "34z9"}  # 5 is gone
    for name, ids in deal.items():
        write(docs / f"{name}.jsonl", "".join(line(i, f"text {i}") for i in ids))
    write(docs / "d.jsonl", line("5", "changed") + line("6", "that of another file"))
    rehearsed = collection.sync([docs], dry_run=True)
    report = collection.sync([docs])
    assert counts(report) == {"changed": 1, "unchanged": 12}
    assert without_times(rehearsed) == without_times(report)
    assert texts_of(collection) == {i: f"text {i}" for i in "012346789xyz"} | {"5": "changed"}
    assert list(reasons(report)) == ["docs/d.jsonl"]
    for name, ids in deal.items():
        found = collection.search("text", 50, mode="keyword", where={"path": f"docs/{name}.jsonl"})
        assert {hit.document_id for hit in found} == set(ids)
    assert len(encoder.documents) == 14


def test_rows_that_are_kept_without_prune_can_still_move(collection, docs):
    write(docs / "a.jsonl", line("1", "one") + line("2", "two"))
    collection.sync([docs])
    write(docs / "a.jsonl", line("1", "one"))
    write(docs / "b.jsonl", line("2", "zwei"))
    report = collection.sync([docs], prune=False)
    assert counts(report) == {"changed": 1, "unchanged": 1}
    assert texts_of(collection) == {"1": "one", "2": "zwei"}


def test_a_renamed_jsonl_file_keeps_its_documents(collection, encoder, docs):
    path = write(docs / "old.jsonl", line("1", "one") + line("2", "two"))
    collection.sync([docs])
    path.rename(docs / "new.jsonl")
    rehearsed = collection.sync([docs], dry_run=True)
    report = collection.sync([docs])
    assert counts(report) == {"unchanged": 2}
    assert without_times(rehearsed) == without_times(report)
    assert [hit.path for hit in collection.search("one", mode="keyword")] == ["docs/new.jsonl"]
    assert counts(collection.sync([docs])) == {"unchanged": 2}
    assert len(encoder.documents) == 2


def test_compressed_lines(collection, docs):
    path = docs / "a.jsonl.gz"
    write(path, gzip.compress((line("1", "one") + line("2", "two")).encode()))
    assert counts(collection.sync([docs])) == {"added": 2}


def test_a_file_cut_short_keeps_what_it_had(collection, docs):
    lines = "".join(line(str(n), f"text {n} {os.urandom(30).hex()}") for n in range(3000))
    whole = gzip.compress(lines.encode())
    path = write(docs / "a.jsonl.gz", whole)
    assert counts(collection.sync([docs])) == {"added": 3000}
    write(path, whole[: len(whole) // 2])
    report = collection.sync([docs])
    assert "gzip file is cut short" in reasons(report)["docs/a.jsonl.gz"]
    assert counts(report).keys() == {"unchanged"}
    assert len(collection) == 3000


# Files that cannot be read


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"lynx\0\0\x01binary", "binary file"), (b"x" * (2**20 + 1), "larger than 1 MiB")],
)
def test_what_cannot_be_read_any_more_keeps_its_document(
    collection, docs, content, reason, shut, monkeypatch
):
    path = write(docs / "a.txt", "lynx")
    collection.sync([docs])
    write(path, content)
    config = SyncConfig(max_document_mb=1)
    report = collection.sync([docs], config=config)
    assert counts(report) == {}
    assert reasons(report) == {"docs/a.txt": reason}
    assert texts_of(collection) == {"docs/a.txt": "lynx"}
    shut()
    again = collection.sync([docs], config=config)
    assert reasons(again) == {"docs/a.txt": reason}
    assert counts(again) == {"unchanged": 1}
    monkeypatch.undo()
    write(path, "emu")
    assert counts(collection.sync([docs])) == {"changed": 1}
    assert collection.sync([docs]).skipped == ()


def test_a_file_that_became_empty_takes_its_document_along(collection, docs):
    path = write(docs / "a.txt", "lynx")
    lines = write(docs / "b.jsonl", line("1", "one"))
    collection.sync([docs])
    write(path, "")
    write(lines, "\n")
    rehearsed = collection.sync([docs], dry_run=True)
    report = collection.sync([docs])
    assert counts(report) == {"removed": 2}
    assert without_times(rehearsed) == without_times(report)
    assert reasons(report) == {"docs/a.txt": "empty", "docs/b.jsonl": "empty"}
    again = collection.sync([docs])
    assert (counts(again), reasons(again)) == ({}, reasons(report))
    write(path, "lynx")
    assert counts(collection.sync([docs])) == {"added": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_keeps_its_document(collection, docs):
    path = write(docs / "a.txt", "lynx")
    collection.sync([docs])
    write(path, "emu")
    path.chmod(0)
    report = collection.sync([docs])
    assert reasons(report) == {"docs/a.txt": "permission denied"}
    assert texts_of(collection) == {"docs/a.txt": "lynx"}
    path.chmod(0o600)
    assert counts(collection.sync([docs])) == {"changed": 1}


def test_progress_is_that_of_the_files(collection, docs):
    """However much of a file is text: packed, marked up, passed over, of other files' ids."""
    rows = [json.dumps({"_id": f"r{n}", "text": f"lynx {n}", "b": "x" * 99}) for n in range(4000)]
    write(docs / "a.jsonl", "\n".join([*rows, "{broken", rows[0]]))
    write(docs / "b.jsonl.gz", gzip.compress("\n".join(rows[:9] * 99).encode()))
    write(docs / "c.html", "<p>emu</p>" + "<br>" * 999)
    write(docs / "d.txt", "Größe " * 99)
    write(docs / "e.txt.gz", gzip.compress(b"zebu " * 999))
    write(docs / "f.csv", "id,text\nq1,yak\n" + ",\n" * 99)
    write(docs / "g.json", b"\xff\xfe\0")
    write(docs / "h.md", "")
    whole = sum(path.stat().st_size for path in docs.iterdir())
    for dry_run in (True, False):
        bar = Bar()
        collection.sync([docs], dry_run=dry_run, progress=bar)
        assert (bar.total, bar.unit, bar.came[-1]) == (whole, "B", whole)
    begun = (docs / "a.jsonl").stat().st_size
    assert sum(0 < came < begun for came in bar.came) > 5  # not all of a long file at once
    for path in docs.iterdir():
        touch(path)
    bar = Bar()
    assert counts(collection.sync([docs], progress=bar)).keys() == {"unchanged"}
    assert (bar.total, bar.came[-1]) == (whole, whole)


def test_a_file_that_fails_while_it_is_read_keeps_its_document(collection, docs, monkeypatch):
    path = write(docs / "a.txt", "lynx")
    write(docs / "b.txt", "emu")
    collection.sync([docs])
    write(path, "zebu")
    really_open = Path.open

    def failing(self, *args, **kwargs):
        if self.name == "a.txt":
            raise PermissionError(13, "Permission denied", str(self))
        return really_open(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        report = collection.sync([docs])
    assert reasons(report) == {"docs/a.txt": "permission denied"}
    assert texts_of(collection) == {"docs/a.txt": "lynx", "docs/b.txt": "emu"}
    assert counts(collection.sync([docs])) == {"changed": 1, "unchanged": 1}  # nothing was touched
    assert texts_of(collection) == {"docs/a.txt": "zebu", "docs/b.txt": "emu"}


def test_a_larger_bound_lets_in_what_was_too_large(collection, docs):
    write(docs / "a.txt", "lynx " * 2**18)
    one, two = SyncConfig(max_document_mb=1), SyncConfig(max_document_mb=2)
    assert reasons(collection.sync([docs], config=one)) == {"docs/a.txt": "larger than 1 MiB"}
    assert counts(collection.sync([docs], config=two)) == {"added": 1}
    assert counts(collection.sync([docs], config=one)) == {"unchanged": 1}


def test_names_that_cannot_be_printed(collection, docs):
    write(docs / "two\nlines.txt", "lynx")
    write(docs / os.fsdecode(b"caf\xe9.txt"), "emu")
    assert counts(collection.sync([docs])) == {"added": 2}
    assert set(texts_of(collection)) == {"docs/two\nlines.txt", "docs/caf\\xe9.txt"}
    assert counts(collection.sync([docs])) == {"unchanged": 2}
    (docs / os.fsdecode(b"caf\xe9.txt")).unlink()
    assert counts(collection.sync([docs])) == {"removed": 1, "unchanged": 1}


# Scope: what a sync may remove


def test_without_prune_nothing_is_removed(collection, docs):
    path = write(docs / "a.txt", "lynx")
    write(docs / "b.txt", "emu")
    collection.sync([docs])
    path.unlink()
    assert counts(collection.sync([docs], prune=False)) == {"unchanged": 1}
    assert set(texts_of(collection)) == {"docs/a.txt", "docs/b.txt"}
    assert counts(collection.sync([docs])) == {"removed": 1, "unchanged": 1}


def test_lines_kept_without_prune_go_with_the_next_sync_that_prunes(collection, docs):
    path = write(docs / "a.jsonl", line("1", "one") + line("2", "two"))
    collection.sync([docs])
    write(path, line("1", "one"))
    assert counts(collection.sync([docs], prune=False)) == {"unchanged": 1}
    assert set(texts_of(collection)) == {"1", "2"}
    assert counts(collection.sync([docs])) == {"unchanged": 1, "removed": 1}


def test_a_glob_prunes_what_it_names_and_nothing_else(collection, docs):
    write(docs / "a.md", "lynx")
    write(docs / "deep/b.md", "emu")
    write(docs / "c.txt", "zebu")
    assert counts(collection.sync([docs], glob="**/*.md")) == {"added": 2}
    assert counts(collection.sync([docs])) == {"added": 1, "unchanged": 2}
    for name in ("a.md", "c.txt"):
        (docs / name).unlink()
    assert counts(collection.sync([docs], glob="**/*.md")) == {"removed": 1, "unchanged": 1}
    assert set(texts_of(collection)) == {"docs/deep/b.md", "docs/c.txt"}


def test_another_folder_is_left_alone(collection, docs, tmp_path):
    other = tmp_path / "other"
    write(docs / "a.txt", "lynx")
    write(other / "b.txt", "emu")
    collection.sync([docs, other])
    (other / "b.txt").unlink()
    assert counts(collection.sync([docs])) == {"unchanged": 1}
    assert len(collection) == 2
    assert counts(collection.sync([other])) == {"removed": 1}


def test_one_file_alone(collection, docs):
    path = write(docs / "a.txt", "lynx")
    write(docs / "b.txt", "emu")
    assert counts(collection.sync([path])) == {"added": 1}
    assert counts(collection.sync([docs])) == {"added": 1, "unchanged": 1}
    assert counts(collection.sync([path])) == {"unchanged": 1}


def test_what_gitignore_names_from_now_on_goes(collection, docs):
    write(docs / "a.txt", "lynx")
    write(docs / "b.txt", "emu")
    collection.sync([docs])
    write(docs / ".gitignore", "b.txt\n")
    report = collection.sync([docs])
    assert counts(report) == {"removed": 1, "unchanged": 1}
    assert reasons(report)[str(docs / "b.txt")] == "named in .gitignore"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_below_a_folder_that_cannot_be_read_nothing_is_removed(collection, docs):
    write(docs / "deep/a.txt", "lynx")
    write(docs / "b.txt", "emu")
    collection.sync([docs])
    (docs / "deep").chmod(0)
    try:
        assert counts(collection.sync([docs])) == {"unchanged": 1}
    finally:
        (docs / "deep").chmod(0o700)
    assert len(collection) == 2


def test_the_collection_does_not_index_itself(tmp_path, encoder):
    write(tmp_path / "a.txt", "lynx")
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        for _ in range(2):
            collection.sync([tmp_path])
            assert set(texts_of(collection)) == {"a.txt"}


def test_files_are_named_relative_to_where_the_collection_stands(tmp_path):
    assert source_key(tmp_path / "docs/a.md", tmp_path) == "docs/a.md"
    assert source_key(Path("/elsewhere/a.md"), tmp_path) == "/elsewhere/a.md"


def test_a_moved_pair_of_folder_and_collection_is_unchanged(tmp_path, encoder):
    write(tmp_path / "one/docs/a.txt", "lynx")
    with Collection.open(tmp_path / "one/c", model=encoder) as collection:
        collection.sync([tmp_path / "one/docs"])
    (tmp_path / "one").rename(tmp_path / "two")
    with Collection.open(tmp_path / "two/c", model=encoder) as collection:
        assert counts(collection.sync([tmp_path / "two/docs"])) == {"unchanged": 1}


# Wrong use


def test_a_path_that_is_not_there_stops_before_anything_is_done(collection, docs):
    write(docs / "a.txt", "lynx")
    with pytest.raises(NotFoundError, match="no such file or folder"):
        collection.sync([docs, docs / "nowhere"])
    assert len(collection) == 0


def test_what_is_left_of_a_folder_that_is_gone_is_told(collection, docs):
    for name in ("a.txt", "b.txt"):
        write(docs / "old" / name, f"lynx {name}")
    collection.sync([docs])
    (docs / "old").rename(docs / "new")
    with pytest.raises(NotFoundError, match="the collection has 2 documents of it"):
        collection.sync([docs / "old"])
    assert len(collection) == 2
    (docs / "old").mkdir()
    assert counts(collection.sync([docs / "old"])) == {"removed": 2}


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_of_two_files_whose_names_read_alike_one_is_taken_for_good(collection, docs):
    written_out = write(docs / r"a\xff.txt", "lynx")
    write(Path(os.fsdecode(os.fsencode(docs) + b"/a\xff.txt")), "emu")
    for done in ({"added": 1}, {"unchanged": 1}):
        report = collection.sync([docs])
        assert counts(report) == done
        [skipped] = report.skipped
        assert skipped.path == r"docs/a\xff.txt"
        assert "reads the same" in skipped.reason
        assert texts_of(collection) == {r"docs/a\xff.txt": "lynx"}
    written_out.unlink()
    report = collection.sync([docs])
    assert (counts(report), report.skipped) == ({"changed": 1}, ())
    assert texts_of(collection) == {r"docs/a\xff.txt": "emu"}


def test_the_collection_itself_is_passed_over(collection, tmp_path):
    report = collection.sync([tmp_path])
    own = Skipped(path=str(collection.folder), reason="the collection itself")
    assert own in report.skipped


def test_wrong_arguments(collection, docs):
    for wrong in (str(docs), docs, None, 3):
        with pytest.raises(InputError, match="list of paths"):
            collection.sync(wrong)
    for wrong in ([None], [docs, 3], [b"docs"]):
        with pytest.raises(InputError, match="a path of a file or folder is expected, not"):
            collection.sync(wrong)
    with pytest.raises(InputError, match="glob is a pattern such as"):
        collection.sync([docs], glob=3)
    with pytest.raises(InputError, match="max_document_mb must be a whole number"):
        SyncConfig(max_document_mb="3")
    with pytest.raises(InputError, match="glob is empty"):
        collection.sync([docs], glob="")
    with pytest.raises(InputError, match="is no pattern"):
        collection.sync([docs], glob="/")
    with pytest.raises(InputError, match="max_document_mb must be a whole number from 1 on, not 0"):
        SyncConfig(max_document_mb=0)


def test_no_paths_at_all(collection):
    report = collection.sync([])
    assert without_times(report) == without_times(type(report)())


# Rehearsal


def scenario(docs: Path) -> None:
    """Changes of every kind, after a first sync of `start`."""
    write(docs / "new.md", "# New\n\nlynx")
    write(docs / "copy.txt", "same text")
    write(docs / "changed.txt", "emu and more")
    (docs / "gone.txt").unlink()
    write(docs / "broken.txt", b"\0\0")
    write(docs / "empty.txt", "")
    lines = line("1", "one") + line("1", "twice") + line("3", "3") + "{bad\n" + line("b", "b")
    write(docs / "a.jsonl", lines)
    write(docs / "b.jsonl", line("b", "taken from a") + line("3", "taken by a"))
    (docs / "r.jsonl").rename(docs / "renamed.jsonl")
    touch(docs / "touched.txt")


def start(docs: Path) -> None:
    texts = {"changed.txt": "emu", "gone.txt": "same text", "touched.txt": "cat", "empty.txt": "x"}
    for name, text in {**texts, "same.txt": "same text", "broken.txt": "zebu"}.items():
        write(docs / name, text)
    write(docs / "a.jsonl", line("1", "one") + line("2", "two"))
    write(docs / "b.jsonl", line("b", "b's own"))
    write(docs / "r.jsonl", line("r1", "r one") + line("r2", "r two"))


@pytest.mark.parametrize("prune", [True, False])
def test_a_rehearsal_predicts_what_is_then_done(collection, docs, prune):
    start(docs)
    assert without_times(collection.sync([docs], dry_run=True, prune=prune)) == without_times(
        collection.sync([docs], prune=prune)
    )
    collection.upsert([Document(id="docs/new.md", text="the user's own")])
    scenario(docs)
    rehearsed = collection.sync([docs], dry_run=True, prune=prune)
    assert without_times(rehearsed) == without_times(collection.sync([docs], prune=prune))
    rehearsed = collection.sync([docs], dry_run=True, prune=prune)
    assert without_times(rehearsed) == without_times(collection.sync([docs], prune=prune))


def test_a_rehearsal_predicts_over_several_batches(collection, docs):
    for number in range(1100):
        write(docs / f"{number}.txt", f"copy {number % 600}")
    rehearsed = collection.sync([docs], dry_run=True)
    assert (rehearsed.chunks, rehearsed.embedded) == (1100, 600)
    assert without_times(rehearsed) == without_times(collection.sync([docs]))


def test_a_rehearsal_writes_nothing(collection, encoder, docs):
    start(docs)
    collection.sync([docs])
    scenario(docs)
    before, texts, embedded = (
        database_bytes(collection),
        texts_of(collection),
        len(encoder.documents),
    )
    collection.sync([docs], dry_run=True)
    assert database_bytes(collection) == before
    assert texts_of(collection) == texts
    assert len(encoder.documents) == embedded


def test_a_rehearsal_on_a_new_collection_settles_no_model(tmp_path, docs, encoder):
    write(docs / "a.txt", "lynx")
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        assert counts(collection.sync([docs], dry_run=True)) == {"added": 1}
        assert collection.status().model is None
        assert len(collection) == 0
    with Collection.open(tmp_path / "c", model=CountingEncoder(seed=9)) as collection:
        assert counts(collection.sync([docs])) == {"added": 1}


# Documents that the user put in


def test_given_documents_and_files_live_side_by_side(collection, docs):
    path = write(docs / "a.txt", "lynx")
    collection.upsert([Document(id="mine", text="emu")])
    assert counts(collection.sync([docs])) == {"added": 1}
    path.unlink()
    assert counts(collection.sync([docs])) == {"removed": 1}
    assert texts_of(collection) == {"mine": "emu"}


def test_a_file_takes_over_a_given_document_of_its_name(collection, docs):
    collection.upsert([Document(id="docs/a.txt", text="mine")])
    path = write(docs / "a.txt", "the file's")
    assert counts(collection.sync([docs])) == {"changed": 1}
    assert texts_of(collection) == {"docs/a.txt": "the file's"}
    path.unlink()
    assert counts(collection.sync([docs])) == {"removed": 1}


def test_a_given_document_that_two_files_have_goes_to_the_first(collection, docs):
    collection.upsert([Document(id="1", text="one")])
    write(docs / "a.jsonl", line("1", "one"))
    write(docs / "b.jsonl", line("1", "one"))
    report = collection.sync([docs])
    assert counts(report) == {"unchanged": 1}
    assert "another file" in reasons(report)["docs/b.jsonl"]
    [hit] = collection.search("one", mode="keyword")
    assert hit.path == "docs/a.jsonl"


def test_a_deleted_document_comes_back_with_the_next_sync(collection, docs):
    write(docs / "a.txt", "lynx")
    write(docs / "b.jsonl", line("1", "one") + line("2", "two"))
    collection.sync([docs])
    assert collection.delete(["docs/a.txt", "2", "nowhere"]) == 2
    assert set(texts_of(collection)) == {"1"}
    assert counts(collection.sync([docs])) == {"added": 2, "unchanged": 1}


def test_deleted_documents_of_files_that_are_gone_do_not_come_back(collection, docs):
    path = write(docs / "a.txt", "lynx")
    collection.sync([docs])
    collection.delete(["docs/a.txt"])
    path.unlink()
    assert counts(collection.sync([docs])) == {}
    assert len(collection) == 0


# A second run opens and loads nothing

SECOND_RUN = """
import sys
from embedsearch.collection.collection import Collection
from tests.support import Untouchable

opened, docs, name = [], sys.argv[2], sys.argv[3]
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
with Collection.open(sys.argv[1], model=Untouchable(name)) as collection:
    report = collection.sync([docs])
assert opened, "the hook saw nothing at all"
touched = [path for path in opened if path.startswith(docs)]
assert not touched, touched
heavy = {"torch", "transformers", "sentence_transformers", "faiss"} & set(sys.modules)
assert not heavy, heavy
print(report.unchanged, [entry.reason for entry in report.skipped])
"""


def test_a_second_run_opens_no_file_and_loads_no_model(tmp_path, docs, encoder):
    for number in range(5):
        write(docs / f"{number}.md", f"lynx {number}")
    write(docs / "a.jsonl", line("1", "one") + line("2", "two"))
    write(docs / "binary.txt", b"\0\0")
    write(docs / "image.png", b"\0\0")
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        collection.sync([docs])
    done = subprocess.run(
        [sys.executable, "-c", SECOND_RUN, tmp_path / "c", docs, encoder.name],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "7 ['binary file (.png)', 'binary file']"


def test_problems_are_told_again_in_the_order_of_the_walk(collection, docs):
    for name in ("a.txt", "b.txt"):
        write(docs / name, b"\0\0")
    first, second = collection.sync([docs]), collection.sync([docs])
    assert first.skipped == second.skipped
    assert first.skipped == tuple(
        Skipped(path=f"docs/{name}", reason="binary file") for name in ("a.txt", "b.txt")
    )


def test_an_encoder_that_is_not_needed_is_not_asked(tmp_path, docs, encoder):
    write(docs / "a.txt", "lynx")
    with Collection.open(tmp_path / "c", model=encoder) as collection:
        collection.sync([docs])
    with Collection.open(tmp_path / "c", model=Untouchable(encoder.name)) as collection:
        assert counts(collection.sync([docs])) == {"unchanged": 1}
        collection.delete(["docs/a.txt"])
        assert collection.search("lynx", mode="keyword") == []
        with pytest.raises(AssertionError, match="asked for its"):
            collection.sync([docs])
