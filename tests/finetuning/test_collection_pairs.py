"""Pairs out of documents alone."""

from __future__ import annotations

import pytest

from embedsearch.collection.collection import Collection
from embedsearch.errors import InputError
from embedsearch.finetuning.collection_pairs import (
    KINDS,
    CollectionPairsConfig,
    pairs_from_collection,
)
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder

PARAGRAPH = "The first rule is simple enough. The second rule needs some care. The third is odd."
DOCUMENT = Document(
    id="guide",
    title="How to brew good coffee",
    format="markdown",
    text=f"{PARAGRAPH}\n\n# Grinding the beans well\n\n{PARAGRAPH.replace('rule', 'bean')}\n",
)


@pytest.fixture
def collection(tmp_path):
    with Collection.open(tmp_path / "c", model=FakeEncoder()) as opened:
        opened.upsert([DOCUMENT, Document(id="bare", text="too short")])
        yield opened


def made(collection, **settings):
    return pairs_from_collection(collection, CollectionPairsConfig(**settings)).pairs


def test_titles_and_headings_find_their_texts(collection):
    (title,) = made(collection, kinds=("title",))
    assert title.anchor == DOCUMENT.title
    assert title.positive.startswith("The first rule")
    assert title.document == "guide"
    (heading,) = made(collection, kinds=("heading",))
    assert heading.anchor == "Grinding the beans well"
    assert heading.positive.startswith("The first bean")
    assert "Grinding" not in heading.positive


def test_sentences_find_their_paragraph_with_and_without_them(collection):
    for pair in made(collection, kinds=("sentence",)):
        assert pair.anchor in pair.positive
    for pair in made(collection, kinds=("cloze",)):
        assert pair.anchor in PARAGRAPH + PARAGRAPH.replace("rule", "bean")
        assert pair.anchor not in pair.positive


def test_scripts_without_blanks_between_words(tmp_path):
    sentences = [
        "最初の規則はとても簡単です。",
        "二番目の規則には注意が必要です！",
        "三番目は奇妙です。",
    ]
    document = Document(id="ja", title="おいしいコーヒーの淹れ方", text="".join(sentences))
    with Collection.open(tmp_path / "ja", model=FakeEncoder()) as opened:
        opened.upsert([document, Document(id="short", title="短い", text="短い文")])
        found = pairs_from_collection(opened)
    assert found.found == {"title": 1, "cloze": 1, "sentence": 1}
    pairs = {pair.place.split()[0]: pair for pair in found.pairs}
    assert (pairs["title"].anchor, pairs["title"].positive) == (document.title, document.text)
    for kind in ("cloze", "sentence"):
        assert pairs[kind].anchor in sentences
        assert (pairs[kind].anchor in pairs[kind].positive) == (kind == "sentence")


def test_passages_find_the_next_one(collection):
    (pair,) = made(collection, kinds=("adjacent",))
    assert pair.anchor.startswith("The first rule")
    assert "The first bean" in pair.positive


def test_a_limit_draws_evenly_and_the_seed_decides(collection):
    collection.upsert(
        [Document(id=f"d{i}", title=f"Title number {i} of many", text=PARAGRAPH) for i in range(60)]
    )
    everything = pairs_from_collection(collection)
    assert sum(everything.found.values()) == len(everything.pairs)
    assert everything.found["title"] == 61
    assert set(everything.found) == set(KINDS)
    some = made(collection, limit=20, seed=1)
    assert len(some) == 20
    assert some == made(collection, limit=20, seed=1) != made(collection, limit=20, seed=2)
    assert len({pair.document for pair in some}) > 10


def test_questions_that_will_be_asked_are_avoided(collection):
    config = CollectionPairsConfig(kinds=("title", "heading"))
    found = pairs_from_collection(collection, config, avoid=[DOCUMENT.title.upper()])
    assert [pair.anchor for pair in found.pairs] == ["Grinding the beans well"]
    answer = found.pairs[0].positive
    found = pairs_from_collection(collection, config, avoid=[answer])
    assert answer not in {pair.positive for pair in found.pairs}


def test_documents_without_structure(tmp_path):
    with Collection.open(tmp_path / "e", model=FakeEncoder()) as opened:
        opened.upsert([Document(id="a", text="one two")])
        with pytest.raises(InputError, match="no training pair"):
            pairs_from_collection(opened)
    with pytest.raises(InputError, match="unknown kind"):
        CollectionPairsConfig(kinds=("poem",))
    for wrong in ({"limit": 0}, {"min_words": "4"}, {"seed": -1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            CollectionPairsConfig(**wrong)
