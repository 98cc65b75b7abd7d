"""`ask` without a language model: what is quoted, where it stands, when it says nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest

from embedsearch.answers.answer import EXTRACTIVE, NO_ANSWER, AnswerConfig
from embedsearch.answers.asking import Asker
from embedsearch.collection.collection import Collection
from embedsearch.errors import InputError
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder

PAGES = {
    "bridge": "The bridge crosses the river. It was opened in 1894 by Ada Byron.\n"
    "The bridge was built of stone because wood was scarce. Boats pass under the bridge.",
    "bread": "Bread is baked in an oven. The oven must be hot. Salt is added to the dough.",
    "moon": "The rocket reached the moon.   Two people stood on the moon for a day.",
}


@pytest.fixture
def collection(tmp_path):
    with Collection.open(tmp_path / "c.es", model=FakeEncoder()) as made:
        made.upsert(Document(id=i, title=i.title(), text=text) for i, text in PAGES.items())
        yield made


def quoted(answer) -> list[tuple[str, str]]:
    return [(citation.document_id, citation.text) for citation in answer.citations]


ONE = AnswerConfig(sentences=1)


@pytest.mark.parametrize(
    ("question", "document", "sentence"),
    [
        ("What was the bridge built of?", "bridge",
         "The bridge was built of stone because wood was scarce."),
        ("When was the bridge opened?", "bridge", "It was opened in 1894 by Ada Byron."),
        ("What is added to dough?", "bread", "Salt is added to the dough."),
        ("How many people stood on the moon?", "moon", "Two people stood on the moon for a day."),
    ],
)  # fmt: skip
def test_the_sentence_that_answers_is_quoted(collection, question, document, sentence):
    answer = collection.ask(question, config=ONE)
    assert quoted(answer) == [(document, sentence)]
    assert answer.text == f"{sentence} [1]"
    assert answer.plain_text == sentence
    assert (answer.generator, answer.abstained) == (EXTRACTIVE, False)
    assert answer.hits[0].document_id == document
    assert list(answer.usage.seconds) == ["query_vector", "search", "reading"]


@pytest.mark.parametrize("sentences", [1, 2, 3, 20])
def test_citations_are_exact(collection, sentences):
    config = AnswerConfig(sentences=sentences, least_support=0)
    for question in ("Who opened the bridge?", "is the oven hot", "the", "moon moon", "xyzzy"):
        answer = collection.ask(question, config=config)
        assert answer.citations
        for number, citation in enumerate(answer.citations, start=1):
            text = PAGES[citation.document_id]
            assert citation.text == text[citation.start : citation.end] != ""
            assert citation.marker == f"[{number}]"
            assert answer.text.count(citation.marker) == 1


def test_sentences_that_follow_one_another_are_one_quote(collection, monkeypatch):
    monkeypatch.setattr("embedsearch.answers.extractive.MARGIN", 100.0)
    answer = collection.ask("How many people stood on the moon?", where={"id": "moon"})
    assert quoted(answer) == [("moon", PAGES["moon"])]
    assert answer.text == " ".join(PAGES["moon"].split()) + " [1]"


def test_a_question_that_nothing_answers(collection):
    answer = collection.ask("Why are vacuum cleaners loud?")
    assert answer.abstained
    assert (answer.text, answer.citations) == (NO_ANSWER, ())
    assert answer.hits
    assert not collection.ask(
        "Why are vacuum cleaners loud?", config=AnswerConfig(least_support=0)
    ).abstained


def test_nothing_to_read(tmp_path, collection):
    with Collection.open(tmp_path / "empty.es", model=FakeEncoder()) as empty:
        answer = empty.ask("Who?")
    assert (answer.text, answer.citations, answer.hits) == (NO_ANSWER, (), ())
    assert answer.abstained
    assert collection.ask("When was the bridge opened?", where={"id": "none"}).abstained
    assert collection.ask_batch([]) == []


def test_a_place_that_two_chunks_share_is_quoted_once(tmp_path):
    words = " ".join(f"word{number} is here." for number in range(60))
    with Collection.open(tmp_path / "c.es", model=FakeEncoder()) as collection:
        collection.upsert([Document(id="a", text=words)])
        assert collection.status().chunks > 1
        answer = collection.ask("word12 word13", config=AnswerConfig(sentences=20, least_support=0))
    spans = sorted((citation.start, citation.end) for citation in answer.citations)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_what_was_changed_meanwhile_is_not_quoted(collection, monkeypatch):
    read = Asker._read

    def change(asker, question, hits):
        ranked = read(asker, question, hits)
        collection.upsert([Document(id="bridge", text="Nothing" + PAGES["bridge"])])
        return ranked

    monkeypatch.setattr(Asker, "_read", change)
    answer = collection.ask("When was the bridge opened?", config=ONE)
    assert (answer.text, answer.abstained) == (NO_ANSWER, True)


def test_many_questions_are_answered_as_each_alone(collection):
    questions = ["When was the bridge opened?", "What is added to dough?", "Why is the sky blue?"]
    together = collection.ask_batch(questions)
    for question, answer in zip(questions, together, strict=True):
        alone = collection.ask(question)
        assert (alone.text, alone.citations) == (answer.text, answer.citations)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sentences": 0},
        {"sentences": 1.5},
        {"sentences": True},
        {"passages": 0},
        {"mode": "psychic"},
        {"least_support": -0.1},
        {"least_support": float("nan")},
        {"least_support": "high"},
    ],
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(InputError, match=str(next(iter(wrong.values())))):
        AnswerConfig(**wrong)


def test_an_empty_question(collection):
    with pytest.raises(InputError, match="empty"):
        collection.ask("  ")


def test_what_looks_like_a_marker_in_a_quote_is_text(tmp_path):
    page = "Use argv[1] to get the name.[2] It is [1] word."
    with Collection.open(tmp_path / "c.es", model=FakeEncoder()) as collection:
        collection.upsert([Document(id="a", text=page)])
        answer = collection.ask("How do I get the name?", config=ONE)
    assert answer.plain_text in page
    assert answer.plain_text.startswith("Use argv[1] to get the name.")
    assert answer.text == f"{answer.plain_text} [1]"


class Opposed(FakeEncoder):
    """Every question is the contrary of every document."""

    def encode_query(self, texts):
        return -self.encode_document(texts)

    def encode_document(self, texts):
        return super().encode_query(["stone"] * len(texts))


def test_with_no_least_support_there_is_always_an_answer(tmp_path):
    with Collection.open(tmp_path / "c.es", model=Opposed()) as collection:
        collection.upsert([Document(id="a", text="Bread is baked in an oven.")])
        for mode in ("hybrid", "semantic"):
            config = AnswerConfig(least_support=0, mode=mode)
            assert not collection.ask("xyzzy?", config=config).abstained


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("备份什么时候进行？", "备份每天晚上两点进行。"),
        ("恢复需要多长时间？", "恢复需要一个小时。"),
    ],
)
def test_scripts_without_blanks(tmp_path, question, sentence):
    page = "备份每天晚上两点进行。恢复需要一个小时。系统由三台服务器组成。"
    with Collection.open(tmp_path / "c.es", model=Opposed()) as collection:
        collection.upsert([Document(id="a", text=page)])
        answer = collection.ask(question, config=AnswerConfig(sentences=1, least_support=0))
    assert quoted(answer) == [("a", sentence)]
