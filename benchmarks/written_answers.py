"""The whole path on learned weights: a small language model is trained from nothing, with a
tokenizer of its own, to answer from passages, and answers questions about facts that it has never
seen, from a collection, by `ask`. Is the answer right, and is the right passage cited?

The world of facts is invented (facts.py). The prompts are those that `ask` makes; the model's own
chat template leaves the instructions out, which are the same every time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from common import Bar, parser, report, tell
from facts import Fact, World, write_pairs

from embedsearch.answers import Answer, AnswerConfig
from embedsearch.collection import Collection
from embedsearch.generation import CausalLM, GenerationConfig
from embedsearch.generation.training import (
    ArchitectureConfig,
    LMTrainingConfig,
    LMTrainingReport,
    read_pairs,
    start_anew,
    train_lm,
)
from embedsearch.text.tokenizer import Tokenizer

RIGHT = 0.95
TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'user' %}{{ message.content }}"
    "{% endif %}{% endfor %}{{ '\\nAnswer: ' }}"
)
PASSAGES = 3
NAMES = 80
"""Different names in the world; facts about them are drawn anew for every pair and question."""
LEARNED, ASKED = 1, 2
"""Seeds of the facts that are learned from and of those that are asked about."""


class Told:
    """Progress as remarks."""

    def start(self, description: str, total: int | None, unit: str) -> None:
        self._done, self._total = 0, total
        tell(f"{description}: {total} {unit}")

    def advance(self, amount: int) -> None:
        self._done += amount
        if self._done % 100 == 0:
            tell(f"{self._done} of {self._total}")

    def note(self, message: str) -> None:
        tell(message)


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as home:
        folder = options.model or options.keep or Path(home, "model")
        trained = None if options.model else train(folder, options)
        found = ask_all(CausalLM.load(folder), Path(home, "facts.es"), options.questions)
    results: dict[str, Any] = {"answers": found}
    if trained:
        results["training"] = {
            "parameters": trained.parameters,
            "pairs": trained.examples,
            "steps": trained.steps,
            "loss": trained.losses[-1],
            "seconds": trained.seconds,
        }
    bar = Bar(
        claim="held-out facts: right, with the right passage cited",
        value=found["right"],
        limit=RIGHT,
        at_most=False,
    )
    return report("written_answers", options, results, [bar])


def train(folder: Path, options: argparse.Namespace) -> LMTrainingReport:
    """A new model that learned from pairs about one set of facts."""
    with tempfile.TemporaryDirectory() as home:
        file = write_pairs(
            Path(home, "pairs.jsonl"), LEARNED, options.pairs, most_passages=PASSAGES, names=NAMES
        )
        pairs = read_pairs([file]).pairs
    texts = (str(pair.prompt[-1]["content"]) for pair in pairs[:5000])  # type: ignore[index]
    tokenizer = Tokenizer.train(texts, kind="byte-bpe", vocab_size=options.vocab_size)
    architecture = ArchitectureConfig(
        hidden_size=options.hidden_size, layers=options.layers, heads=options.heads, context=512
    )
    config = LMTrainingConfig(
        epochs=options.epochs,
        max_tokens=256,
        rows_per_step=options.rows,
        learning_rate=options.learning_rate,
        warmup_steps=40,
    )
    start = start_anew(tokenizer, architecture, chat_template=TEMPLATE)
    return train_lm(pairs, config, start=start, output=folder, progress=Told())


def ask_all(lm: CausalLM, db: Path, count: int) -> dict[str, float]:
    """Parts of the questions about facts of a collection, and about things that are not there."""
    facts = World(ASKED, names=NAMES).facts(2 * count)
    known, unknown = facts[:count], facts[count:]
    tally: Counter[str] = Counter()
    with Collection.open(db) as collection:
        collection.upsert(fact.document for fact in known)
        for fact, answer in zip(known, _answers(collection, lm, known), strict=True):
            tally.update(_judged(fact, answer))
        silent = sum(answer.abstained for answer in _answers(collection, lm, unknown))
    return {
        **{name: tally[name] / count for name in ("right", "value", "cited", "found", "sound")},
        "abstained_where_unknown": silent / count,
    }


def _answers(collection: Collection, lm: CausalLM, facts: list[Fact]) -> list[Answer]:
    config, generation = AnswerConfig(passages=PASSAGES), GenerationConfig(max_new_tokens=48)
    answers: list[Answer] = []
    for start in range(0, len(facts), 8):
        questions = [fact.question for fact in facts[start : start + 8]]
        answers += collection.ask_batch(
            questions, generator=lm, config=config, generation=generation
        )
    return answers


def _judged(fact: Fact, answer: Answer) -> dict[str, int]:
    """`right`: the value stands in the answer, and every citation is of the right passage."""
    gold = fact.document.id
    value = fact.value in answer.text
    cited = bool(answer.citations) and {c.document_id for c in answer.citations} == {gold}
    return {
        "value": value,
        "cited": cited,
        "right": value and cited,
        "found": any(hit.document_id == gold for hit in answer.hits),
        "sound": not answer.problems,
    }


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--pairs", type=int, default=16_000)
    options.add_argument("--epochs", type=int, default=4)
    options.add_argument("--rows", type=int, default=4, help="rows of 256 tokens a step")
    options.add_argument("--vocab-size", type=int, default=800)
    options.add_argument("--hidden-size", type=int, default=64)
    options.add_argument("--layers", type=int, default=2)
    options.add_argument("--heads", type=int, default=4)
    options.add_argument("--learning-rate", type=float, default=4e-3)
    options.add_argument("--questions", type=int, default=40)
    options.add_argument("--model", type=Path, metavar="DIR", help="one that was trained before")
    options.add_argument("--keep", type=Path, metavar="DIR", help="write the model here")
    return options.parse_args()


if __name__ == "__main__":
    sys.exit(main())
