"""How good an encoder is by itself: on scored pairs, on pairs that do or do not belong together,
and on judged collections; with whole vectors and with their beginnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.collection.models import Compute, load_encoder
from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.encoder.training.examples import LabelledText, ScoredPair, TrainingPair
from embedsearch.encoder.training.held_out import spearman
from embedsearch.errors import InputError
from embedsearch.evaluation.beir import read_corpus
from embedsearch.evaluation.judged import read_judged
from embedsearch.evaluation.search import score_run
from embedsearch.finetuning.data import (
    Paths,
    TrainingDataConfig,
    document_text,
    each_path,
    read_training_data,
)
from embedsearch.types import SILENT, Encoder, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import Vectors

DEPTH = 100
ENCODED_AT_A_TIME = 2048
"""Documents encoded, and scored against all questions, at a time."""


@dataclass(frozen=True, kw_only=True)
class EncoderEvaluationConfig:
    """How an encoder is measured. `dims` are further lengths that its vectors are cut to.

    `split` is that of judged collections; `max_score` as in `TrainingDataConfig`.
    """

    dims: tuple[int, ...] = ()
    split: str | None = None
    columns: tuple[str, ...] = ()
    max_score: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", tuple(self.dims))
        if any(type(dim) is not int or dim < 1 for dim in self.dims):
            raise InputError(f"dims must be whole numbers from 1 on, not {self.dims!r}")


@dataclass(frozen=True, kw_only=True)
class EncoderScore:
    """What was measured with vectors of `dims` numbers. `task` is `similarity` (`spearman`,
    `pearson`), `classification` of pairs (`average_precision`, `accuracy` at the best threshold) or
    `retrieval` (`ndcg@10 recall@100 mrr@10 map`)."""

    name: str
    task: str
    dims: int
    measures: dict[str, float]
    size: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate_encoder(
    paths: Paths,
    config: EncoderEvaluationConfig | None = None,
    *,
    model: str | Path | Encoder = DEFAULT_MODEL,
    compute: Compute | None = None,
    progress: Progress = SILENT,
) -> list[EncoderScore]:
    """Measures an encoder on files of scored pairs and on folders in the BEIR layout, one or more.

    Pairs whose scores are all 0 or 1 are a classification, others a similarity. Documents of a
    folder are one vector each, of what the encoder sees of them, as published figures are made.

    Raises InputError for data that cannot be used or `dims` beyond the encoder's, NotFoundError,
    ModelError.
    """
    config = config or EncoderEvaluationConfig()
    encoder = load_encoder(model, compute)
    beyond = next((dim for dim in config.dims if dim > encoder.dim), None)
    if beyond is not None:
        raise InputError(f"dims has {beyond}; the vectors of {encoder.name} have {encoder.dim}")
    dims = sorted({encoder.dim, *config.dims}, reverse=True)
    scores: list[EncoderScore] = []
    for path in each_path(paths):
        if path.is_dir():
            scores += _retrieval(path, encoder, dims, config, progress)
        else:
            scores += _pairs(path, encoder, dims, config, progress)
    return scores


def cut(vectors: Vectors, dims: int) -> Vectors:
    """The first `dims` numbers of each vector, at unit length; shape (n, dims)."""
    short = vectors[:, :dims]
    lengths = np.linalg.norm(short, axis=1, keepdims=True)
    return np.ascontiguousarray(short / np.maximum(lengths, 1e-12), dtype=np.float32)


def _pairs(
    path: Path,
    encoder: Encoder,
    dims: Sequence[int],
    config: EncoderEvaluationConfig,
    progress: Progress,
) -> list[EncoderScore]:
    reading = TrainingDataConfig(columns=config.columns, max_score=config.max_score)
    examples = read_training_data([path], reading, progress=progress)
    pairs = [each for each in examples if isinstance(each, ScoredPair)]
    if not pairs:
        kind = "labelled texts" if isinstance(examples[0], LabelledText) else "pairs without score"
        assert isinstance(examples[0], (LabelledText, TrainingPair))
        raise InputError(f"{path} holds {kind}; an encoder is measured on pairs with a score")
    progress.start("Encoding", 2 * len(pairs), "texts")
    sides = [encoder.encode_document([pair.texts[side] for pair in pairs]) for side in (0, 1)]
    wanted = np.array([pair.score for pair in pairs])
    binary = set(wanted) <= {0.0, 1.0}
    if len(set(wanted)) < 2:
        raise InputError(f"{path}: all pairs have the same score, so nothing can be measured")
    scores = []
    for dim in dims:
        found = (cut(sides[0], dim) * cut(sides[1], dim)).sum(axis=1)
        scores.append(
            EncoderScore(
                name=path.name,
                task="classification" if binary else "similarity",
                dims=dim,
                measures=classified(found, wanted) if binary else correlated(found, wanted),
                size=len(pairs),
            )
        )
    return scores


def correlated(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> dict[str, float]:
    """Rank correlation and linear correlation."""
    if np.ptp(found) == 0:
        return {"spearman": 0.0, "pearson": 0.0}
    return {
        "spearman": spearman(found, wanted),
        "pearson": float(np.corrcoef(found, wanted)[0, 1]),
    }


def classified(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> dict[str, float]:
    """Average precision of the pairs that belong together, and the best accuracy of a threshold."""
    order = np.argsort(-found, kind="stable")
    right, cosines = wanted[order], found[order]
    hits = np.cumsum(right)
    # a threshold takes all pairs of equal cosine or none
    ends = np.append(cosines[1:] != cosines[:-1], True)
    taken, hits = np.flatnonzero(ends) + 1, hits[ends]
    recalls = np.diff(hits, prepend=0) / right.sum()
    correct = hits + (len(right) - right.sum()) - (taken - hits)
    best = max(float(correct.max()), float(len(right) - right.sum()))
    return {
        "average_precision": float((recalls * hits / taken).sum()),
        "accuracy": best / len(right),
    }


def _retrieval(
    folder: Path,
    encoder: Encoder,
    dims: Sequence[int],
    config: EncoderEvaluationConfig,
    progress: Progress,
) -> list[EncoderScore]:
    judged = read_judged(folder, config.split, progress)
    queries = encoder.encode_query(list(judged.questions.values()))
    ids: list[str] = []
    scores: dict[int, list[NDArray[np.float32]]] = {dim: [] for dim in dims}
    progress.start("Encoding", None, "documents")
    batch: list[str] = []

    def flush() -> None:
        vectors = encoder.encode_document(batch)
        for dim in dims:
            scores[dim].append(cut(queries, dim) @ cut(vectors, dim).T)
        progress.advance(len(batch))
        batch.clear()

    for document in read_corpus(folder, lambda *_: None):
        ids.append(document.id)
        batch.append(document_text(document))
        if len(batch) == ENCODED_AT_A_TIME:
            flush()
    if batch:
        flush()
    return [
        EncoderScore(
            name=folder.name,
            task="retrieval",
            dims=dim,
            measures=score_run(
                _best(np.hstack(scores[dim]), list(judged.questions), ids), judged.qrels
            ),
            size=len(judged.questions),
        )
        for dim in dims
    ]


def _best(
    scores: NDArray[np.float32], queries: Sequence[str], ids: Sequence[str]
) -> dict[str, list[str]]:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    return {
        query: [ids[place] for place in places]
        for query, places in zip(queries, order, strict=True)
    }
