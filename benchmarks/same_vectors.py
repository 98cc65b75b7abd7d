"""Whether every engine makes sentence-transformers' vectors: texts of public sets, one by one.

Every document and query of each set, cut at 256 tokens, through sentence-transformers in float32
and through each engine (`auto`: OpenVINO for documents, NumPy for queries, which come in batches of
64 as in `evaluate search`): the least cosine between the two vectors of a text, and what becomes of
nDCG@10 (exact search by cosine) on the judgements. The bar on the latter is for scifact: where a
set has few queries, one rank that changes is more.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from common import Bar, data_folder, parser, report, tell

SETS = ("scifact", "cranfield", "npl", "cacm")
ENGINES = ("auto", "torch")
JUDGED_SET = "scifact"
LEAST_COSINE = 0.999
MOST_CHANGE = 0.002


def main() -> int:
    options = _options()
    results, bars = {}, []
    for name in options.sets:
        found = _compare(data_folder() / name, options)
        results[name] = found
        for engine in options.engines:
            cell = found[engine]
            claim = f"{name}, {engine}: least cosine of {found['texts']:,} texts"
            bars.append(
                Bar(claim=claim, value=cell["least_cosine"], limit=LEAST_COSINE, at_most=False)
            )
            if name != JUDGED_SET:
                continue
            change = abs(cell["ndcg@10"] - found["ndcg@10"])
            claim = f"{name}, {engine}: change of nDCG@10"
            bars.append(Bar(claim=claim, value=change, limit=MOST_CHANGE, at_most=True))
    return report("same_vectors", options, results, bars)


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--sets", nargs="+", default=list(SETS), metavar="NAME")
    options.add_argument("--engines", nargs="+", default=list(ENGINES), metavar="NAME")
    return options.parse_args()


def _compare(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    from embedsearch.encoder import SentenceEncoder
    from embedsearch.evaluation.beir import read_corpus, read_queries
    from embedsearch.evaluation.search import QUERY_BATCH

    corpus = list(read_corpus(folder, lambda *_: None))
    texts = [f"{d.title} {d.text}".strip() for d in corpus]
    queries = read_queries(folder, lambda *_: None)
    everything = [*texts, *queries.values()]
    tell(f"{folder.name}: {len(everything):,} texts through sentence-transformers")
    truth = _reference(everything)
    ids = [document.id for document in corpus]
    found: dict[str, Any] = {
        "texts": len(everything),
        "ndcg@10": _ndcg(folder, ids, list(queries), truth),
    }
    for engine in options.engines:
        tell(f"{folder.name}: {engine}")
        encoder = SentenceEncoder.load(device="cpu", engine=engine)
        asked = list(queries.values())
        parts = [encoder.encode_document(texts)]
        parts += [
            encoder.encode_query(asked[start : start + QUERY_BATCH])
            for start in range(0, len(asked), QUERY_BATCH)
        ]
        vectors = np.vstack(parts)
        cosines = (vectors * truth).sum(axis=1)
        found[engine] = {
            "least_cosine": float(cosines.min()),
            "ndcg@10": _ndcg(folder, ids, list(queries), vectors),
        }
    return found


def _reference(texts: list[str]) -> Any:
    from sentence_transformers import SentenceTransformer

    from embedsearch.encoder.resolve import bundled_model

    model = SentenceTransformer(str(bundled_model()), device="cpu")
    return model.encode(texts, normalize_embeddings=True)


def _ndcg(folder: Path, ids: list[str], query_ids: list[str], vectors: Any) -> float:
    from embedsearch.evaluation.beir import read_qrels, split_names
    from embedsearch.evaluation.search import score_run

    splits = split_names(folder)
    qrels = read_qrels(folder, "test" if "test" in splits else splits[0])
    scores = vectors[len(ids) :] @ vectors[: len(ids)].T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :100]
    run = {q: [ids[row] for row in best[at]] for at, q in enumerate(query_ids)}
    judged = {q: grades for q, grades in qrels.items() if any(g > 0 for g in grades.values())}
    return score_run(run, judged)["ndcg@10"]


if __name__ == "__main__":
    raise SystemExit(main())
