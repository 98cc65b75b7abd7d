"""The whole path on learned weights: a small language model is trained from nothing, with a
tokenizer of its own, to answer from passages, and answers questions about facts that it has never
seen, from a collection, by `ask`. Is the answer right, and is the right passage cited?

The world of facts is invented (facts.py). What is asked about is in no pair that is learned from.
The prompts are those that `ask` makes; the model's own chat template leaves the instructions out,
which are the same every time, and what marks a source is a token. A search mostly finds the right
passage first; `in_any_order` tells how often the response is exact when the passages are shuffled.

Settings are chosen by `--developing`, which asks about a world of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from common import Bar, Told, parser, report
from facts import Fact, held_out, world, write_pairs

from embedsearch.answers.answer import Answer, AnswerConfig
from embedsearch.collection.collection import Collection
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
PASSAGES = 2
MARKS = [
    "</source>",
    *(f'<source id="{number}">' for number in range(1, PASSAGES + 1)),
    *(f"[{number}]" for number in range(1, PASSAGES + 1)),
]
ROW = 768
"""Tokens."""
LEARNED, ASKED, DEVELOPED = 1, 2, 3
"""Seeds of the pairs that are learned from, of the world that is asked about, and of the one that
settings are chosen by."""
UNKNOWN = 40
"""Facts of that world that stand in no document, and are asked about as well."""
WRITING = GenerationConfig(max_new_tokens=32)


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as home:
        folder = options.model or options.keep or Path(home, "model")
        trained = None if options.model else train(folder, options)
        lm = CausalLM.load(folder, dtype="float32")
        asked = DEVELOPED if options.developing else ASKED
        found = ask_all(lm, Path(home, "facts.es"), asked, options.questions)
        found["in_any_order"] = in_any_order(lm, asked, options.questions)
    results: dict[str, Any] = {"answers": found}
    if trained:
        results["training"] = {
            "parameters": trained.parameters,
            "pairs": trained.examples,
            "steps": trained.steps,
            "recall_loss": trained.recall_loss,
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
    """A new model that learned from pairs without the facts that are asked about."""
    held_out = frozenset(world(ASKED) + world(DEVELOPED))
    with tempfile.TemporaryDirectory() as home:
        file = Path(home, "pairs.jsonl")
        write_pairs(file, LEARNED, options.pairs, passages=PASSAGES, without=held_out)
        learned = read_pairs([file]).pairs
    texts = (f"{pair.prompt[-1]['content']}\n{pair.response}" for pair in learned[:5000])  # type: ignore[index]
    tokenizer = Tokenizer.train(texts, kind="byte-bpe", vocab_size=options.vocab_size)
    tokenizer = tokenizer.with_tokens(MARKS)
    architecture = ArchitectureConfig(
        hidden_size=options.hidden_size,
        layers=options.layers,
        heads=options.heads,
        head_dim=options.head_dim,
        context=ROW,
    )
    config = LMTrainingConfig(
        epochs=options.epochs,
        max_tokens=ROW,
        rows_per_step=options.rows,
        learning_rate=options.learning_rate,
        warmup_steps=60,
        recall_steps=options.recall_steps,
        checkpoint_steps=2000,
        seed=options.seed,
    )
    start = start_anew(tokenizer, architecture, seed=options.seed, chat_template=TEMPLATE)
    return train_lm(learned, config, start=start, output=folder, progress=Told())


def ask_all(lm: CausalLM, db: Path, seed: int, count: int) -> dict[str, float]:
    """Parts of the questions about facts of a collection, and about facts that are not there."""
    facts = world(seed)
    known, unknown = facts[UNKNOWN:], facts[:UNKNOWN]
    tally: Counter[str] = Counter()
    with Collection.open(db) as collection:
        collection.upsert(fact.document for fact in known)
        asked = known[:count]
        for fact, answer in zip(asked, _answers(collection, lm, asked), strict=True):
            tally.update(_judged(fact, answer))
        silent = sum(answer.abstained for answer in _answers(collection, lm, unknown))
    return {
        **{name: number / len(asked) for name, number in tally.items()},
        "abstained_where_unknown": silent / len(unknown),
    }


def in_any_order(lm: CausalLM, seed: int, count: int) -> float:
    """How many held-out questions get the response wanted, the right passage at any place."""
    asked = held_out(seed, count, passages=PASSAGES)
    written = lm.generate([prompt for prompt, _ in asked], WRITING)
    return sum(w.text.strip() == r for w, (_, r) in zip(written, asked, strict=True)) / count


def _answers(collection: Collection, lm: CausalLM, facts: list[Fact]) -> list[Answer]:
    answers: list[Answer] = []
    for start in range(0, len(facts), 8):
        questions = [fact.question for fact in facts[start : start + 8]]
        answers += collection.ask_batch(
            questions,
            generator=lm,
            config=AnswerConfig(passages=PASSAGES),
            generation=WRITING,
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
        "found_first": answer.hits[0].document_id == gold,
        "sound": not answer.problems,
    }


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--pairs", type=int, default=45_000)
    options.add_argument("--epochs", type=int, default=1)
    options.add_argument("--rows", type=int, default=1, help=f"rows of {ROW} tokens a step")
    options.add_argument("--recall-steps", type=int, default=1200)
    options.add_argument("--vocab-size", type=int, default=1200)
    options.add_argument("--hidden-size", type=int, default=128)
    options.add_argument("--layers", type=int, default=3)
    options.add_argument("--heads", type=int, default=4)
    options.add_argument("--head-dim", type=int, default=64)
    options.add_argument("--learning-rate", type=float, default=2.5e-3)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--questions", type=int, default=200)
    options.add_argument(
        "--developing", action="store_true", help="ask about another world, to choose settings"
    )
    options.add_argument("--model", type=Path, metavar="DIR", help="one that was trained before")
    options.add_argument("--keep", type=Path, metavar="DIR", help="write the model here")
    return options.parse_args()


if __name__ == "__main__":
    sys.exit(main())
