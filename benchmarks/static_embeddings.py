"""What a static model costs in nDCG@10 and gains in speed, beside the encoder it is distilled from.

Static models of the bundled encoder, all of 256 dimensions: its tokens alone, the tokens taught by
passages of Wikipedia (other texts than any that are searched), the tokens taught by passages of
the documents that are searched (never by questions), and model2vec's own distillation where that
package is installed. Each is used as any model is, in a search by meaning.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import lzma
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import CACHE, Bar, data_folder, parser, report, tell

from embedsearch.encoder import DEFAULT_MODEL, SentenceEncoder
from embedsearch.encoder.resolve import bundled_model
from embedsearch.encoder.static import StaticConfig, distil_static
from embedsearch.evaluation.beir import read_corpus
from embedsearch.evaluation.search import EvaluationConfig, evaluate_search

SETS = ("cranfield", "cacm", "npl", "cosqa", "scifact")
FULL, ALONE, ELSEWHERE, OWN, PEER = "encoder", "alone", "wikipedia", "own", "model2vec"
ROUNDS = 5
TIMED_SET, TIMED_FULL, TIMED_STATIC = "cranfield", 32, 1024
"""Documents of about 200 words that are encoded for the clock; the encoder gets fewer."""

LEAST_AGAINST_PEER = 0.99
LEAST_OWN_AGAINST_ALONE = 1.2
LEAST_SPEEDUP = 50


def main() -> int:
    options = _options()
    models = _models(options.models / str(options.passages), options)
    ndcg = {kind: _quality(kind, each, options) for kind, each in models.items()}
    speed = _speed(models)
    results = {"ndcg@10": ndcg, "loss of mean nDCG@10": _losses(ndcg), "speed": speed}
    return report("static_embeddings", options, results, _bars(ndcg, speed))


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET")
    options.add_argument("--passages", type=int, default=StaticConfig.passages)
    options.add_argument(
        "--cache",
        type=Path,
        default=CACHE / "retrieval_quality",
        metavar="DIR",
        help="the encoder's own collections, which are those of retrieval_quality.py",
    )
    options.add_argument(
        "--models",
        type=Path,
        default=CACHE / "static_embeddings",
        metavar="DIR",
        help="static models are kept here, and not made again: delete them when the code changes",
    )
    return options.parse_args()


def _models(home: Path, options: argparse.Namespace) -> dict[str, dict[str, str]]:
    """The model of each kind for each set: a name or a folder."""
    kinds = {FULL: DEFAULT_MODEL, ALONE: _distilled(home / ALONE, options, None)}
    kinds[ELSEWHERE] = _distilled(home / ELSEWHERE, options, _wikipedia())
    if importlib.util.find_spec("model2vec"):
        kinds[PEER] = _model2vec(home / PEER)
    else:
        tell("model2vec[distill] is not installed, so it is not compared")
    models = {kind: dict.fromkeys(options.sets, model) for kind, model in kinds.items()}
    models[OWN] = {
        name: _distilled(home / f"{OWN}-{name}", options, _documents(name)) for name in options.sets
    }
    return models


def _model2vec(folder: Path) -> str:
    if not folder.is_dir():
        from model2vec.distill import distill

        made = distill(str(bundled_model()), device="cpu", quantize_to="float32")
        made.save_pretrained(str(folder))
        (folder / "1_Normalize").mkdir(exist_ok=True)
    return str(folder)


def _distilled(folder: Path, options: argparse.Namespace, corpus: Iterator[str] | None) -> str:
    if folder.is_dir():
        return str(folder)
    config = StaticConfig(passages=options.passages)
    made = distil_static(DEFAULT_MODEL, folder, config, corpus=corpus)
    tell(f"{folder.name}: {made.seconds:.0f} s, {made.passages} passages")
    return str(folder)


def _documents(name: str) -> Iterator[str]:
    for document in read_corpus(data_folder() / name, lambda *_: None):
        yield f"{document.title}\n{document.text}"


def _wikipedia() -> Iterator[str]:
    path = data_folder() / "wikipedia_en" / "articles.jsonl.xz"
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def _quality(kind: str, models: dict[str, str], options: argparse.Namespace) -> dict[str, float]:
    config = EvaluationConfig(mode="semantic")
    found: dict[str, float] = {}
    for name, model in models.items():
        kept = options.cache / name if kind == FULL else None
        measured = evaluate_search(data_folder() / name, config, model=model, db=kept)
        found[name] = measured.measures["ndcg@10"]
        tell(f"{kind}, {name}: nDCG@10 {found[name]:.4f}, {measured.seconds:.0f} s")
    return found | {"mean": statistics.fmean(found.values())}


def _losses(ndcg: dict[str, dict[str, float]]) -> dict[str, Any]:
    full = ndcg[FULL]["mean"]
    return {
        name: {"points": full - each["mean"], "share": 1 - each["mean"] / full}
        for name, each in ndcg.items()
        if name != FULL
    }


def _speed(models: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Documents and tokens a second, medians of rounds in which encoder and static model take
    turns. Tokens are the encoder's, and those that it cannot see count for none."""
    documents = read_corpus(data_folder() / TIMED_SET, lambda *_: None)
    texts = [document.text for document in documents if document.text][:TIMED_STATIC]
    encoders = {
        kind: SentenceEncoder.load(next(iter(models[kind].values()))) for kind in (FULL, ALONE)
    }
    shares = {FULL: texts[:TIMED_FULL], ALONE: texts}
    seconds: dict[str, list[float]] = {kind: [] for kind in encoders}
    for kind, encoder in encoders.items():
        encoder.encode_document(shares[kind][:8])  # the weights are loaded now
    for _ in range(ROUNDS):
        for kind, encoder in encoders.items():
            began = time.perf_counter()
            encoder.encode_document(shares[kind])
            seconds[kind].append(time.perf_counter() - began)
    found: dict[str, Any] = {}
    for kind, share in shares.items():
        took = statistics.median(seconds[kind])
        seen = [min(n, encoders[FULL].max_tokens) for n in encoders[FULL].token_count(share)]
        found["encoder" if kind == FULL else "static"] = {
            "engine": encoders[kind].engine,
            "documents/s": len(share) / took,
            "tokens/s": sum(seen) / took,
        }
    return found | {"ratio": found["static"]["tokens/s"] / found["encoder"]["tokens/s"]}


def _bars(ndcg: dict[str, dict[str, float]], speed: dict[str, Any]) -> list[Bar]:
    means = {kind: each["mean"] for kind, each in ndcg.items()}
    floors = {
        "mean nDCG@10, taught by the documents searched, against tokens alone": (
            means[OWN] / means[ALONE],
            LEAST_OWN_AGAINST_ALONE,
        ),
        "tokens/s against the encoder": (speed["ratio"], LEAST_SPEEDUP),
    }
    if PEER in means:
        floors["mean nDCG@10, tokens alone, against model2vec's"] = (
            means[ALONE] / means[PEER],
            LEAST_AGAINST_PEER,
        )
    return [
        Bar(claim=claim, value=value, limit=limit, at_most=False)
        for claim, (value, limit) in floors.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
