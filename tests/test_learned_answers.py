"""The whole path on learned weights: tokenizer, training, retrieval, writing, the check.

A small model learns from invented facts to answer from passages, and is asked about others.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from embedsearch.answers import AnswerConfig
from embedsearch.collection import Collection
from embedsearch.generation import CausalLM, GenerationConfig
from embedsearch.generation.training import (
    ArchitectureConfig,
    LMTrainingConfig,
    read_pairs,
    start_anew,
    train_lm,
)
from embedsearch.text.tokenizer import Tokenizer
from tests.fake_encoder import FakeEncoder

TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'user' %}{{ message.content }}"
    "{% endif %}{% endfor %}{{ '\nAnswer: ' }}"
)
QUESTIONS, NAMES = 30, 40


@pytest.fixture(scope="module")
def facts():
    """The world of the benchmark, `benchmarks/facts.py`."""
    path = Path(__file__).parents[1] / "benchmarks" / "facts.py"
    spec = importlib.util.spec_from_file_location("facts", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["facts"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["facts"]


@pytest.fixture(scope="module")
def lm(tmp_path_factory, facts):
    """A model with a tokenizer of its own, trained from nothing."""
    home = tmp_path_factory.mktemp("learned")
    pairs = read_pairs(
        [facts.write_pairs(home / "pairs.jsonl", 1, 3000, most_passages=2, names=NAMES)]
    ).pairs
    texts = (pair.prompt[-1]["content"] for pair in pairs)
    tokenizer = Tokenizer.train(texts, kind="byte-bpe", vocab_size=800)
    architecture = ArchitectureConfig(hidden_size=64, layers=2, heads=2, context=512)
    config = LMTrainingConfig(
        epochs=4, max_tokens=256, rows_per_step=4, learning_rate=4e-3, prompt_weight=0.1
    )
    start = start_anew(tokenizer, architecture, chat_template=TEMPLATE)
    train_lm(pairs, config, start=start, output=home / "model", device="cpu")
    return CausalLM.load(home / "model", device="cpu", dtype="float32")


@pytest.mark.slow
def test_facts_that_were_never_seen_are_answered_with_their_source(tmp_path, facts, lm):
    asked, right = facts.World(2, names=NAMES).facts(QUESTIONS), 0
    with Collection.open(tmp_path / "facts.es", model=FakeEncoder()) as collection:
        collection.upsert(fact.document for fact in asked)
        for fact in asked:
            answer = collection.ask(
                fact.question,
                generator=lm,
                config=AnswerConfig(passages=2, mode="keyword"),
                generation=GenerationConfig(max_new_tokens=32),
            )
            cited = {citation.document_id for citation in answer.citations}
            right += fact.value in answer.text and cited == {fact.document.id}
            for citation in answer.citations:
                text = collection.get(citation.document_id).text
                assert text[citation.start : citation.end] == citation.text
    assert right >= 0.95 * QUESTIONS
