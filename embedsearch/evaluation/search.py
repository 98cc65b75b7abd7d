"""How good a search is: measured on collections with judged queries."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.collection.collection import Collection
from embedsearch.collection.models import Compute, load_encoder
from embedsearch.collection.retrieval import SearchConfig
from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.errors import InputError
from embedsearch.evaluation.beir import Qrels, read_corpus
from embedsearch.evaluation.judged import check_judgements, read_corpus_ids, read_judged
from embedsearch.index import IndexConfig
from embedsearch.text.chunking import ChunkingConfig
from embedsearch.text.paths import typed_path
from embedsearch.types import SILENT, Document, Encoder, Mode, Progress

if TYPE_CHECKING:
    from embedsearch.types import Vectors

QUERY_BATCH = 64
"""Queries encoded together."""

CUT_RANK = 10
RECALL_RANK = 100


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How a search is measured. `depth` results are taken for each query.

    `split` None stands for `test` or, where there is no such split, the first one.
    `whole_documents` makes each document one chunk, of which the encoder sees only the beginning,
    as published figures are made.
    """

    split: str | None = None
    mode: Mode = SearchConfig.mode
    depth: int = 100
    whole_documents: bool = False

    def __post_init__(self) -> None:
        SearchConfig(k=self.depth, mode=self.mode)


@dataclass(frozen=True, kw_only=True)
class SearchEvaluation:
    """Measures from 0 to 1, averaged over `queries`: all that have a relevant document.

    `measures` has `ndcg@10`, `recall@100`, `mrr@10` and `map`.
    """

    measures: Mapping[str, float]
    queries: int
    queries_without_relevant: int
    documents: int
    mode: Mode
    model: str
    split: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {
            **self.measures,
            "queries": self.queries,
            "documents": self.documents,
            "mode": self.mode,
            "seconds": self.seconds,
            "model": self.model,
            "split": self.split,
            "queries_without_relevant": self.queries_without_relevant,
        }


def evaluate_search(
    folder: str | Path,
    config: EvaluationConfig | None = None,
    *,
    model: str | Encoder | None = None,
    compute: Compute | None = None,
    db: str | Path | None = None,
    progress: Progress = SILENT,
) -> SearchEvaluation:
    """Indexes a judged collection in the BEIR layout and measures how well it is searched.

    Args:
        folder: holds `corpus.jsonl[.gz]` or `corpus/`, `queries.jsonl[.gz]`, `qrels/<split>.tsv`.
        model, compute: as for `Collection.open`.
        db: folder of the collection, kept for the next evaluation, which then embeds nothing
            again. None: a temporary one, in which nothing is embedded for a search by words.

    Raises:
        NotFoundError: a part of the layout is missing.
        InputError: judgements that cannot be used, or a `db` that holds other documents.
    """
    began = time.perf_counter()
    config, folder = config or EvaluationConfig(), typed_path(folder)
    compute = compute or Compute()
    judged = read_judged(folder, config.split, progress)
    if config.depth < RECALL_RANK:
        progress.note(f"{config.depth} results a query: recall@{RECALL_RANK} sees no more of them")
    corpus = read_corpus_ids(folder, progress)
    check_judgements(folder, judged.qrels, corpus, progress)
    with collection_home(db) as home, _open(home, db, model, compute, config) as collection:
        documents = read_corpus(
            folder, lambda place, remark: progress.note(f"skipped {place}: {remark}")
        )
        fill(collection, documents, str(folder), progress, ids=corpus)
        run = run_questions(collection, judged.questions, config, progress)
        count, name = len(collection), collection.status().model or ""
    return SearchEvaluation(
        measures=score_run(run, judged.qrels),
        queries=len(judged.questions),
        queries_without_relevant=judged.without_relevant,
        documents=count,
        mode=config.mode,
        model=name,
        split=judged.split,
        seconds=time.perf_counter() - began,
    )


def _open(
    home: Path,
    db: str | Path | None,
    model: str | Encoder | None,
    compute: Compute,
    config: EvaluationConfig,
) -> Collection:
    chunking = ChunkingConfig(whole_documents=config.whole_documents)
    if db is None and config.mode == "keyword":
        encoder = load_encoder(DEFAULT_MODEL if model is None else model, compute)
        every = IndexConfig(recall=1)  # of equal vectors nothing could be learned
        return Collection.open(home, model=_Cutter(encoder), chunking=chunking, index=every)
    return Collection.open(
        home, model=model, engine=compute.engine, device=compute.device, chunking=chunking
    )


class _Cutter:
    """Stands for an encoder where only words are searched: documents are cut to what that one sees,
    and all get the same vector."""

    dim = 1
    fingerprint = "none"

    def __init__(self, encoder: Encoder) -> None:
        self.name, self.engine = encoder.name, encoder.engine
        self.max_tokens, self.tokens = encoder.max_tokens, encoder.tokens

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        return np.ones((len(texts), self.dim), dtype=np.float32)

    encode_document = encode_query


def score_questions(run: Mapping[str, Sequence[str]], qrels: Qrels) -> dict[str, dict[str, float]]:
    """`ndcg@10` and `recall@100` of each question of `qrels`, as in `score_run`."""
    scores = _trec_eval(run, qrels, {"ndcg_cut.10", "recall.100"})
    nothing = {"ndcg_cut_10": 0.0, "recall_100": 0.0}
    found = {query: scores.get(query, nothing) for query in qrels}
    return {
        query: {"ndcg@10": each["ndcg_cut_10"], "recall@100": each["recall_100"]}
        for query, each in found.items()
    }


def score_run(run: Mapping[str, Sequence[str]], qrels: Qrels) -> dict[str, float]:
    """Averages over the queries of `qrels`; one without results in `run` counts 0.

    `run` has document ids by query, best first. Computed by trec_eval: nDCG with the grades as
    linear gains, a grade of 1 and more as relevant for the others.
    """
    measures = {"ndcg@10": "ndcg_cut_10", "recall@100": "recall_100", "map": "map"}
    scores = _trec_eval(run, qrels, {"ndcg_cut.10", "recall.100", "map"})
    top = {query: ranked[:CUT_RANK] for query, ranked in run.items()}
    top_scores = _trec_eval(top, qrels, {"recip_rank"})
    averages = {name: _average(scores, key, len(qrels)) for name, key in measures.items()}
    averages["mrr@10"] = _average(top_scores, "recip_rank", len(qrels))
    return {name: averages[name] for name in ("ndcg@10", "recall@100", "mrr@10", "map")}


def _trec_eval(
    run: Mapping[str, Sequence[str]], qrels: Qrels, measures: set[str]
) -> dict[str, dict[str, float]]:
    import pytrec_eval

    # trec_eval sorts by score, and ties by id: scores made of ranks keep the order that users see.
    scored = {
        query: {document: float(len(ranked) - rank) for rank, document in enumerate(ranked)}
        for query, ranked in run.items()
        if query in qrels
    }
    found: dict[str, dict[str, float]] = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(
        scored
    )
    return found


def _average(scores: Mapping[str, Mapping[str, float]], measure: str, queries: int) -> float:
    return sum(found[measure] for found in scores.values()) / queries


@contextmanager
def collection_home(db: str | Path | None) -> Iterator[Path]:
    """The folder `db`, else one that is gone afterwards."""
    if db is not None:
        yield Path(db)
        return
    with tempfile.TemporaryDirectory(prefix="embedsearch-") as folder:
        yield Path(folder)


def fill(
    collection: Collection,
    documents: Iterable[Document],
    source: str,
    progress: Progress,
    *,
    ids: set[str],
) -> None:
    """Puts `documents`, whose ids are `ids`, in. Documents of anything else would be found too, so
    there must be none: InputError."""
    foreign = next((document.id for document in collection if document.id not in ids), None)
    if foreign is not None:
        raise InputError(
            f"{collection.folder} holds other documents than {source}, for instance {foreign!r}; "
            "name another folder for this evaluation's collection"
        )
    collection.upsert(documents, progress=progress)


def run_questions(
    collection: Collection,
    queries: Mapping[str, str],
    config: EvaluationConfig,
    progress: Progress,
) -> dict[str, list[str]]:
    """Ids of the documents found, best first, by query id."""
    progress.start("Searching", len(queries), "queries")
    run: dict[str, list[str]] = {}
    for batch in _batched(queries.items(), QUERY_BATCH):
        texts = [text for _, text in batch]
        found = collection.search_batch(texts, config.depth, mode=config.mode)
        for (query, _), hits in zip(batch, found, strict=True):
            run[query] = [hit.document_id for hit in hits]
        progress.advance(len(batch))
    return run


def _batched(items: Iterable[tuple[str, str]], size: int) -> Iterator[list[tuple[str, str]]]:
    every = list(items)
    for start in range(0, len(every), size):
        yield every[start : start + size]
