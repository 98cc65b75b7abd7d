"""The training of `kernel.py` on a GPU: thousands of windows at a time, in torch.

A step works on many windows with the same matrices, so a frequent word gets hundreds of updates
that know nothing of one another. Their sum is shortened where it would overshoot: the loss of n
pairs bends by at most n * |x|^2 / 4 along a vector, so a sum of n updates at the rate alpha is safe
up to n = 4 / (alpha * |x|^2). Otherwise the algorithm is that of the CPU: dynamic windows,
negatives shared by a window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from embedsearch.types import Progress
from embedsearch.word2vec.schedule import Schedule
from embedsearch.word2vec.vocabulary import keep_thresholds, noise_tables

if TYPE_CHECKING:
    import torch

    from embedsearch.word2vec.config import Word2VecConfig
    from embedsearch.word2vec.corpus import Corpus
    from embedsearch.word2vec.matrices import Matrices

BLOCK_IDS = 1 << 20
BATCH_WINDOWS = 1024
"""At most, and no more than there are words: with more the updates of a step get in one another's
way, with fewer a GPU idles."""
_LEAST_WINDOWS = 32
_SCALE = 2.0**32


class TorchTrainer:
    """Runs epochs on one device. The matrices live there until `finish`."""

    def __init__(
        self, corpus: Corpus, config: Word2VecConfig, matrices: Matrices, device: str
    ) -> None:
        import torch

        counts = corpus.vocabulary.counts
        threshold, alias = noise_tables(counts, config.ns_exponent)
        self._corpus, self._config, self._matrices = corpus, config, matrices
        self._schedule = Schedule(corpus=corpus, config=config, block_ids=BLOCK_IDS)
        self._device = torch.device(device)
        self._syn0, self._syn1 = (
            torch.from_numpy(matrix).to(self._device, copy=True)
            for matrix in (matrices.syn0, matrices.syn1)
        )
        keep = torch.from_numpy(keep_thresholds(counts, config.sample) / _SCALE)
        self._keep = keep.float().to(self._device)
        self._threshold = torch.from_numpy(threshold / _SCALE).float().to(self._device)
        self._alias = torch.from_numpy(alias).long().to(self._device)
        self._random = torch.Generator(self._device)
        reach = torch.arange(1, config.window + 1, device=self._device)
        self._offsets = torch.cat((-reach.flip(0), reach))
        self._batch = min(BATCH_WINDOWS, max(_LEAST_WINDOWS, len(counts)))

    def epoch(self, epoch: int, progress: Progress) -> float:
        """One pass over the corpus; the mean loss of its pairs."""
        import torch

        loss = torch.zeros((), dtype=torch.float64, device=self._device)
        pairs = torch.zeros((), dtype=torch.float64, device=self._device)
        for block in range(self._schedule.blocks):
            self._random.manual_seed(self._schedule.seed(epoch, block))
            ids = torch.from_numpy(self._schedule.read(block)).long().to(self._device)
            kept, centres, context = self._windows(ids)
            first, last = self._schedule.alpha(epoch, block), self._schedule.alpha(epoch, block + 1)
            for at in range(0, len(centres), self._batch):
                part = slice(at, at + self._batch)
                alpha = first + (last - first) * at / len(centres)
                words, there = context(part)
                loss += self._step(kept[centres[part]], words, there, alpha)
                pairs += there.sum()
            progress.advance(self._schedule.words(block))
        return float(loss / pairs.clamp(min=1))

    def finish(self) -> None:
        """Copies the matrices back."""
        self._matrices.syn0[:] = self._syn0.cpu().numpy()
        self._matrices.syn1[:] = self._syn1.cpu().numpy()

    def _windows(
        self, ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, Callable[[slice], tuple[torch.Tensor, torch.Tensor]]]:
        """The words that stay, the places of centres among them, and what is around some centres:
        words and whether they are there, both of shape (centres, 2 * window)."""
        import torch

        drawn = torch.rand(len(ids), generator=self._random, device=self._device)
        kept = ids[(ids < 0) | (drawn < self._keep[ids.clamp(min=0)])]
        sequence = torch.cumsum(kept < 0, 0)
        centres = torch.nonzero(kept >= 0).flatten()
        reach = torch.randint(
            1,
            self._config.window + 1,
            (len(centres), 1),
            generator=self._random,
            device=self._device,
        )

        def context(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
            places = centres[part, None] + self._offsets
            inside = places.clamp(0, len(kept) - 1)
            there = (inside == places) & (self._offsets.abs() <= reach[part])
            there &= (sequence[inside] == sequence[centres[part], None]) & (kept[inside] >= 0)
            return kept[inside].clamp(min=0), there

        return kept, centres, context

    def _step(
        self, centres: torch.Tensor, words: torch.Tensor, there: torch.Tensor, alpha: float
    ) -> torch.Tensor:
        """Learns from windows; the sum of their losses.

        Shapes: centres (n,), words and there (n, 2 * window).
        """
        import torch

        outputs = torch.cat((centres[:, None], self._noise(len(centres))), 1)
        used = outputs != centres[:, None]
        used[:, 0] = True
        weight = there[:, :, None] & used[:, None, :]
        x, y = self._syn0[words], self._syn1[outputs]
        sign = torch.full((outputs.shape[1],), -1.0, device=self._device)
        sign[0] = 1.0
        margin = torch.bmm(x, y.transpose(1, 2)) * sign
        steps = sign * torch.sigmoid(-margin) * weight
        loss = (torch.nn.functional.softplus(-margin) * weight).sum(dtype=torch.float64)
        most0, most1 = (4 / (alpha * z.square().sum(2).mean()).clamp(min=1e-6) for z in (y, x))
        _add(self._syn0, words, alpha * torch.bmm(steps, y), weight.sum(2), most0)
        _add(self._syn1, outputs, alpha * torch.bmm(steps.transpose(1, 2), x), weight.sum(1), most1)
        return loss

    def _noise(self, rows: int) -> torch.Tensor:
        """Words drawn from the noise distribution, shape (rows, negative)."""
        import torch

        shape = (rows, self._config.negative)
        options = {"generator": self._random, "device": self._device}
        words = torch.randint(0, len(self._alias), shape, **options)  # type: ignore[call-overload]
        certain = torch.rand(shape, **options) < self._threshold[words]  # type: ignore[call-overload]
        return torch.where(certain, words, self._alias[words])


def _add(
    matrix: torch.Tensor,
    rows: torch.Tensor,
    updates: torch.Tensor,
    pairs: torch.Tensor,
    most: torch.Tensor,
) -> None:
    """matrix[rows] += updates, the sum of a row shortened as if it had been `most` pairs.

    `pairs` tells of how many pairs an update is the sum.
    """
    import torch

    rows = rows.flatten()
    counts = torch.zeros(len(matrix), device=matrix.device)
    counts.index_add_(0, rows, pairs.flatten().to(counts.dtype))
    share = (most / torch.maximum(counts[rows], most))[:, None]
    matrix.index_add_(0, rows, updates.flatten(0, 1) * share)
