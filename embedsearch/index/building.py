"""From rows that stream in to an index file: exact, or with the codes that the planner chose."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import InputError
from embedsearch.index.checks import check_ids, check_vectors
from embedsearch.index.codes import Codes, train_codes
from embedsearch.index.config import IndexConfig, Measured
from embedsearch.index.gpu_building import to_gpus
from embedsearch.index.planner import FLAT, Plan, choose
from embedsearch.index.section import write_section
from embedsearch.index.tune import draw_trial, tune
from embedsearch.index.writing import IndexFileWriter
from embedsearch.types import SILENT

if TYPE_CHECKING:
    from embedsearch.types import Embeddings, Progress, Vectors

log = logging.getLogger("embedsearch")

ADDED_AT_A_TIME = 65_536
WORTH_IT = 0.8
"""An approximate search is kept where it takes at most this share of an exact one's time."""


def build_file(
    path: Path,
    embeddings: Embeddings,
    count: int,
    dim: int,
    config: IndexConfig,
    *,
    faiss: bool = True,
    memory: int | None = None,
    devices: Sequence[int] = (),
    progress: Progress = SILENT,
) -> None:
    """Writes the index of `count` vectors that come in batches to `path`.

    Memory holds the row ids, a sample of the vectors and the codes; the vectors go to the file.
    Without `faiss` it is exact. `memory` is what is free, in bytes. `devices` are GPUs that help,
    by FAISS's numbers; what is written is the same kind of file.

    Raises InputError where ids are not ascending over all batches, vectors are not of unit length,
    the count is not right or FAISS refuses the factory string; DeviceError; StorageError.
    """
    exact = (Plan(factory=FLAT, sample=0),)
    plans = choose(count, dim, config, memory) if faiss and count else exact
    with IndexFileWriter(path, dim) as writer:
        _fill(writer, embeddings, count, dim)
        if plans[0].exact and not plans[0].note:
            writer.finish()
            return
        codes, measured = _planned(writer.vectors(), plans, config, devices, progress)
        if measured.note:
            log.warning("the index: %s", measured.note)
        writer.finish(lambda write: write_section(write, writer.total, measured, codes))


def _fill(writer: IndexFileWriter, embeddings: Embeddings, count: int, dim: int) -> None:
    filled, last = 0, np.empty(0, dtype=np.int64)
    for ids, vectors in embeddings:
        check_ids(ids)
        if len(ids) and len(last):
            check_ids(np.concatenate([last, ids[:1]]))
        check_vectors(vectors, dim)
        if len(ids) != len(vectors) or filled + len(ids) > count:
            raise InputError(
                f"{len(ids)} ids with {len(vectors)} vectors came after {filled} of {count}"
            )
        writer.append(ids, vectors)
        filled, last = filled + len(ids), ids[-1:]
    if filled != count:
        raise InputError(f"{count} vectors were announced and {filled} came")


def _planned(
    vectors: Vectors,
    plans: Sequence[Plan],
    config: IndexConfig,
    devices: Sequence[int],
    progress: Progress,
) -> tuple[Codes | None, Measured]:
    """The codes of the first plan that keeps the promise, and how they fare; None where exact
    search is as fast or surer."""
    began = time.perf_counter()
    if plans[0].exact:
        return None, _flat(config, plans[0].note, began)
    trial = draw_trial(vectors)
    for plan in plans:
        try:
            codes = _built(vectors, plan, devices, progress)
        except InputError as error:  # too few vectors for it: it may do when there are more
            return None, _flat(config, f"exact for now: {error}", began)
        progress.start("Measuring recall", None, "")
        codes.measure_gaps(trial.queries)
        tuned = tune(codes, vectors, trial, config.recall)
        if tuned.recall >= config.recall:
            break
    note = plan.note
    if tuned.recall < config.recall:
        note = f"recall {config.recall:g} is out of reach of {plan.factory}, which finds "
        note += f"{tuned.recall:.3f}"
    slow = tuned.search_ms > WORTH_IT * tuned.exact_ms
    if config.factory == "auto" and (slow or tuned.recall < config.recall):
        return None, _flat(config, f"exact, as {note or f'{plan.factory} is no faster'}", began)
    size = _Counter()
    codes.write(size.add)
    return codes, Measured(
        asked=config,
        factory=plan.factory,
        recall=round(tuned.recall, 4),
        filtered_recall=round(tuned.filtered_recall, 4),
        queries=tuned.queries,
        probes=tuned.probes,
        depth=tuned.depth,
        search_ms=round(tuned.search_ms, 3),
        exact_ms=round(tuned.exact_ms, 3),
        build_seconds=round(time.perf_counter() - began, 1),
        bytes=size.bytes,
        note=note,
        gaps=codes.gaps,
    )


def _built(vectors: Vectors, plan: Plan, devices: Sequence[int], progress: Progress) -> Codes:
    """The codes of all vectors."""
    random = np.random.default_rng(0)
    rows = np.sort(random.choice(len(vectors), plan.sample, replace=False))
    progress.start(f"Building {plan.factory}", len(vectors), "vectors")
    blocks = _blocks(vectors, progress)
    copy = to_gpus(devices) if devices else None
    return train_codes(plan.factory, vectors.shape[1], vectors[rows], blocks, copy=copy)


def _flat(config: IndexConfig, note: str, began: float) -> Measured:
    return Measured(
        asked=config,
        factory=FLAT,
        recall=1.0,
        filtered_recall=1.0,
        queries=0,
        probes=0,
        depth=0,
        search_ms=0.0,
        exact_ms=0.0,
        build_seconds=round(time.perf_counter() - began, 1),
        bytes=0,
        note=note,
    )


def _blocks(vectors: Vectors, progress: Progress) -> Iterator[Vectors]:
    for start in range(0, len(vectors), ADDED_AT_A_TIME):
        block = np.ascontiguousarray(vectors[start : start + ADDED_AT_A_TIME])
        yield block
        progress.advance(len(block))


class _Counter:
    """Counts the bytes of what would be written."""

    def __init__(self) -> None:
        self.bytes = 0

    def add(self, data: bytes) -> None:
        self.bytes += len(data)
