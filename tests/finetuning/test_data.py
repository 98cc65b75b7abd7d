"""Reading training data: each shape from each format, and what is wrong named by file and line."""

from __future__ import annotations

import gzip
import json
import re

import pytest

import embedsearch as es
from embedsearch.errors import InputError, NotFoundError
from embedsearch.finetuning.data import TrainingDataConfig, read_training_data
from tests.support import write


def read(path, **settings):
    return read_training_data([path], TrainingDataConfig(**settings))


def plain(examples):
    return [(*each.texts, *([each.score] if hasattr(each, "score") else [])) for each in examples]


FOUR = ("q", "d", "x", "y")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.jsonl", '{"anchor": "q", "positive": "d"}', [("q", "d")]),
        ("a.jsonl", '\n{"query": "q", "answer": "d", "negatives": ["x", "y"]}\n', [FOUR]),
        ("a.jsonl", '{"question": "q", "pos": "d", "negative_1": "x", "negative_2": "y"}', [FOUR]),
        ("a.jsonl", '["q", "d"]\n["r", "e", "x"]', [("q", "d"), ("r", "e", "x")]),
        ("a.jsonl", '["q", "d", 0.5]', [("q", "d", 0.5)]),
        ("a.csv", 'sentence1,sentence2,score\n"a, ""b""",c,0.25\n', [('a, "b"', "c", 0.25)]),
        ("a.csv", "q,d\nr,e\n", [("q", "d"), ("r", "e")]),
        ("a.csv", "q,d,1\n", [("q", "d", 1.0)]),
        ("a.csv", "q,d,x\n", [("q", "d", "x")]),
        ("a.tsv", 'Query\tDocument\nsay "q\td\n', [('say "q', "d")]),
        ("a.csv", 'text,category\n"one\ntwo",x\n', [("one\ntwo",)]),
        ("a.jsonl", '{"sentence1": "a", "sentence2": "b"}', [("a", "b")]),
        ("a.jsonl", '{"sentence1": "a", "sentence2": "b", "label": 1}', [("a", "b", 1.0)]),
    ],
)  # fmt: skip
def test_shapes_and_formats(tmp_path, name, text, expected):
    path = write(tmp_path / name, text)
    assert plain(read(path)) == [tuple(row) for row in expected]
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert plain(read(packed)) == [tuple(row) for row in expected]


def test_columns_can_be_named(tmp_path):
    path = write(tmp_path / "a.csv", 'news\tx\t2.5\tone "a\ttwo\tlicence\nnews\ty\t5\tb\tc\r\n')
    found = read(path, columns=("-", "-", "score", "sentence1", "sentence2"), max_score=5.0)
    assert plain(found) == [('one "a', "two", 0.5), ("b", "c", 1.0)]
    assert found[1].place == f"{path}:2"
    headed = write(tmp_path / "b.csv", "Quality\tA\tB\n1\tb\tc\n")
    assert plain(read(headed, columns=("score", "first", "second"))) == [("b", "c", 1.0)]


def test_a_judged_collection(tmp_path):
    corpus = [{"_id": f"d{i}", "title": f"T{i}", "text": f"text {i}"} for i in range(4)]
    write(tmp_path / "corpus.jsonl", "\n".join(map(json.dumps, corpus)))
    write(tmp_path / "queries.jsonl", '{"_id": "1", "text": "one"}\n{"_id": "2", "text": "two"}')
    write(
        tmp_path / "qrels/train.tsv", "query-id\tcorpus-id\tscore\n1\td0\t1\n1\td1\t0\n1\td2\t2\n"
    )
    write(tmp_path / "qrels/test.tsv", "2\td3\t1\n")
    found = read(tmp_path)
    assert [(p.anchor, p.positive, p.negatives, p.document) for p in found] == [
        ("one", "T0\ntext 0", ("T1\ntext 1",), "d0"),
        ("one", "T2\ntext 2", ("T1\ntext 1",), "d2"),
    ]
    assert [pair.anchor for pair in read(tmp_path, split="test")] == ["two"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '["q", "d"]\n{"q', "a.jsonl:2: not JSON"),
        ("a.jsonl", '["q", "d"]\n7', "a.jsonl:2: neither a JSON object nor a list"),
        ("a.jsonl", '{"title": "x"}', "a.jsonl:1: neither a pair"),
        ("a.jsonl", '{"anchor": "x"}', "a.jsonl:1: 0 texts for the positive"),
        ("a.jsonl", '{"anchor": 7, "positive": "d"}', "a.jsonl:1: the anchor is int"),
        ("a.csv", "sentence1,sentence2,score\na,b,1\na,b,much\n", "a.csv:3: the score 'much'"),
        ("a.csv", "a,b,1\na,c,3.8\n", "a.csv:2: the score 3.8 is not between 0 and 1"),
        ("a.csv", "a,b,-1\n", "a.csv:1: the score -1"),
        ("a.tsv", "query\tdocument\nq\n", "a.tsv:2: 1 columns where there should be 2"),
        ("a.jsonl", "", "there are no examples"),
        ("a.pdf", "x", "training data is .jsonl"),
        ("a.jsonl", b'["q", "\xff"]', "a.jsonl:1: not UTF-8"),
        ("a.csv", 'a,"b\n', "a.csv:1"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, text, message):
    path = write(tmp_path / name, text)
    with pytest.raises(InputError, match=re.escape(message)):
        read(path)


def test_paths_and_shapes(tmp_path):
    with pytest.raises(NotFoundError, match="no_such"):
        read(tmp_path / "no_such.csv")
    pairs, scored = write(tmp_path / "a.csv", "q,d\n"), write(tmp_path / "b.csv", "a,b,1\n")
    with pytest.raises(InputError, match=r"b\.csv:1 is a ScoredPair"):
        read_training_data([pairs, scored])
    with pytest.raises(InputError, match="unknown column 'x'"):
        TrainingDataConfig(columns=("x",))


def test_the_trainer_names_the_place_of_bad_examples(tmp_path):
    path = write(tmp_path / "a.jsonl", '["q", "d"]\n["same", "Same "]\n')
    with pytest.raises(InputError, match=r"a\.jsonl:2: both sides"):
        es.train_encoder(path, output=tmp_path / "out")
    with pytest.raises(InputError, match="example 1 is int"):
        es.train_encoder([1], output=tmp_path / "out")
    path = write(tmp_path / "b.jsonl", '["q", "d"]\n["r", "e"]\n')
    with pytest.raises(InputError, match="kept for measuring"):
        es.train_encoder(path, output=tmp_path / "out", held_out=[("Q", "other")])
    assert not (tmp_path / "out").exists()
