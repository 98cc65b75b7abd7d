"""The losses over one batch, as functions of the vectors of its texts.

Ranking is computed here, because candidates must be left out one by one: those that are known to
belong to the anchor, and those that a guide takes for such; so is learning from a guide.
Everything else is the loss of sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from embedsearch.errors import InputError

if TYPE_CHECKING:
    import torch

    from embedsearch.encoder.training.config import EncoderTrainingConfig, Loss
    from embedsearch.encoder.training.dataset import Row
    from embedsearch.encoder.training.examples import Shape
    from embedsearch.encoder.training.guides import Guide

BatchLoss = Callable[["torch.Tensor"], "torch.Tensor"]
"""From the vectors of a batch's texts, in the order of `texts_of`, to the loss."""

_NO_MODEL: Any = None
"""A loss over vectors needs none."""

_SUITABLE: dict[Shape, tuple[Loss, ...]] = {
    "pairs": ("ranking", "gist", "late", "triplet"),
    "scored": ("cosent",),
    "labelled": ("ranking", "gist"),
}
"""The losses for each shape of data; the first is the default."""


def choose_loss(config: EncoderTrainingConfig, shape: Shape, rows: Sequence[Row]) -> Loss:
    """The loss for this data. InputError where the one asked for does not go with it."""
    suitable = _SUITABLE[shape]
    if config.loss == "auto":
        return suitable[0]
    if config.loss not in suitable:
        raise InputError(
            f"the loss {config.loss!r} is not for {shape}: use {' or '.join(suitable)}, or auto"
        )
    if config.loss == "triplet" and not config.negatives:
        raise InputError("the loss 'triplet' needs negatives: set negatives to 1 or more, not 0")
    if config.loss == "triplet" and not all(row.negatives for row in rows):
        raise InputError("the loss 'triplet' needs a negative for every pair: use ranking")
    return config.loss


def texts_of(batch: Sequence[Row]) -> list[int]:
    """The numbers of a batch's texts, each once."""
    numbers = (number for row in batch for number in (row.anchor, row.positive, *row.negatives))
    return list(dict.fromkeys(numbers))


def batch_loss(
    batch: Sequence[Row], loss: Loss, config: EncoderTrainingConfig, guide: Guide | None
) -> BatchLoss:
    """The loss of a batch; `gist` and `late` need a guide."""
    places = {number: place for place, number in enumerate(texts_of(batch))}
    if loss in ("ranking", "gist"):
        found = _ranking(batch, places, config, guide)
    elif loss == "late":
        assert guide is not None
        found = _late(batch, places, config, guide)
    elif loss == "triplet":
        found = _triplet(batch, places, config)
    else:
        found = _cosent(batch, places, config)
    return _matryoshka(found, config.matryoshka_dims) if config.matryoshka_dims else found


def _ranking(
    batch: Sequence[Row],
    places: dict[int, int],
    config: EncoderTrainingConfig,
    guide: Guide | None,
) -> BatchLoss:
    """InfoNCE: each anchor's positive against all other texts of the batch that answer an anchor or
    are a negative (van den Oord et al. 2018; Henderson et al. 2017, section 4.4)."""
    import torch

    candidates = _candidates(batch)
    left_out = _left_out(batch, candidates, config.gist_margin, guide)
    cosines = _cosines(batch, candidates, places)

    def compute(vectors: torch.Tensor) -> torch.Tensor:
        device = vectors.device
        scores = cosines(vectors) * config.scale
        scores = scores.masked_fill(left_out.to(device), -torch.inf)
        return torch.nn.functional.cross_entropy(scores, torch.arange(len(batch), device=device))

    return compute


def _late(
    batch: Sequence[Row], places: dict[int, int], config: EncoderTrainingConfig, guide: Guide
) -> BatchLoss:
    """How far the vectors' order of all texts of the batch, as chances, is from the guide's
    (Kullback-Leibler; Lin, Yang and Lin 2021, "In-Batch Negatives for Knowledge Distillation with
    Tightly-Coupled Teachers")."""
    import torch

    candidates = _candidates(batch)
    wanted = torch.softmax(guide([row.anchor for row in batch], candidates) * config.scale, dim=1)
    cosines = _cosines(batch, candidates, places)

    def compute(vectors: torch.Tensor) -> torch.Tensor:
        found = torch.log_softmax(cosines(vectors) * config.scale, dim=1)
        return torch.nn.functional.kl_div(found, wanted.to(found.device), reduction="batchmean")

    return compute


def _candidates(batch: Sequence[Row]) -> list[int]:
    """The positives of a batch in order, then its negatives, each once."""
    positives = [row.positive for row in batch]
    negatives = (each for row in batch for each in row.negatives)
    return list(dict.fromkeys((*positives, *negatives)))


def _cosines(
    batch: Sequence[Row], candidates: Sequence[int], places: dict[int, int]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """From the vectors of a batch to the cosines of anchors and candidates."""
    import torch

    rows = torch.tensor([places[row.anchor] for row in batch])
    columns = torch.tensor([places[each] for each in candidates])

    def compute(vectors: torch.Tensor) -> torch.Tensor:
        device = vectors.device
        return vectors[rows.to(device)] @ vectors[columns.to(device)].T

    return compute


def _left_out(
    batch: Sequence[Row], candidates: Sequence[int], margin: float, guide: Guide | None
) -> torch.Tensor:
    """Candidates that an anchor must not be pushed away from, shape (anchors, candidates): its
    other answers, itself, and what the guide holds nearer to it than its positive less `margin`
    (GISTEmbed: Solatorio 2024)."""
    import torch

    found = torch.tensor(
        [
            [each in row.answers or each in row.echoes or each == row.anchor for each in candidates]
            for row in batch
        ]
    )
    if guide is not None:
        near = guide([row.anchor for row in batch], candidates)
        found |= near > near.diagonal()[:, None] - margin
    found.fill_diagonal_(False)
    return found


def _triplet(
    batch: Sequence[Row], places: dict[int, int], config: EncoderTrainingConfig
) -> BatchLoss:
    from sentence_transformers.sentence_transformer.losses import (
        TripletDistanceMetric,
        TripletLoss,
    )

    triplets = [(row.anchor, row.positive, each) for row in batch for each in row.negatives]
    loss = TripletLoss(
        _NO_MODEL,
        distance_metric=TripletDistanceMetric.COSINE,
        triplet_margin=config.triplet_margin,
    )
    return _columns(
        loss, [[places[each] for each in column] for column in zip(*triplets, strict=True)]
    )


def _cosent(
    batch: Sequence[Row], places: dict[int, int], config: EncoderTrainingConfig
) -> BatchLoss:
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    columns = [[places[row.anchor] for row in batch], [places[row.positive] for row in batch]]
    return _columns(
        CoSENTLoss(_NO_MODEL, scale=config.scale), columns, [row.score for row in batch]
    )


def _columns(
    loss: Any, columns: Sequence[Sequence[int]], labels: Sequence[float] = ()
) -> BatchLoss:
    """A loss of sentence-transformers over columns of texts."""
    import torch

    def compute(vectors: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = loss.compute_loss_from_embeddings(
            [vectors[list(column)] for column in columns],
            torch.tensor(labels, device=vectors.device),
        )
        return found

    return compute


def _matryoshka(loss: BatchLoss, dims: Sequence[int]) -> BatchLoss:
    """The loss of the whole vectors plus that of their beginnings, each at unit length (Kusupati et
    al. 2022, "Matryoshka Representation Learning")."""
    import torch

    def compute(vectors: torch.Tensor) -> torch.Tensor:
        cuts = {min(dim, vectors.shape[1]) for dim in dims} | {vectors.shape[1]}
        losses = [
            loss(torch.nn.functional.normalize(vectors[:, :dim], dim=1)) for dim in sorted(cuts)
        ]
        return torch.stack(losses).sum()

    return compute
