"""Reading training data: each shape from each format, and what is wrong named by file and line."""

from __future__ import annotations

import csv
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
        ("a.jsonl", '{"question": "a", "answer": "b", "category": "c"}', [("a", "b")]),
        ("a.jsonl", '{"question": "a", "answer": "b", "category": ["c", "d"]}', [("a", "b")]),
        ("a.csv", "question,answer,label\na,b,0\nc,d,1\n", [("a", "b", 0.0), ("c", "d", 1.0)]),
        ("a.csv", "\n  \r\nanchor,positive\nq,d\n", [("q", "d")]),
        ("a.tsv", "\nanchor\tpositive\n\nq\td\n", [("q", "d")]),
        ("a.csv", "what is it,since 1999\nq,1999 or so\n",
         [("what is it", "since 1999"), ("q", "1999 or so")]),
        ("a.csv", "cat,an animal\ntwo words,d e\n", [("cat", "an animal"), ("two words", "d e")]),
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
    headed = write(tmp_path / "b.csv", "Quality\t#1 ID\t#1 String\t#2 String\n1\t7\tb\tc\n")
    columns = ("score", "-", "first", "second")
    assert plain(read(headed, columns=columns)) == [("b", "c", 1.0)]
    unknown = write(tmp_path / "c.csv", "premise,hypothesis\ntwo words,in each\n")
    assert plain(read(unknown, columns=("anchor", "positive")))[0] == ("premise", "hypothesis")
    known = write(tmp_path / "d.csv", "question,note,answer\nq,n,d\n")
    assert plain(read(known, columns=("anchor", "-", "positive"))) == [("q", "d")]


@pytest.mark.parametrize("row", ["bad,one two,three four", "bad,answer,three four", ",b,c"])
def test_a_first_row_without_a_score_is_no_header_unless_its_names_are_known(tmp_path, row):
    path = write(tmp_path / "a.csv", f"{row}\n0.5,q,d\n")
    with pytest.raises(InputError, match=r"a\.csv:1: the score '(bad)?' is no number"):
        read(path, columns=("score", "sentence1", "sentence2"))


def test_long_fields_are_read_as_long_lines_are(tmp_path):
    usual = csv.field_size_limit()
    text = "long " * 40_000
    path = write(tmp_path / "a.csv", f'anchor,positive\nq,"{text}"\n')
    assert plain(read(path)) == [("q", text)]
    assert csv.field_size_limit() == usual


def test_one_path_is_as_good_as_a_list(tmp_path):
    path = write(tmp_path / "a.csv", "q,d\n")
    assert plain(read_training_data(str(path))) == plain(read_training_data(path)) == [("q", "d")]


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
        ("a.tsv", "query\tdocument\nq\n", "a.tsv:2: 1 column where there should be 2"),
        ("a.csv", "sentence1,sentence2,score\na,b,\nc,d,1\n", "a.csv:2: the score '' is no number"),
        ("a.tsv", "id\tsentence_A\tsentence_B\trelatedness_score\n1\ta\tb\t4.5\n",
         "a.tsv:1: two texts to compare, and no score among the columns id, sentence_A, "
         "sentence_B, relatedness_score: say with --columns"),
        ("a.jsonl", '{"sentence1": "a", "sentence2": "b"}', "a.jsonl:1: two texts to compare"),
        ("a.jsonl", '{"first": "a", "second": "b", "score": null}', "a.jsonl:1: two texts"),
        ("a.tsv", "news\tvid\t0001\t5.0\ta\tb\n", "a.tsv:1: '0001' is a number where a text"),
        ("a.csv", "Rank,Text 1,Text 2\n7,a b,c d\n", "a.csv:2: '7' is a number where a text"),
        ("a.csv", "q,d\nr,1988\n", "a.csv:2: '1988' is a number"),
        ("a.csv", "q,7,0.5\n", "a.csv:1: '7' is a number"),
        ("a.csv", "premise,hypothesis\na man,eats it\n", "a.csv:1: 'premise, hypothesis'"),
        ("a.csv", "premise,hypothesis,entails\na man,eats it,1\n", "a.csv:1: 'premise, "),
        ("a.csv", "\n\na,b,1\na,c,9\n", "a.csv:4: the score 9"),
        ("a.csv", "\n\n", "there are no examples"),
        ("a.jsonl", "", "there are no examples"),
        ("a.pdf", "x", "training data is .jsonl"),
        ("a.jsonl", b'["q", "\xff"]', "a.jsonl:1: not UTF-8"),
        ("a.csv", 'a,"b\n', "a.csv:1: a quote that opens here is not closed"),
        ("a.csv", 'q,d\n"r\ns",e\nt,"f\ng,h\n', "a.csv:4: a quote that opens here"),
        ("a.jsonl", '{"text": "a", "label": ["x", "y"]}', "a.jsonl:1: 2 values for the label"),
        ("a.jsonl", '{"text": "a", "label": []}', "a.jsonl:1: 0 values for the label"),
        ("a.jsonl", '["a", "b", 0]\n{"first": "a", "second": "b", "score": []}',
         "a.jsonl:2: 0 values for the score"),
        ("a.csv", "sentence1,sentence2,score,similarity\na,b,0.1,0.9\n",
         "a.csv:2: 2 values for the score"),
        ("a.jsonl", '{"anchor": "a", "positive": "b", "label": ["x", 0]}',
         "2 values for the label"),
        ("a.jsonl", f'{{"first": "a", "second": "b", "score": 1{"0" * 400}}}', "is no number"),
    ],
)  # fmt: skip
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
