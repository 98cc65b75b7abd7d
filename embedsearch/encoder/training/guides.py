"""What guides a training: how near the base, as it was before, holds texts to each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from embedsearch.encoder.training.forward import TextEmbedder
    from embedsearch.types import Vectors

Guide = Callable[[Sequence[int], Sequence[int]], "torch.Tensor"]
"""From the numbers of anchors and of candidates to scores, float32 (anchors, candidates)."""


def by_vectors(vectors: Vectors) -> Guide:
    """The cosine of the texts' unit vectors, shape (texts, dim)."""
    import torch

    def scores(anchors: Sequence[int], candidates: Sequence[int]) -> torch.Tensor:
        return torch.from_numpy(vectors[list(anchors)] @ vectors[list(candidates)].T)

    return scores


def by_late_interaction(embedder: TextEmbedder) -> Guide:
    """The cosine of two texts plus their late interaction: the mean, over the anchor's tokens, of
    the highest cosine with a token of the candidate (MaxSim: Khattab and Zaharia 2020, "ColBERT").

    The model needs no training for it: tokens whose mean is a good vector compare well themselves.
    Candidates pass `batch_tokens` at a time.
    """
    import torch

    ids = embedder.model.tokenizer.all_special_ids
    special = torch.tensor(ids, dtype=torch.long, device=embedder.device)  # there may be none

    def scores(anchors: Sequence[int], candidates: Sequence[int]) -> torch.Tensor:
        with torch.no_grad():
            asked = _Asked(embedder, anchors, special)
            found = torch.empty(len(anchors), len(candidates))
            for part in embedder.parts(candidates):
                found[:, part] = asked.scores([candidates[place] for place in part]).cpu()
        return found

    return scores


class _Asked:
    """Anchors, ready to be compared."""

    def __init__(
        self, embedder: TextEmbedder, anchors: Sequence[int], special: torch.Tensor
    ) -> None:
        import torch

        self.embedder = embedder
        whole, tokens, owners = [], [], []
        places = list[int]()
        for part in embedder.parts(anchors):
            found = embedder.forward([anchors[place] for place in part])
            counted = found.mask & ~torch.isin(found.ids, special)
            counted |= found.mask & ~counted.any(dim=1, keepdim=True)  # of special tokens alone
            whole.append(found.vectors)
            tokens.append(found.tokens[counted])
            rows = torch.tensor(part, device=counted.device)
            owners.append(rows.repeat_interleave(counted.sum(dim=1)))
            places += part
        order = torch.tensor(places).argsort()
        self.whole = torch.cat(whole)[order.to(embedder.device)]
        self.tokens, self.owners = torch.cat(tokens), torch.cat(owners)
        self.counts = torch.bincount(self.owners, minlength=len(anchors))

    def scores(self, candidates: Sequence[int]) -> torch.Tensor:
        import torch

        found = self.embedder.forward(candidates)
        alike = torch.einsum("td,cld->tcl", self.tokens, found.tokens)
        highest = alike.masked_fill(~found.mask, -torch.inf).amax(dim=2)
        sums = torch.zeros(len(self.counts), len(candidates), device=highest.device)
        sums.index_add_(0, self.owners, highest)
        return self.whole @ found.vectors.T + sums / self.counts[:, None]
