"""The whole path on learned weights: tokenizer, training, retrieval, prompt, writing, the check.

A small language model is trained from nothing on invented facts and asked about others; longer, and
with another seed, it learns in `benchmarks/written_answers.py`, which tells how well it does.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from embedsearch.answers.answer import AnswerConfig
from embedsearch.collection.collection import Collection
from embedsearch.generation import CausalLM, GenerationConfig
from embedsearch.generation.training import (
    ArchitectureConfig,
    LMTrainingConfig,
    Pair,
    start_anew,
    train_lm,
)
from embedsearch.text.tokenizer import Tokenizer
from tests.fake_encoder import FakeEncoder

TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'user' %}{{ message.content }}"
    "{% endif %}{% endfor %}{{ '\\nAnswer: ' }}"
)
MARKS = ["</source>", '<source id="1">', '<source id="2">', "[1]", "[2]"]
PASSAGES, PAIRS, QUESTIONS = 2, 26_000, 40
LEARNED, ASKED = 1, 2


@pytest.fixture(scope="module")
def facts():
    """The world of the benchmark, `benchmarks/facts.py`."""
    path = Path(__file__).parents[2] / "benchmarks" / "facts.py"
    spec = importlib.util.spec_from_file_location("facts", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["facts"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["facts"]


@pytest.fixture(scope="module")
def lm(tmp_path_factory, facts):
    without = frozenset(facts.world(ASKED))
    learned = [
        Pair(prompt=tuple(messages), response=response)
        for messages, response in facts.pairs(LEARNED, PAIRS, passages=PASSAGES, without=without)
    ]
    texts = (f"{pair.prompt[-1]['content']}\n{pair.response}" for pair in learned[:4000])
    tokenizer = Tokenizer.train(texts, kind="byte-bpe", vocab_size=1200)
    tokenizer = tokenizer.with_tokens(MARKS)
    architecture = ArchitectureConfig(hidden_size=128, layers=3, heads=4, head_dim=64, context=768)
    config = LMTrainingConfig(
        epochs=1,
        max_tokens=768,
        rows_per_step=1,
        learning_rate=2.5e-3,
        warmup_steps=60,
        recall_steps=1000,
        seed=1,
    )
    folder = tmp_path_factory.mktemp("learned") / "model"
    start = start_anew(tokenizer, architecture, seed=1, chat_template=TEMPLATE)
    train_lm(learned, config, start=start, output=folder, device="cpu")
    return CausalLM.load(folder, device="cpu", dtype="float32")


@pytest.mark.slow
def test_facts_that_were_never_seen_are_answered_with_their_source(tmp_path, facts, lm):
    known = facts.world(ASKED)[:QUESTIONS]
    read = right = 0
    with Collection.open(tmp_path / "facts.es", model=FakeEncoder()) as collection:
        collection.upsert(fact.document for fact in facts.world(ASKED))
        answers = collection.ask_batch(
            [fact.question for fact in known],
            generator=lm,
            config=AnswerConfig(passages=PASSAGES, mode="keyword"),
            generation=GenerationConfig(max_new_tokens=32),
        )
        for fact, answer in zip(known, answers, strict=True):
            cited = {citation.document_id for citation in answer.citations}
            read += fact.value in answer.text
            right += fact.value in answer.text and cited == {fact.document.id}
            for citation in answer.citations:
                text = collection.get(citation.document_id).text
                assert text[citation.start : citation.end] == citation.text
    assert read >= 0.9 * QUESTIONS
    assert right >= 0.9 * QUESTIONS
