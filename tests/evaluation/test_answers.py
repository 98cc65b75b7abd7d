"""Measures of answers, against values worked out by hand."""

from __future__ import annotations

import gzip
import json

import pytest

from embedsearch.answers.answer import AnswerConfig
from embedsearch.collection.collection import Collection
from embedsearch.errors import InputError, NotFoundError
from embedsearch.evaluation.answers import contains, evaluate_answers, exact_match, f1
from embedsearch.evaluation.squad import read_squad
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder


def entry(question: str, *answers: str, impossible: bool = False) -> dict:
    listed = [{"text": answer, "answer_start": 0} for answer in answers]
    return {"question": question, "answers": listed, "is_impossible": impossible}


BRIDGE = "The bridge crosses the river. It was opened in 1894."
BREAD = "Bread is baked in an oven. Salt is added to the dough."
FILE = {
    "version": "2",
    "data": [
        {
            "title": "Old_bridge",
            "paragraphs": [
                {
                    "context": BRIDGE,
                    "qas": [
                        entry("When was it opened?", "1894", "in 1894"),
                        entry("Why are vacuum cleaners loud?", impossible=True),
                    ],
                }
            ],
        },
        {
            "title": "Bread",
            "paragraphs": [
                {"context": BREAD, "qas": [entry("What is added to the dough?", "Salt")]},
                {"context": BREAD, "qas": [entry("How fast do vacuum cleaners fly?", "no idea")]},
            ],
        },
    ],
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "set.json"
    path.write_text(json.dumps(FILE), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "answers", "exact", "overlap", "held"),
    [
        ("The  1894!", ["1894"], 1, 1, True),
        ("It was opened in 1894.", ["in 1894"], 0, 2 * 2 / 7, True),
        ("It was opened in 1894.", ["1894", "In 1894"], 0, 2 * 2 / 7, True),
        ("nothing", ["1894"], 0, 0, False),
        ("", ["1894"], 0, 0, False),
        ("", [], 1, 1, False),
        ("words", [], 0, 0, False),
        ("New\nYork", ["new york"], 1, 1, True),
        ("", ["The", "Beatles"], 0, 0, False),  # the first has no word, so it is no answer
        ("", ["The"], 1, 1, False),
        ("a smart party in 18945", ["art", "part", "1894", ""], 0, 0, False),
        ("It cost €5, twice.", ["€5"], 0, 0.4, True),
        ("橋は1894年に開通した", ["1894年", "開通"], 0, 0, True),
    ],
)
def test_measures(text, answers, exact, overlap, held):
    assert exact_match(text, answers) == exact
    assert f1(text, answers) == pytest.approx(overlap)
    assert contains(text, answers) is held


def test_reading(file, tmp_path):
    found = read_squad(file)
    assert [(d.id, d.title, d.text) for d in found.documents] == [
        ("Old_bridge/0", "Old bridge", BRIDGE),
        ("Bread/0", "Bread", BREAD),
    ]
    assert [(q.document_id, q.answers) for q in found.questions] == [
        ("Old_bridge/0", ("1894", "in 1894")),
        ("Old_bridge/0", ()),
        ("Bread/0", ("Salt",)),
        ("Bread/0", ("no idea",)),
    ]
    packed = tmp_path / "set.json.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert read_squad(packed) == found


def test_evaluation(file):
    found = evaluate_answers(file, AnswerConfig(sentences=1), model=FakeEncoder()).as_json()
    right = "It was opened in 1894.", "Salt is added to the dough."
    expected = {
        "questions": 4,
        "answerable": 3,
        "exact_match": 1 / 4,  # the question that cannot be answered, and was not
        "f1": (f1(right[0], ["in 1894"]) + 1 + f1(right[1], ["Salt"]) + 0) / 4,
        "answer_contained": 2 / 3,
        "gold_passage_cited_first": 2 / 3,
        "citation_precision": 1,
        "citation_recall": 2 / 3,
        "retrieval_recall": 1,
        "answerable_abstained": 1 / 3,
        "documents": 2,
        "generator": "extractive",
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["abstention"] == {"precision": 1 / 2, "recall": 1}


def test_without_unanswerable_questions_there_is_no_recall_of_abstention(tmp_path):
    path = tmp_path / "one.json"
    paragraphs = [{"context": BRIDGE, "qas": [entry("When was it opened?", "1894")]}]
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")
    found = evaluate_answers(path, model=FakeEncoder())
    assert found.abstention == {"precision": None, "recall": None}
    assert found.gold_passage_cited_first == 1


def test_the_collection_is_kept_and_must_be_the_same(file, tmp_path):
    encoder = FakeEncoder()
    evaluate_answers(file, model=encoder, db=tmp_path / "kept")
    with Collection.open(tmp_path / "kept", model=encoder) as kept:
        assert len(kept) == 2
        kept.upsert([Document(id="other", text="words")])
    with pytest.raises(InputError, match="other"):
        evaluate_answers(file, model=encoder, db=tmp_path / "kept")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{", "not JSON"),
        ("[]", "'data'"),
        ('{"data": []}', "no questions"),
        ('{"data": [{"paragraphs": 3}]}', "article 1"),
        ('{"data": [{"title": 3, "paragraphs": []}]}', "title"),
        ('{"data": [{"paragraphs": [{"qas": []}]}]}', "'context'"),
        ('{"data": [{"paragraphs": [{"context": "a", "qas": [{}]}]}]}', "question 1"),
        (
            '{"data": [{"paragraphs": [{"context": "a", "qas": [{"question": " "}]}]}]}',
            "empty",
        ),
        (
            '{"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "b"}]}]}]}',
            "'answers'",
        ),
        ('{"data": [{"paragraphs": [{"context": "\\ud800", "qas": []}]}]}', "surrogate"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_files_in_another_layout(tmp_path, content, part):
    path = tmp_path / "bad.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=part):
        read_squad(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError, match=r"none\.json"):
        read_squad(tmp_path / "none.json")
    with pytest.raises(InputError, match="too long for a path"):
        read_squad(tmp_path / ("n" * 300))
