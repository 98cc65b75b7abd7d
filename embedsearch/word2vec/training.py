"""Training: epochs over a corpus of ids, in threads, with the loss and the speed told."""

from __future__ import annotations

import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.device import cpu_count, training_device
from embedsearch.errors import InputError, StorageError
from embedsearch.types import SILENT, Progress
from embedsearch.word2vec.checkpoint import Checkpoint
from embedsearch.word2vec.config import Word2VecConfig
from embedsearch.word2vec.corpus import Corpus, Scan, make_corpus
from embedsearch.word2vec.footprint import release_memory
from embedsearch.word2vec.keyed_vectors import KeyedVectors
from embedsearch.word2vec.matrices import Matrices
from embedsearch.word2vec.phrases import join_phrases
from embedsearch.word2vec.schedule import Schedule
from embedsearch.word2vec.torch_training import TorchTrainer
from embedsearch.word2vec.vocabulary import keep_thresholds, noise_tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_IDS = 1 << 16
"""What a thread takes at a time: some 20 ms of work with a window of 5."""


def train_word2vec(
    sequences: Iterable[Sequence[str]],
    config: Word2VecConfig | None = None,
    *,
    start: KeyedVectors | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress = SILENT,
) -> KeyedVectors:
    """Vectors of words from the company they keep: skip-gram with negative sampling.

    Args:
        sequences: lists of words (or of any strings: a playlist's songs), read once, streamed to
            a temporary file. `read_sequences` makes them of text files.
        start: vectors to go on from, such as `KeyedVectors.load` gives; their words keep their
            order, new ones come after. The second matrix is taken from `start.output`, zeros where
            there is none.
        checkpoint: a folder that takes the state after each epoch. A later run with the same text,
            settings and folder goes on from there. It stays at the end, so that nothing is lost
            before the vectors are saved: `remove_checkpoint` takes it away.

    Returns:
        The vectors, with `counts`, `output` and `losses` (the mean logistic loss per pair of each
        epoch) for going on.

    Raises:
        InputError: an empty text, no word as frequent as `min_count`, no two words side by side,
            words that are no strings, a `start` of another `vector_size`, settings with which
            numbers grow beyond all bounds.
        DeviceError: a device that is not there.
        StorageError: no space for the temporary file or the checkpoint.
    """
    config = config or Word2VecConfig()
    device = "cpu" if config.deterministic else training_device(config.device)
    with _temporary_folder() as folder:
        scan = Scan(sequences, folder / "ids", progress)
        if config.phrases:
            join_phrases(scan, config.min_count, config.phrase_threshold)
        corpus = make_corpus(
            scan,
            min_count=config.min_count,
            max_vocab=config.max_vocab,
            known=start.keys if start else (),
        )
        del scan
        return _train(corpus, config, device, start, checkpoint, progress)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="embedsearch-")
    except OSError as error:
        raise StorageError(f"no temporary folder can be made: {error}; set TMPDIR") from None
    with folder as name:
        yield Path(name)


def _train(
    corpus: Corpus,
    config: Word2VecConfig,
    device: str,
    start: KeyedVectors | None,
    checkpoint: str | Path | None,
    progress: Progress,
) -> KeyedVectors:
    matrices = Matrices.initial(len(corpus.vocabulary.keys), config.vector_size, config.seed, start)
    saved = Checkpoint.open(checkpoint, corpus, config, start) if checkpoint else None
    losses = _restored(saved, matrices, config, progress) if saved else []
    trainer: CpuTrainer | TorchTrainer
    if device == "cpu":
        trainer = CpuTrainer(corpus, config, matrices)
    else:
        trainer = TorchTrainer(corpus, config, matrices, device)
    progress.start("training", corpus.words * config.epochs, "words")
    progress.advance(corpus.words * len(losses))
    for epoch in range(len(losses), config.epochs):
        began = time.perf_counter()
        losses.append(_finite(trainer.epoch(epoch, progress), config))
        speed = corpus.words / (time.perf_counter() - began)
        progress.note(
            f"epoch {epoch + 1} of {config.epochs}: loss {losses[-1]:.4f}, {speed:,.0f} words/s"
        )
        if saved:
            trainer.finish()
            saved.save(matrices, losses)
    trainer.finish()
    _finite(matrices.sum_of_all(), config)
    if not any(losses):
        progress.note(
            f"nothing was learned: sample={config.sample:g} left no two words side by side; "
            "0 keeps all"
        )
    vectors, output = matrices.release()
    counts = corpus.vocabulary.counts.copy()
    if start is not None and start.counts is not None:
        counts[: len(start)] += start.counts
    return KeyedVectors(
        corpus.vocabulary.keys, vectors, counts=counts, output=output, losses=tuple(losses)
    )


def _restored(
    saved: Checkpoint, matrices: Matrices, config: Word2VecConfig, progress: Progress
) -> list[float]:
    """The losses so far; the matrices are those of the last epoch."""
    losses = saved.restore(matrices)
    if losses:
        progress.note(f"going on after epoch {len(losses)} of {config.epochs}")
    elif saved.exists():
        progress.note(
            f"{saved.folder} is damaged, or of another text or other settings: from the beginning"
        )
    return losses


def _finite(number: float, config: Word2VecConfig) -> float:
    """The number, as long as it is one."""
    if math.isfinite(number):
        return number
    raise InputError(
        f"the training came to no end: with alpha={config.alpha:g}, window={config.window} and "
        f"negative={config.negative} the numbers grew beyond all bounds; try alpha="
        f"{config.alpha / 10:g}"
    )


class CpuTrainer:
    """Runs epochs on the CPU: threads take blocks of ids by turns and share the matrices."""

    def __init__(self, corpus: Corpus, config: Word2VecConfig, matrices: Matrices) -> None:
        self._config, self._matrices = config, matrices
        self._schedule = Schedule(corpus=corpus, config=config, block_ids=BLOCK_IDS)
        self._keep = keep_thresholds(corpus.vocabulary.counts, config.sample)
        self._noise = noise_tables(corpus.vocabulary.counts, config.ns_exponent)
        self._workers = 1 if config.deterministic else config.workers or cpu_count()
        self._train_block = self._compiled()

    def epoch(self, epoch: int, progress: Progress) -> float:
        """One pass over the corpus; the mean loss of its pairs."""
        blocks = iter(range(self._schedule.blocks))
        stop, lock = np.zeros(1, np.uint8), threading.Lock()
        loss, pairs = 0.0, 0

        def work() -> None:
            nonlocal loss, pairs
            for block in blocks:
                block_loss, block_pairs = self._train_block(*self._arguments(epoch, block, stop))
                if stop[0]:
                    return
                with lock:
                    loss, pairs = loss + block_loss, pairs + block_pairs
                    progress.advance(self._schedule.words(block))

        # A single worker has a thread too: the main one must be free for Ctrl-C.
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                for future in [pool.submit(work) for _ in range(self._workers)]:
                    future.result()
            finally:
                stop[0] = True
        return loss / max(pairs, 1)

    def finish(self) -> None:
        """The matrices are up to date at all times."""

    def _compiled(self) -> Callable[..., tuple[float, int]]:
        """The kernel, compiled or read from disk now, so that no epoch's speed counts it."""
        from embedsearch.word2vec.kernel import train_block

        stop = np.zeros(1, np.uint8)
        train_block(np.zeros(0, np.int32), *self._arguments(0, 0, stop)[1:])
        release_memory()
        found: Callable[..., tuple[float, int]] = train_block
        return found

    def _arguments(self, epoch: int, block: int, stop: NDArray[np.uint8]) -> tuple[object, ...]:
        schedule, matrices = self._schedule, self._matrices
        return (
            schedule.read(block),
            matrices.syn0.reshape(-1),
            matrices.syn1.reshape(-1),
            matrices.syn0.shape[1],
            self._keep,
            *self._noise,
            self._config.window,
            self._config.negative,
            schedule.alpha(epoch, block),
            schedule.alpha(epoch, block + 1),
            schedule.seed(epoch, block),
            stop,
        )
