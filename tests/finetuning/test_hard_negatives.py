"""Mining: what becomes a negative, what is dropped and why."""

from __future__ import annotations

import numpy as np
import pytest

from embedsearch.collection.collection import Collection
from embedsearch.encoder.training import TrainingPair
from embedsearch.errors import InputError
from embedsearch.finetuning.hard_negatives import MiningConfig, mine_hard_negatives
from embedsearch.types import Document
from tests.support import CountingEncoder

DOCUMENTS = [
    Document(id="answer", text="red apple pie recipe with cinnamon"),
    Document(id="copy", text="red apple pie recipe with cinnamon !"),
    Document(id="near", text="red apple tree in the garden"),
    Document(id="far", text="green pear tree in the garden"),
    Document(id="other", text="blue whale in the sea"),
]
PAIR = TrainingPair(
    anchor="red apple pie", positive="red apple pie recipe with cinnamon", document="answer"
)


@pytest.fixture
def collection(tmp_path):
    with Collection.open(tmp_path / "c", model=CountingEncoder()) as opened:
        opened.upsert(DOCUMENTS)
        yield opened


def mine(collection, pairs=(PAIR,), **settings):
    settings = {"cross_check": False, "count": 10, "duplicate": 1.0} | settings
    return mine_hard_negatives(collection, pairs, MiningConfig(**settings))


def texts(*ids):
    return {document.text for document in DOCUMENTS if document.id in ids}


def test_all_but_the_answer_are_negatives(collection):
    (mined,), report = mine(collection)
    assert set(mined.negatives) == texts("copy", "near", "far", "other")
    assert report.dropped == {"answer": 1, "beyond_count": 0}
    assert (report.pairs, report.candidates, report.kept) == (1, 5, 4)


def test_an_answer_is_known_by_its_text_too(collection):
    pair = TrainingPair(anchor=PAIR.anchor, positive=PAIR.positive.upper())
    (mined,), report = mine(collection, [pair])
    assert PAIR.positive not in mined.negatives
    assert report.dropped["answer"] == 1


def test_what_says_no_more_than_the_question_is_no_negative(collection):
    pair = TrainingPair(anchor="Red apple tree in the garden", positive="elsewhere")
    (mined,), report = mine(collection, [pair])
    assert set(mined.negatives) == texts("answer", "copy", "far", "other")
    assert report.dropped["question"] == 1


def test_the_other_answers_of_a_question_are_no_negatives(collection):
    second = TrainingPair(anchor=PAIR.anchor, positive="elsewhere", document="near")
    mined, report = mine(collection, [PAIR, second])
    assert all(not set(pair.negatives) & texts("answer", "near") for pair in mined)
    assert report.dropped["answer"] == 4


def test_a_question_in_another_case_is_the_same_question(collection):
    second = TrainingPair(anchor=PAIR.anchor.title(), positive="elsewhere", document="near")
    mined, report = mine(collection, [PAIR, second])
    assert all(not set(pair.negatives) & texts("answer", "near") for pair in mined)
    assert report.dropped["answer"] == 4


def test_duplicates_and_what_is_nearer_than_the_positive_less_a_margin(collection):
    encoder = CountingEncoder()
    query = encoder.encode_query([PAIR.anchor])[0]
    positive, *others = encoder.encode_document([document.text for document in DOCUMENTS])
    (mined,), report = mine(collection, duplicate=0.9)
    assert float(positive @ others[0]) > 0.9
    assert report.dropped["duplicate"] == 1
    assert set(mined.negatives) == texts("near", "far", "other")

    margin = float(query @ positive - query @ others[1]) + 0.01
    (mined,), report = mine(collection, margin=margin)
    kept = [
        document.text
        for document, vector in zip(DOCUMENTS[1:], others, strict=True)
        if query @ vector <= query @ positive - margin
    ]
    assert set(mined.negatives) == set(kept)
    assert report.dropped["margin"] == 4 - len(kept) > 0


def test_what_both_rankings_have_before_the_positive_is_dropped(collection):
    pair = TrainingPair(anchor="tree in the garden", positive=DOCUMENTS[0].text, document="answer")
    (mined,), report = mine(collection, [pair], cross_check=True)
    assert report.dropped["cross_check"] == 2
    assert not set(mined.negatives) & texts("near", "far")
    (mined,), report = mine(collection, [pair])
    assert set(mined.negatives) >= texts("near", "far")


def test_the_rank_window_and_the_count(collection):
    hits = collection.search(PAIR.anchor, 5, mode="semantic")
    (mined,), report = mine(collection, first=3, last=4, words=False)
    assert set(mined.negatives) == {hit.text for hit in hits[2:4]}
    (mined,), report = mine(collection, count=2)
    assert len(mined.negatives) == 2
    assert report.dropped["beyond_count"] == 2


@pytest.mark.parametrize(
    "config",
    [
        MiningConfig(words=False, cross_check=False, duplicate=1.0, count=100, last=30),
        MiningConfig(words=False, cross_check=False, margin=0.05, count=5, first=3, last=40),
        MiningConfig(words=False, count=100, last=30),
    ],
)
def test_mining_by_meaning_is_its_definition(tmp_path, config):
    random = np.random.default_rng(0)
    documents = [
        Document(id=str(number), text=" ".join(f"word{n}" for n in random.integers(60, size=8)))
        for number in range(200)
    ]
    pairs = [
        TrainingPair(
            anchor=" ".join(f"word{n}" for n in random.integers(60, size=4)),
            positive=document.text,
            document=document.id,
        )
        for document in documents[:40]
    ]
    with Collection.open(tmp_path / "c", model=CountingEncoder()) as collection:
        collection.upsert(documents)
        mined, _ = mine_hard_negatives(collection, pairs, config)
        found = collection.search_batch([p.anchor for p in pairs], config.last, mode="keyword")
    vectors = CountingEncoder().encode_document([document.text for document in documents])
    for number, (pair, hits) in enumerate(zip(mined, found, strict=True)):
        query = CountingEncoder().encode_query([pair.anchor])[0]
        order = np.argsort(-(vectors @ query), kind="stable")[: config.last].tolist()
        by_meaning = {row: rank for rank, row in enumerate(order, 1)}
        by_words = {int(hit.document_id): hit.rank for hit in hits}
        kept = [
            documents[row].text
            for row in order[config.first - 1 :]
            if row != number
            and vectors[row] @ vectors[number] <= config.duplicate
            and (config.margin is None
                 or vectors[row] @ query <= vectors[number] @ query - config.margin)
            and not (
                config.cross_check
                and by_meaning[row] < by_meaning.get(number, config.last + 1)
                and by_words.get(row, config.last + 1) < by_words.get(number, config.last + 1)
            )
        ]  # fmt: skip
        spread = np.linspace(0, len(kept) - 1, min(config.count, len(kept))).round().astype(int)
        assert pair.negatives == tuple(kept[place] for place in spread)


def test_vectors_of_chunks_are_not_made_again(collection):
    encoder = collection.encoder
    encoder.documents.clear()
    mine(collection)
    assert encoder.documents == []  # the positive is a chunk too


def test_many_pairs_are_mined_in_parts(collection):
    pairs = [
        TrainingPair(anchor=f"tree {i}", positive=f"text {i}", document="other") for i in range(150)
    ]
    mined, report = mine(collection, pairs)
    assert [pair.anchor for pair in mined] == [pair.anchor for pair in pairs]
    assert report.pairs == 150
    assert np.unique([len(pair.negatives) for pair in mined]).tolist() == [4]


def test_an_empty_collection_and_senseless_settings(tmp_path):
    with (
        Collection.open(tmp_path / "e", model=CountingEncoder()) as empty,
        pytest.raises(InputError, match="is empty"),
    ):
        mine_hard_negatives(empty, [PAIR])
    for wrong in ({"first": 3, "last": 2}, {"count": 0}, {"margin": 3.0}, {"duplicate": 0.0}):
        with pytest.raises(InputError):
            MiningConfig(**wrong)
