"""The losses over one batch, as functions of the vectors of its texts.

Ranking is computed here, because candidates must be left out one by one: those that are known to
belong to the anchor, and those that a guide takes for such. Everything else is the loss of
sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from embedsearch.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from embedsearch.encoder.training.config import EncoderTrainingConfig, Loss
    from embedsearch.encoder.training.dataset import Row
    from embedsearch.encoder.training.examples import Shape
    from embedsearch.types import Vectors

BatchLoss = Callable[["torch.Tensor"], "torch.Tensor"]
"""From the vectors of a batch's texts, in the order of `texts_of`, to the loss."""

_NO_MODEL: Any = None
"""A loss over vectors needs none."""

_SUITABLE: dict[Shape, tuple[Loss, ...]] = {
    "pairs": ("ranking", "gist", "triplet"),
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
    if config.loss == "triplet" and not all(row.negatives for row in rows):
        raise InputError("the loss 'triplet' needs a negative for every pair: use ranking")
    return config.loss


def texts_of(batch: Sequence[Row]) -> list[int]:
    """The numbers of a batch's texts, each once."""
    numbers = (number for row in batch for number in (row.anchor, row.positive, *row.negatives))
    return list(dict.fromkeys(numbers))


def batch_loss(
    batch: Sequence[Row], loss: Loss, config: EncoderTrainingConfig, guide: Vectors | None
) -> BatchLoss:
    """The loss of a batch; `guide` has a vector of every text, shape (texts, any)."""
    places = {number: place for place, number in enumerate(texts_of(batch))}
    if loss in ("ranking", "gist"):
        found = _ranking(batch, places, config, guide if loss == "gist" else None)
    elif loss == "triplet":
        found = _triplet(batch, places, config)
    else:
        found = _cosent(batch, places, config)
    return _matryoshka(found, config.matryoshka_dims) if config.matryoshka_dims else found


def _ranking(
    batch: Sequence[Row],
    places: dict[int, int],
    config: EncoderTrainingConfig,
    guide: Vectors | None,
) -> BatchLoss:
    """InfoNCE: each anchor's positive against all other texts of the batch that answer an anchor or
    are a negative (van den Oord et al. 2018; Henderson et al. 2017, section 4.4)."""
    import torch

    anchors = [row.anchor for row in batch]
    candidates = [row.positive for row in batch]
    candidates += list(
        dict.fromkeys(
            each for row in batch for each in row.negatives if each not in set(candidates)
        )
    )
    left_out = torch.from_numpy(_left_out(batch, candidates, config.gist_margin, guide))
    rows = torch.tensor([places[each] for each in anchors])
    columns = torch.tensor([places[each] for each in candidates])

    def compute(vectors: torch.Tensor) -> torch.Tensor:
        device = vectors.device
        queries, documents = vectors[rows.to(device)], vectors[columns.to(device)]
        scores = (queries @ documents.T) * config.scale
        scores = scores.masked_fill(left_out.to(device), -torch.inf)
        return torch.nn.functional.cross_entropy(scores, torch.arange(len(rows), device=device))

    return compute


def _left_out(
    batch: Sequence[Row], candidates: Sequence[int], margin: float, guide: Vectors | None
) -> NDArray[np.bool_]:
    """Candidates that an anchor must not be pushed away from, shape (anchors, candidates): its
    other answers, itself, and what the guide holds nearer to it than its positive less `margin`
    (GISTEmbed: Solatorio 2024)."""
    import numpy as np

    found = np.array(
        [[each in row.answers or each == row.anchor for each in candidates] for row in batch]
    )
    if guide is not None:
        anchors = guide[[row.anchor for row in batch]]
        near = anchors @ guide[list(candidates)].T
        found |= near > np.diagonal(near)[:, None] - margin
    found[np.arange(len(batch)), np.arange(len(batch))] = False
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
