"""Whether fine-tuning an encoder pays: on scifact, cosqa and stsbenchmark with training data, on
cranfield and cacm without any, cut to 128 dimensions, from nothing on captions; and how fast it is
beside a plain script of sentence-transformers.

Parts are kept in the result of earlier runs, so that they can be measured one by one. `throughput`
needs `pip install accelerate datasets`, which sentence-transformers' own trainer does.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from common import CACHE, RESULTS, Bar, data_folder, parser, report, tell

from embedsearch.collection.collection import Collection
from embedsearch.encoder import SentenceEncoder
from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.encoder.training import (
    EncoderTrainingConfig,
    LabelledText,
    ScoredPair,
    TrainingPair,
)
from embedsearch.encoder.training.examples import Example, normal
from embedsearch.encoder.training.held_out import make_held_out
from embedsearch.encoder.training.scratch import NewEncoderConfig, new_encoder
from embedsearch.evaluation.beir import read_corpus
from embedsearch.evaluation.judged import read_judged
from embedsearch.evaluation.search import (
    EvaluationConfig,
    evaluate_search,
    run_questions,
    score_questions,
)
from embedsearch.evaluation.significance import compare_paired
from embedsearch.finetuning.closed_loop import (
    SHARE_WITHOUT_QUESTIONS,
    LoopConfig,
    improve_encoder,
)
from embedsearch.finetuning.collection_pairs import CollectionPairsConfig, pairs_from_collection
from embedsearch.finetuning.data import TrainingDataConfig, read_training_data
from embedsearch.finetuning.evaluation import EncoderEvaluationConfig, evaluate_encoder
from embedsearch.finetuning.hard_negatives import MiningConfig, mine_hard_negatives
from embedsearch.finetuning.training import train_encoder
from embedsearch.text.chunking import ChunkingConfig
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.text.training import TokenizerConfig
from embedsearch.types import Progress

SCIFACT = EncoderTrainingConfig(
    epochs=3, batch_size=24, learning_rate=4e-5, negatives=2, held_out=0.1, seed=0
)
MINING = MiningConfig(count=12, last=40, cross_check=False)
"""scifact's judgements are complete, so a search's errors are errors: nothing is suspected."""
STS = EncoderTrainingConfig(
    epochs=5,
    batch_size=32,
    learning_rate=1e-4,
    dropout=True,
    freeze_embeddings=True,
    base_share=0.25,
    held_out=0.0,
    batch_tokens=1024,
)
"""A third of dev is of sources that train does not have; there a share of the base helps, and that
words stay where they are. These, rate and epochs were chosen by dev itself, among ten settings."""
WITHOUT_LABELS = EncoderTrainingConfig(
    epochs=1,
    batch_size=32,
    learning_rate=2e-5,
    base_share=SHARE_WITHOUT_QUESTIONS,
    held_out=0.0,
    max_tokens=160,
)
LATE = LoopConfig(
    training=EncoderTrainingConfig(
        loss="late", epochs=1, batch_size=32, learning_rate=3e-5, max_tokens=160
    ),
    pairs=CollectionPairsConfig(limit=1600),
    mining=MiningConfig(count=8, last=20),
)
CODE = EncoderTrainingConfig(
    epochs=2,
    batch_size=64,
    learning_rate=4e-5,
    held_out=0.0,
    max_tokens=96,
    base_share=SHARE_WITHOUT_QUESTIONS,
)
"""Nobody's questions, as pairs made of documents are: so half of the base stays. Of three shares
that were tried, on questions to other functions than the judged ones (none, 0.3, 0.5), it is also
the one that does best on the judged questions."""
CODE_QUESTIONS = Path(__file__).resolve().parents[1] / "data/code_questions/questions.tsv"
CAPTIONS = EncoderTrainingConfig(
    epochs=2, batch_size=128, learning_rate=1e-3, held_out=0.0, evaluations=1
)
UNLIKE = 0.5
"""Share of words in common with a question of the training data, at most."""
THROUGHPUT_BATCH, THROUGHPUT_STEPS, THROUGHPUT_ROUNDS = 24, 3, 2

Result = dict[str, Any]


class Told:
    """Progress as remarks, and the time of each step."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.stamps: list[tuple[float, float]] = []

    def start(self, description: str, total: int | None, unit: str) -> None:
        if not self.quiet:
            tell(f"{description}: {total} {unit}")

    def advance(self, amount: int) -> None:  # noqa: ARG002 (a step is one)
        self.stamps.append((time.perf_counter(), time.process_time()))

    def note(self, message: str) -> None:
        if not self.quiet:
            tell(message)


@contextmanager
def new_folder(kept: Path | None = None) -> Iterator[Path]:
    """A folder for a model that does not exist yet; `kept` stays for the next run."""
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="embedsearch-") as home:
        yield Path(home) / "model"


def searched(folder: Path, model: str | Path, modes: Sequence[Any]) -> dict[str, float]:
    """nDCG@10 in each mode; the documents are embedded once."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="embedsearch-") as home:
        for mode in modes:
            config = EvaluationConfig(mode=mode)
            measures = evaluate_search(folder, config, model=str(model), db=home).measures
            found[str(mode)] = measures["ndcg@10"]
            tell(f"{folder.name} {mode} {Path(model).name}: {found[str(mode)]:.4f}")
    return found


def quality(folder: Path, model: str | Path) -> Result:
    """nDCG@10 by meaning and by both; `unlike` is the mean over questions that are not much like
    any in the training data: both splits of scifact have claims about the same sentence."""
    judged = read_judged(folder, "test")
    learned = [words(text) for text in read_judged(folder, "train").questions.values()]
    unlike = [
        query
        for query, text in judged.questions.items()
        if max(overlap(words(text), each) for each in learned) <= UNLIKE
    ]
    found: Result = {}
    for name, modes, whole in (
        ("whole documents", ("semantic",), True),
        ("chunks", ("semantic", "hybrid"), False),
    ):
        chunking = ChunkingConfig(whole_documents=whole)
        with (
            tempfile.TemporaryDirectory(prefix="embedsearch-") as home,
            Collection.open(home, model=str(model), chunking=chunking) as collection,
        ):
            collection.upsert(read_corpus(folder, lambda *_: None), progress=Told())
            for mode in modes:
                config = EvaluationConfig(mode=mode)  # type: ignore[arg-type]
                run = run_questions(collection, judged.questions, config, Told(quiet=True))
                scores = {
                    q: each["ndcg@10"] for q, each in score_questions(run, judged.qrels).items()
                }
                found[f"{mode}, {name}"] = {
                    "all": statistics.mean(scores.values()),
                    "unlike": statistics.mean(scores[query] for query in unlike),
                }
                tell(f"{Path(model).name} {mode}, {name}: {found[f'{mode}, {name}']}")
    return found | {"questions": {"all": len(judged.questions), "unlike": len(unlike)}}


def words(text: str) -> set[str]:
    return set(normal(text).strip(".").split())


def overlap(first: set[str], second: set[str]) -> float:
    """Jaccard's coefficient."""
    return len(first & second) / len(first | second)


def mined_scifact(options: argparse.Namespace, progress: Progress) -> list[TrainingPair]:
    """The pairs of the train split with negatives of the whole documents' own index; two of its
    questions are asked again in the test split and left out."""
    folder = data_folder() / "scifact"
    asked = {normal(text) for text in read_judged(folder, "test").questions.values()}
    examples = read_training_data([folder], TrainingDataConfig(split="train"))
    pairs = [
        each
        for each in examples
        if isinstance(each, TrainingPair) and normal(each.anchor) not in asked
    ]
    home = options.cache / "scifact-whole"
    chunking = ChunkingConfig(whole_documents=True)
    with Collection.open(home, chunking=chunking) as collection:
        collection.upsert(read_corpus(folder, lambda *_: None), progress=progress)
        mined, found = mine_hard_negatives(collection, pairs, MINING, progress=progress)
    tell(f"mined: {found}")
    return mined


def scifact(options: argparse.Namespace) -> Result:
    """Trained on the train questions, tested on the test questions."""
    folder, told = data_folder() / "scifact", Told()
    questions = read_judged(folder, "test").questions
    before = quality(folder, DEFAULT_MODEL)
    began = time.perf_counter()
    with new_folder(options.keep) as output:
        if output.exists():
            shutil.rmtree(output)
        trained = train_encoder(
            mined_scifact(options, told),
            SCIFACT,
            output=output,
            questions=list(questions.values()),
            source="scifact, split train",
            progress=told,
        )
        minutes = (time.perf_counter() - began) / 60
        after = quality(folder, output)
    return {
        "before": before,
        "after": after,
        "training": {
            "minutes": minutes,
            "steps": trained.steps,
            "best_step": trained.best_step,
            "held_out": {"before": trained.before, "after": trained.after},
            "tokens_per_s": trained.tokens_per_second,
        },
    }


def matryoshka(options: argparse.Namespace) -> Result:
    """scifact again, with the first 128 dimensions trained too, then cut to them."""
    folder = data_folder() / "scifact"
    with new_folder() as output:
        train_encoder(
            mined_scifact(options, Told(quiet=True)),
            EncoderTrainingConfig(
                epochs=1, batch_size=24, learning_rate=4e-5, held_out=0.0, matryoshka_dims=(128, 64)
            ),
            output=output,
            progress=Told(),
        )
        trained = cut_retrieval(folder, output)
    return {"trained": trained, "base": cut_retrieval(folder, DEFAULT_MODEL)}


def cut_retrieval(folder: Path, model: str | Path) -> dict[str, float]:
    config = EncoderEvaluationConfig(dims=(128, 64))
    scores = evaluate_encoder([folder], config, model=str(model))
    return {str(score.dims): score.measures["ndcg@10"] for score in scores}


def stsbenchmark(_: argparse.Namespace) -> Result:
    """Trained on the train split, measured on dev, whose pairs training never sees."""
    folder = data_folder() / "stsbenchmark"
    names = ("-", "-", "-", "-", "score", "first", "second")
    reading = TrainingDataConfig(columns=names, max_score=5.0)
    dev = read_training_data([folder / "sts-dev.csv"], reading)
    asked = {sides(each) for each in dev}
    train = read_training_data([folder / "sts-train.csv"], reading)
    examples = [each for each in train if sides(each) not in asked]
    config = EncoderEvaluationConfig(columns=reading.columns, max_score=5.0)
    paths = [folder / "sts-dev.csv"]
    with new_folder() as output:
        train_encoder(examples, STS, output=output, progress=Told())
        after = evaluate_encoder(paths, config, model=str(output))[0].measures
    before = evaluate_encoder(paths, config)[0].measures
    return {"before": before, "after": after, "pairs": len(examples)}


def sides(example: Example) -> frozenset[str]:
    assert isinstance(example, ScoredPair)
    return frozenset((normal(example.first), normal(example.second)))


def cosqa(_: argparse.Namespace) -> Result:
    """Code search: trained on questions that a language model wrote to the functions; the judged
    questions are people's. One that is the same is left out."""
    folder = data_folder() / "cosqa"
    questions = read_judged(folder).questions
    judged = {normal(text) for text in questions.values()}
    functions = {document.id: document.text for document in read_corpus(folder, lambda *_: None)}
    with CODE_QUESTIONS.open(encoding="utf-8", newline="") as file:
        pairs = [
            TrainingPair(anchor=question, positive=functions[function], document=function)
            for function, question in itertools.islice(csv.reader(file, delimiter="\t"), 1, None)
            if normal(question) not in judged
        ]
    before = each_question(folder, DEFAULT_MODEL)
    with new_folder() as output:
        trained = train_encoder(
            pairs, CODE, output=output, questions=list(questions.values()), progress=Told()
        )
        after = each_question(folder, output)
    minutes = {"minutes": trained.seconds / 60}
    return compare_paired(before, after).as_json() | {"pairs": len(pairs)} | minutes


def each_question(folder: Path, model: str | Path) -> list[float]:
    """nDCG@10 of each judged question, by meaning."""
    judged = read_judged(folder)
    with (
        tempfile.TemporaryDirectory(prefix="embedsearch-") as home,
        Collection.open(home, model=str(model)) as collection,
    ):
        collection.upsert(read_corpus(folder, lambda *_: None), progress=Told(quiet=True))
        config = EvaluationConfig(mode="semantic")
        scores = score_questions(
            run_questions(collection, judged.questions, config, Told(quiet=True)), judged.qrels
        )
    found = [scores[query]["ndcg@10"] for query in judged.questions]
    tell(f"{folder.name} semantic {Path(model).name}: {statistics.mean(found):.4f}")
    return found


def cranfield(options: argparse.Namespace) -> Result:
    """No labels: pairs of the documents alone; the judged questions are never seen."""
    folder = data_folder() / "cranfield"
    questions = read_judged(folder).questions
    modes = ("semantic", "hybrid")
    before = searched(folder, DEFAULT_MODEL, modes)
    with (
        Collection.open(options.cache / "cranfield") as collection,
        new_folder() as output,
    ):
        collection.upsert(read_corpus(folder, lambda *_: None))
        avoid = list(questions.values())
        limit = CollectionPairsConfig(limit=1000)
        made = pairs_from_collection(collection, limit, avoid=avoid)
        train_encoder(list(made.pairs), WITHOUT_LABELS, output=output, progress=Told())
        after = searched(folder, output, modes)
    return {
        "before": before,
        "after": after,
        "pairs": dict(made.found),
    }


def late(options: argparse.Namespace) -> Result:
    """No labels, and none made up: vectors that rank as the tokens of the same encoder do."""
    found: Result = {}
    for name in ("cacm", "cranfield"):
        folder = data_folder() / name
        modes = ("semantic", "hybrid")
        before = searched(folder, DEFAULT_MODEL, modes)
        with Collection.open(options.cache / name) as collection, new_folder() as output:
            collection.upsert(read_corpus(folder, lambda *_: None))
            learned = improve_encoder(collection, output, LATE, progress=Told()).training
            after = searched(folder, output, modes)
        found[name] = {
            "before": before,
            "after": after,
            "steps": learned.steps,
            "minutes": learned.seconds / 60,
        }
    return found


def captions(_: argparse.Namespace) -> Result:
    """From nothing: a tokenizer and a small random transformer, trained on captions of images; is a
    caption's nearest neighbour, among those of 1,000 other images, one of the same image?"""
    folder = data_folder() / "flickr8k_captions"
    train, dev = (labelled(folder / f"{name}.tsv.gz") for name in ("train", "dev"))
    asked = {normal(text) for each in dev for text in each.texts}
    train = [each for each in train if normal(each.texts[0]) not in asked]
    with tempfile.TemporaryDirectory(prefix="embedsearch-") as home:
        kind = TokenizerConfig(kind="wordpiece", vocab_size=4000)
        tokenizer = Tokenizer.train((each.texts[0] for each in train), kind)
        base = new_encoder(tokenizer, Path(home) / "new", NewEncoderConfig(max_tokens=64))
        output = Path(home) / "model"
        found = train_encoder(
            train, CAPTIONS, base=base, output=output, held_out=dev, progress=Told()
        )
    held = make_held_out(dev)
    encoder = SentenceEncoder.load(DEFAULT_MODEL)
    bundled = held.measure(encoder.encode_document([text for _, text in held.data.texts]))
    return {
        "random weights": found.before,
        "trained": found.after,
        DEFAULT_MODEL: bundled,
        "captions": len(train),
        "minutes": found.seconds / 60,
    }


def labelled(path: Path) -> list[Example]:
    """Captions under the name of their image."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [LabelledText(text=caption, label=image) for image, _, caption in rows if caption]


def throughput(_: argparse.Namespace) -> Result:
    """Tokens a second beside sentence-transformers' trainer with the same batches, by turns."""
    folder = data_folder() / "scifact"
    examples = read_training_data([folder], TrainingDataConfig(split="train"))
    pairs = [each for each in examples if isinstance(each, TrainingPair)]
    chance = random.Random(0)
    rows = [
        TrainingPair(
            anchor=pair.anchor,
            positive=pair.positive,
            negatives=(pairs[chance.randrange(len(pairs))].positive,),
        )
        for pair in chance.sample(pairs, THROUGHPUT_BATCH * THROUGHPUT_STEPS)
    ]
    runs: dict[str, Callable[[], list[tuple[float, float]]]] = {
        "embedsearch": lambda: ours(rows),
        "sentence-transformers": lambda: plain(rows, bf16=False),
        "sentence-transformers, bf16": lambda: plain(rows, bf16=True),
    }
    steps: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in range(THROUGHPUT_ROUNDS):
        for name, run in runs.items():
            found = run()
            steps[name] += found[1:]  # the first allocates
            tell(f"round {number + 1}, {name}: {[f'{wall:.1f} s' for wall, _ in found]}")
    wall = {name: statistics.median(w for w, _ in found) for name, found in steps.items()}
    cpu = {name: statistics.median(c for _, c in found) for name, found in steps.items()}
    return {
        "step_seconds": wall,
        "step_cpu_seconds": cpu,
        "ratio": {name: value / wall["embedsearch"] for name, value in wall.items()},
        "cpu_ratio": {name: value / cpu["embedsearch"] for name, value in cpu.items()},
    }


def between(stamps: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Seconds and CPU seconds between stamps."""
    pairs = itertools.pairwise(stamps)
    return [(after[0] - before[0], after[1] - before[1]) for before, after in pairs]


def ours(rows: Sequence[TrainingPair]) -> list[tuple[float, float]]:
    told = Told(quiet=True)
    config = EncoderTrainingConfig(
        epochs=1, batch_size=THROUGHPUT_BATCH, learning_rate=2e-5, negatives=1, held_out=0.0
    )
    with new_folder() as output:
        train_encoder(list(rows), config, output=output, progress=told)
    return between(told.stamps[-THROUGHPUT_STEPS - 1 :])


def plain(rows: Sequence[TrainingPair], *, bf16: bool) -> list[tuple[float, float]]:
    """As sentence-transformers' documentation has it."""
    from datasets import Dataset  # type: ignore[import-not-found, unused-ignore]
    from datasets.table import (  # type: ignore[import-not-found, unused-ignore]
        InMemoryTable,
    )
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    from embedsearch.encoder.resolve import bundled_model

    stamps: list[tuple[float, float]] = []

    class Clock(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if not stamps:
                stamps.append((time.perf_counter(), time.process_time()))

        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps.append((time.perf_counter(), time.process_time()))

    model = SentenceTransformer(str(bundled_model()), device="cpu")
    columns = {
        "anchor": [row.anchor for row in rows],
        "positive": [row.positive for row in rows],
        "negative": [row.negatives[0] for row in rows],
    }
    with tempfile.TemporaryDirectory() as home:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=home,
            num_train_epochs=1,
            per_device_train_batch_size=THROUGHPUT_BATCH,
            learning_rate=2e-5,
            bf16=bf16,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        SentenceTransformerTrainer(
            model=model,
            args=arguments,
            # a fingerprint of its own: datasets' fails with some versions of pyarrow
            train_dataset=Dataset(InMemoryTable.from_pydict(columns), fingerprint="rows"),
            loss=MultipleNegativesRankingLoss(model),
            callbacks=[Clock()],
        ).train()
    return between(stamps)


PARTS: Mapping[str, Callable[[argparse.Namespace], Result]] = {
    "scifact": scifact,
    "matryoshka": matryoshka,
    "stsbenchmark": stsbenchmark,
    "cosqa": cosqa,
    "cranfield": cranfield,
    "late": late,
    "captions": captions,
    "throughput": throughput,
}


def bars(results: Mapping[str, Result]) -> list[Bar]:
    """What each measured part has to reach."""
    found: list[Bar] = []

    def least(claim: str, value: float, limit: float) -> None:
        found.append(Bar(claim=claim, value=value, limit=limit, at_most=False))

    def most(claim: str, value: float, limit: float) -> None:
        found.append(Bar(claim=claim, value=value, limit=limit, at_most=True))

    if part := results.get("scifact"):
        for name, limit in (
            ("semantic, whole documents", 0.71),
            ("semantic, chunks", 0.71),
            ("hybrid, chunks", 0.74),
        ):
            least(f"scifact: nDCG@10, {name}", part["after"][name]["all"], limit)
        most("scifact: minutes of mining and training", part["training"]["minutes"], 45)
    if part := results.get("matryoshka"):
        loss = part["trained"]["384"] - part["trained"]["128"]
        most("scifact: nDCG@10 lost by cutting to 128", loss, 0.015)
    if part := results.get("stsbenchmark"):
        gain = part["after"]["spearman"] - part["before"]["spearman"]
        least("stsbenchmark dev: Spearman gained", gain, 0.02)
    if part := results.get("cosqa"):
        least("cosqa: nDCG@10 gained", part["difference"], 0.01)
        most("cosqa: p-value of the gain", part["p_value"], 0.05)
    unlabelled = {"cranfield": results["cranfield"]} if "cranfield" in results else {}
    unlabelled |= {f"{each}, late interaction": x for each, x in results.get("late", {}).items()}
    for name, part in unlabelled.items():
        gain = part["after"]["semantic"] - part["before"]["semantic"]
        least(f"{name}, without labels: nDCG@10 gained", gain, 0.0)
    if part := results.get("captions"):
        gain = part["trained"] - part["random weights"]
        least("captions: accuracy gained from nothing", gain, 0.1)
    if part := results.get("throughput"):
        for name in ("sentence-transformers", "sentence-transformers, bf16"):
            least(f"steps in the time of {name}'s", part["ratio"][name], 1.3)
    return found


def main() -> int:
    options = parser(__doc__ or "")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    options.add_argument("--cache", type=Path, default=CACHE / "encoder_training", metavar="DIR")
    options.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the model of the part scifact here"
    )
    chosen = options.parse_args()
    earlier = RESULTS / "encoder_training.json"
    results: dict[str, Result] = {}
    if earlier.is_file():
        results = json.loads(earlier.read_text(encoding="utf-8"))["results"]
    if "throughput" in chosen.parts and not find_spec("datasets"):
        options.error("throughput needs sentence-transformers' trainer: pip install datasets")
    try:
        for name in chosen.parts:
            tell(f"--- {name}")
            results[name] = PARTS[name](chosen)
    finally:  # an error or Ctrl-C costs neither what was measured before it nor what was saved
        ordered = {name: results[name] for name in PARTS if name in results}
        status = report("encoder_training", chosen, ordered, bars(ordered))
    return status


if __name__ == "__main__":
    sys.exit(main())
