"""What a static model costs in nDCG@10 and gains in speed, beside the encoder it is distilled from.

Three static models of the bundled encoder, all of 256 dimensions: its tokens alone, the tokens
taught by passages of Wikipedia (no set's own text), and model2vec's own distillation where that
package is installed. Each is used as any model is, in a search by meaning.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import lzma
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import CACHE, Bar, data_folder, parser, report, tell

from embedsearch.beir import read_corpus
from embedsearch.encoder import DEFAULT_MODEL, SentenceEncoder
from embedsearch.encoder.resolve import bundled_model
from embedsearch.encoder.static import StaticConfig, distil_static
from embedsearch.evaluate import EvaluationConfig, evaluate_search

SETS = ("cranfield", "cacm", "npl", "cosqa", "lisa", "scifact")
FULL, ALONE, TAUGHT, PEER = "encoder", "static", "static, taught", "model2vec"
ROUNDS = 5
TIMED_SET, TIMED_FULL, TIMED_STATIC = "cranfield", 32, 1024
"""Documents of about 200 words that are encoded for the clock; the encoder gets fewer."""

LEAST_AGAINST_PEER = 0.99
LEAST_TAUGHT_AGAINST_ALONE = 1.03
LEAST_SPEEDUP = 50


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="embedsearch-") as home:
        models = _models(Path(home), options)
        ndcg = {name: _quality(name, model, options) for name, model in models.items()}
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
    return options.parse_args()


def _models(home: Path, options: argparse.Namespace) -> dict[str, str]:
    """Folder or name of each model to compare."""
    config = StaticConfig(passages=options.passages)
    models = {FULL: DEFAULT_MODEL, ALONE: str(home / "alone"), TAUGHT: str(home / "taught")}
    alone = distil_static(DEFAULT_MODEL, home / "alone", config)
    tell(f"{ALONE}: distilled in {alone.seconds:.0f} s")
    taught = distil_static(DEFAULT_MODEL, home / "taught", config, corpus=_wikipedia())
    tell(f"{TAUGHT}: distilled in {taught.seconds:.0f} s from {taught.passages} passages")
    if importlib.util.find_spec("model2vec"):
        from model2vec.distill import distill

        peer = distill(str(bundled_model()), device="cpu", quantize_to="float32")
        peer.save_pretrained(str(home / "peer"))
        (home / "peer" / "1_Normalize").mkdir(exist_ok=True)
        models[PEER] = str(home / "peer")
    else:
        tell("model2vec[distill] is not installed, so it is not compared")
    return models


def _wikipedia() -> Iterator[str]:
    path = data_folder() / "wikipedia_en" / "articles.jsonl.xz"
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def _quality(name: str, model: str, options: argparse.Namespace) -> dict[str, float]:
    config = EvaluationConfig(mode="semantic")
    found: dict[str, float] = {}
    for each in options.sets:
        kept = options.cache / each if name == FULL else None
        measured = evaluate_search(data_folder() / each, config, model=model, db=kept)
        found[each] = measured.measures["ndcg@10"]
        tell(f"{name}, {each}: nDCG@10 {found[each]:.4f}, {measured.seconds:.0f} s")
    return found | {"mean": statistics.fmean(found.values())}


def _losses(ndcg: dict[str, dict[str, float]]) -> dict[str, Any]:
    full = ndcg[FULL]["mean"]
    return {
        name: {"points": full - each["mean"], "share": 1 - each["mean"] / full}
        for name, each in ndcg.items()
        if name != FULL
    }


def _speed(models: dict[str, str]) -> dict[str, Any]:
    """Documents and tokens a second, medians of rounds in which the models take turns. Tokens are
    the encoder's, and those that it cannot see count for none."""
    documents = read_corpus(data_folder() / TIMED_SET, lambda *_: None)
    texts = [document.text for document in documents if document.text][:TIMED_STATIC]
    encoders = {name: SentenceEncoder.load(model) for name, model in models.items()}
    shares = {name: texts[: TIMED_FULL if name == FULL else None] for name in encoders}
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for name, encoder in encoders.items():
        encoder.encode_document(shares[name][:8])  # the weights are loaded now
    for _ in range(ROUNDS):
        for name, encoder in encoders.items():
            began = time.perf_counter()
            encoder.encode_document(shares[name])
            seconds[name].append(time.perf_counter() - began)
    full = encoders[FULL]
    found: dict[str, dict[str, Any]] = {}
    for name, share in shares.items():
        took = statistics.median(seconds[name])
        seen = [min(count, full.max_tokens) for count in full.token_count(share)]
        found[name] = {"documents/s": len(share) / took, "tokens/s": sum(seen) / took}
    for each in found.values():
        each["times the encoder"] = each["tokens/s"] / found[FULL]["tokens/s"]
    return {name: each | {"engine": encoders[name].engine} for name, each in found.items()}


def _bars(ndcg: dict[str, dict[str, float]], speed: dict[str, Any]) -> list[Bar]:
    means = {name: each["mean"] for name, each in ndcg.items()}
    bars = [
        Bar(
            claim="mean nDCG@10, taught against tokens alone",
            value=means[TAUGHT] / means[ALONE],
            limit=LEAST_TAUGHT_AGAINST_ALONE,
            at_most=False,
        ),
        Bar(
            claim="tokens/s against the encoder",
            value=speed[TAUGHT]["times the encoder"],
            limit=LEAST_SPEEDUP,
            at_most=False,
        ),
    ]
    if PEER in means:
        bars.append(
            Bar(
                claim="mean nDCG@10, tokens alone against model2vec's",
                value=means[ALONE] / means[PEER],
                limit=LEAST_AGAINST_PEER,
                at_most=False,
            )
        )
    return bars


if __name__ == "__main__":
    sys.exit(main())
