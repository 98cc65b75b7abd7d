"""Evaluation: reading the BEIR layout, and measures against values computed by hand."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from embedsearch.cli import main
from embedsearch.collection.collection import Collection
from embedsearch.errors import FingerprintError, InputError, NotFoundError
from embedsearch.evaluation.beir import read_corpus, read_qrels, read_queries, split_names
from embedsearch.evaluation.search import (
    EvaluationConfig,
    SearchEvaluation,
    evaluate_search,
    score_run,
)
from tests.fake_encoder import FakeEncoder
from tests.support import Notes


class CountingEncoder(FakeEncoder):
    """Knows how many documents it embedded."""

    def __init__(self) -> None:
        super().__init__()
        self.documents = 0

    def encode_document(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.documents += len(texts)
        return super().encode_document(texts)


CORPUS = {
    "1": "the cat sat on the mat",
    "2": "the dog ran after the ball",
    "3": "investors sold shares of the bank",
    "4": "the rocket orbits the moon",
}
QUERIES = {"a": "cat on a mat", "b": "bank shares", "c": "rain in the forest", "d": "rocket moon"}
QRELS = [("a", "1", 2), ("a", "2", 0), ("b", "3", 1), ("c", "1", 0), ("d", "4", 1), ("d", "2", 1)]


def write_lines(path: Path, records: Mapping[str, str]) -> None:
    lines = [json.dumps({"_id": i, "text": text}) + "\n" for i, text in records.items()]
    path.write_text("".join(lines), encoding="utf-8")


def write_qrels(path: Path, rows: Sequence[tuple[str, str, int]]) -> None:
    path.parent.mkdir(exist_ok=True)
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    folder = tmp_path / "judged"
    folder.mkdir()
    write_lines(folder / "corpus.jsonl", CORPUS)
    write_lines(folder / "queries.jsonl", QUERIES)
    write_qrels(folder / "qrels" / "test.tsv", QRELS)
    return folder


def evaluate(folder: Path, notes: Notes | None = None, **settings: object) -> SearchEvaluation:
    config = EvaluationConfig(**settings)
    return evaluate_search(folder, config, model=FakeEncoder(), progress=notes or Notes())


# Measures


def test_measures_are_those_computed_by_hand() -> None:
    qrels = {"a": {"x": 3, "y": 1, "z": 0, "gone": 2}, "b": {"x": 1}, "c": {"y": 1}}
    run = {"a": ["z", "x", "w", "y"], "b": ["w", "x"], "not judged": ["x"]}
    scores = score_run(run, qrels)
    ideal = 3 + 2 / math.log2(3) + 1 / math.log2(4)
    ndcg_a = (3 / math.log2(3) + 1 / math.log2(5)) / ideal
    assert scores == pytest.approx(
        {
            "ndcg@10": (ndcg_a + 1 / math.log2(3) + 0) / 3,
            "recall@100": (2 / 3 + 1 + 0) / 3,
            "mrr@10": (1 / 2 + 1 / 2 + 0) / 3,
            "map": ((1 / 2 + 2 / 4) / 3 + 1 / 2 + 0) / 3,
        }
    )


def test_ranks_beyond_ten_count_for_recall_and_map_alone() -> None:
    ranked = [f"d{i}" for i in range(200)]
    for rank, expected in [(9, 0.1), (10, 0.0)]:
        scores = score_run({"q": ranked}, {"q": {f"d{rank}": 1}})
        assert scores["mrr@10"] == pytest.approx(expected)
        assert (scores["ndcg@10"] > 0) == (rank < 10)
        assert scores["map"] == pytest.approx(1 / (rank + 1))
        assert scores["recall@100"] == 1.0
    assert score_run({"q": ranked}, {"q": {"d100": 1}})["recall@100"] == 0.0


@given(
    st.permutations([f"d{i}" for i in range(12)]),
    st.dictionaries(st.sampled_from([f"d{i}" for i in range(15)]), st.integers(0, 3), min_size=1),
)
def test_ndcg_follows_the_order_given_whatever_the_ids(
    ranked: list[str], grades: dict[str, int]
) -> None:
    gains = [grades.get(document, 0) for document in ranked[:10]]
    best = sorted(grades.values(), reverse=True)[:10]

    def discounted(values: list[int]) -> float:
        return sum(value / math.log2(rank + 2) for rank, value in enumerate(values))

    expected = discounted(gains) / discounted(best) if any(best) else 0.0
    scores = score_run({"q": ranked}, {"q": grades})
    assert scores["ndcg@10"] == pytest.approx(expected, abs=1e-9)
    first = next((rank for rank, gain in enumerate(gains, start=1) if gain), None)
    assert scores["mrr@10"] == pytest.approx(1 / first if first else 0.0)


# The whole


@pytest.mark.parametrize("mode", ["hybrid", "semantic", "keyword"])
def test_evaluates_a_small_collection(judged: Path, mode: str) -> None:
    found = evaluate(judged, mode=mode)
    assert (found.queries, found.queries_without_relevant, found.documents) == (3, 1, 4)
    assert (found.mode, found.split, found.model) == (mode, "test", "fake-32-0")
    assert found.measures["mrr@10"] == 1.0
    # "rocket moon" shares no word with the second document that was judged relevant for it
    missed = (1 / (1 + 1 / math.log2(3)) + 2) / 3
    assert found.measures["ndcg@10"] >= missed - 1e-9
    if mode == "keyword":
        assert found.measures["ndcg@10"] == pytest.approx(missed)
        assert found.measures["recall@100"] == pytest.approx((0.5 + 2) / 3)


def test_a_query_that_finds_nothing_counts_zero(judged: Path) -> None:
    write_lines(judged / "queries.jsonl", QUERIES | {"b": "volcano"})
    found = evaluate(judged, mode="keyword", depth=1)
    assert found.queries == 3
    assert found.measures["mrr@10"] == pytest.approx(2 / 3)


def test_gzipped_files_and_a_folder_of_files_read_alike(judged: Path) -> None:
    expected = evaluate(judged)
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        path = judged / name
        (judged / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert evaluate(judged).measures == expected.measures
    (judged / "corpus.jsonl.gz").unlink()
    for i, text in CORPUS.items():
        path = judged / "corpus" / "sub" / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (judged / "corpus" / "empty.txt").touch()
    (judged / "qrels" / "test.tsv.gz").unlink()
    write_qrels(judged / "qrels" / "test.tsv", [(q, f"sub/{d}.txt", s) for q, d, s in QRELS])
    notes = Notes()
    assert evaluate(judged, notes).measures == expected.measures
    assert "skipped empty.txt: empty" in notes.lines


def test_a_kept_collection_is_not_embedded_again(judged: Path, tmp_path: Path) -> None:
    encoder, db = CountingEncoder(), tmp_path / "db"
    first = evaluate_search(judged, model=encoder, db=db)
    assert encoder.documents == 4
    config = EvaluationConfig(mode="semantic")
    again = evaluate_search(judged, config, model=encoder, db=db)
    assert encoder.documents == 4
    assert first.documents == again.documents == 4
    fresh = evaluate_search(judged, config, model=FakeEncoder())
    assert again.measures == fresh.measures


def test_a_search_by_words_alone_embeds_only_what_is_kept(judged: Path, tmp_path: Path) -> None:
    write_lines(judged / "corpus.jsonl", CORPUS | {"1": "the cat sat on the mat. " * 100})
    config, encoder = EvaluationConfig(mode="keyword"), CountingEncoder()
    found = evaluate_search(judged, config, model=encoder)
    assert encoder.documents == 0
    kept = evaluate_search(judged, config, model=encoder, db=tmp_path / "db")
    assert encoder.documents > 4
    assert (found.measures, found.documents, found.model) == (kept.measures, 4, "fake-32-0")
    with pytest.raises(NotFoundError, match="neither a folder"):
        evaluate_search(judged, config, model="nowhere/")


def test_a_kept_collection_of_something_else_is_left_alone(judged: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("my own notes", encoding="utf-8")
    with Collection.open(tmp_path / "db", model=FakeEncoder()) as collection:
        collection.sync([tmp_path / "note.txt"])
    with pytest.raises(InputError, match=r"holds other documents.*note\.txt"):
        evaluate_search(judged, model=FakeEncoder(), db=tmp_path / "db")
    with Collection.open(tmp_path / "db") as collection:
        assert len(collection) == 1
    with pytest.raises(FingerprintError):
        evaluate_search(judged, model=FakeEncoder(seed=1), db=tmp_path / "db")


def test_whole_documents_are_one_chunk_each(judged: Path, tmp_path: Path) -> None:
    write_lines(judged / "corpus.jsonl", CORPUS | {"1": "the cat sat on the mat. " * 100})
    for whole, chunks in ((True, 4), (False, None)):
        db = tmp_path / f"db{whole}"
        config = EvaluationConfig(whole_documents=whole)
        evaluate_search(judged, config, model=FakeEncoder(), db=db)
        with Collection.open(db) as collection:
            count = collection.status().chunks
        assert count == chunks or (chunks is None and count > 4)
    with pytest.raises(InputError, match="cut"):
        evaluate_search(judged, model=FakeEncoder(), db=tmp_path / "dbTrue")


# Splits and bad input


def test_the_split_is_test_or_the_first_which_is_told(judged: Path) -> None:
    write_qrels(judged / "qrels" / "dev.tsv", [("a", "1", 1)])
    notes = Notes()
    assert evaluate(judged, notes).split == "test"
    assert notes.lines == []
    assert evaluate(judged, split="dev").queries == 1
    (judged / "qrels" / "test.tsv").unlink()
    assert evaluate(judged, notes).split == "dev"
    assert notes.lines == ["there is no split test; this is dev of dev"]
    with pytest.raises(NotFoundError, match="its splits: dev"):
        evaluate(judged, split="train")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a 1 1", r"test\.tsv:3: a judgement is query-id TAB"),
        ("a\t1", r"test\.tsv:3: a judgement is"),
        ("a\t\t1", r"test\.tsv:3: a judgement is"),
        ("a\t1\thigh", r"test\.tsv:3: the score 'high'"),
        ("a\t1\t0.5", r"test\.tsv:3: the score '0\.5'"),
        ("a\t1\t99999999999", r"test\.tsv:3: .*out of range"),
        ("a\t1\t3", r"test\.tsv:3: document '1' was given another score for query 'a'"),
    ],
)
def test_a_malformed_judgement_is_named(judged: Path, line: str, message: str) -> None:
    path = judged / "qrels" / "test.tsv"
    path.write_text(f"query-id\tcorpus-id\tscore\na\t1\t2\n{line}", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_qrels(judged, "test")


def test_judgements_without_header_with_a_mark_and_crlf(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    path = tmp_path / "qrels" / "dev.tsv"
    path.write_bytes(b"\xef\xbb\xbf007\tdocs/a b.md\t1\r\n\r\n007\tx\t0\r\n007\tx\t0\r\n")
    assert read_qrels(tmp_path, "dev") == {"007": {"docs/a b.md": 1, "x": 0}}
    path.write_bytes(b"a\t1\t2\nb\t\xff\t1\n")
    with pytest.raises(InputError, match=r"dev\.tsv:2: not UTF-8"):
        read_qrels(tmp_path, "dev")
    (tmp_path / "qrels" / "cut.tsv.gz").write_bytes(gzip.compress(b"a\t1\t2\n" * 99)[:-9])
    with pytest.raises(InputError, match=r"cut\.tsv\.gz: gzip file is cut short"):
        read_qrels(tmp_path, "cut")
    assert split_names(tmp_path) == ["cut", "dev"]


def test_missing_parts_are_named(tmp_path: Path, judged: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        evaluate(tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match="no judgements"):
        evaluate(tmp_path)
    for split in (None, "test"):
        with pytest.raises(InputError, match="too long for a path"):
            evaluate(tmp_path / ("n" * 300), split=split)
    (judged / "corpus.jsonl").unlink()
    with pytest.raises(NotFoundError, match=r"neither corpus\.jsonl"):
        evaluate(judged)
    (judged / "queries.jsonl").unlink()
    with pytest.raises(NotFoundError, match=r"no queries\.jsonl"):
        evaluate(judged)


def test_ids_that_do_not_fit_together_are_remarked_or_refused(judged: Path) -> None:
    notes = Notes()
    write_qrels(judged / "qrels" / "test.tsv", [*QRELS, ("a", "no such", 1), ("no such", "1", 1)])
    found = evaluate(judged, notes, mode="keyword")
    assert found.queries == 3
    assert found.measures["recall@100"] == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert notes.lines == [
        "queries.jsonl lacks 1 of 4 judged queries, which are left out: 'no such'",
        "the corpus lacks 1 of 5 relevant documents, which cannot be found: 'no such'",
    ]
    write_qrels(judged / "qrels" / "test.tsv", [("a", "no such", 1)])
    told = "none of the 1 relevant documents is in the corpus .*: 'no such'; .* ids such as '1'$"
    with pytest.raises(InputError, match=told):
        evaluate(judged)
    write_qrels(judged / "qrels" / "test.tsv", [("a", "1", 0)])
    with pytest.raises(InputError, match=r"no query .* is judged"):
        evaluate(judged)


def test_damaged_lines_are_told_and_a_query_given_twice_refused(judged: Path) -> None:
    with (judged / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write("{\n")
    notes = Notes()
    assert evaluate(judged, notes).documents == 4
    assert len(notes.lines) == 1
    assert notes.lines[0].startswith("skipped corpus.jsonl:5: not JSON")
    with (judged / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"_id": "a", "text": "again"}\n')
    with pytest.raises(InputError, match="the query id 'a' stands in it more than once"):
        evaluate(judged)


def test_an_id_that_two_documents_have_is_told(judged: Path) -> None:
    with (judged / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"_id": "3", "text": "rain"}) + "\n")
    notes = Notes()
    assert evaluate(judged, notes).documents == len(CORPUS)
    assert any("the corpus has 1 id more than once" in note for note in notes.lines)
    assert any("'3'" in note for note in notes.lines)


def test_fewer_results_than_recall_asks_for_are_told(judged: Path) -> None:
    for depth, told in ((10, True), (100, False)):
        notes = Notes()
        evaluate(judged, notes, depth=depth)
        assert any("10 results a query: recall@100" in note for note in notes.lines) is told


@pytest.mark.parametrize("settings", [{"depth": 0}, {"mode": "fuzzy"}])
def test_settings_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(InputError):
        EvaluationConfig(**settings)


# The command


def test_the_command_prints_json_alone(
    judged: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "embedsearch.collection.collection.Collection.open", _opener(Collection.open)
    )
    monkeypatch.setenv("EMBEDSEARCH_DB", str(judged / "mine"))
    assert main(["evaluate", "search", str(judged), "--mode", "semantic", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    required = {"ndcg@10", "recall@100", "mrr@10", "map", "queries", "documents", "mode", "seconds"}
    assert required | {"model", "split", "queries_without_relevant"} == printed.keys()
    assert printed["queries"] == 3
    assert not (judged / "mine").exists()
    assert main(["evaluate", "search", str(judged), "-k", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["mrr@10", "1.0000"] for line in lines)


def _opener(really: object) -> object:
    def opened(path: Path, *, model: str | None, **settings: object) -> Collection:
        assert model is None
        return really(path, model=FakeEncoder(), **settings)

    return opened


def test_the_command_fails_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "search", str(tmp_path / "none")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "no such folder" in told.err


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "documents", "judged"),
    [("adi", 82, 35), ("cranfield", 1398, 225), ("cacm", 3204, 52), ("scifact", 5183, 300)],
)
def test_public_sets_are_read_whole(
    name: str, documents: int, judged: int, public_set: Callable[[str], Path]
) -> None:
    folder = public_set(name)
    notes: list[str] = []
    corpus = {d.id for d in read_corpus(folder, lambda place, _: notes.append(place))}
    assert len(corpus) == documents
    assert len(notes) == (2 if name == "cranfield" else 0)
    qrels = read_qrels(folder, "test")
    queries = read_queries(folder, lambda *_: None)
    assert sum(any(grades.values()) for grades in qrels.values()) == judged
    assert qrels.keys() <= queries.keys()
