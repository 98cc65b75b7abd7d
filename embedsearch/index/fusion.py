"""One ranking out of two: by meaning and by words."""

from __future__ import annotations

Ranking = dict[int, float]
"""Scores by row, best first; higher is better."""

SEMANTIC_WEIGHT = 5 / 9
"""Short questions want more of meaning, long descriptions more of words; none is best for both.
Chosen with the sets of benchmarks/retrieval_quality.py in view; nearby values differ little."""

LEAST_SPAN, LEAST_BM25 = 0.05, 1.0
"""Where even the best cosine is hardly above the background, or the best BM25 next to nothing, as
for a word that stands everywhere, small differences are not blown up to the whole scale."""


def fuse(by_meaning: Ranking, by_words: Ranking, *, background: float) -> Ranking:
    """The convex combination of two rankings' scores, at most 1.

    A cosine is measured from `background`, the query's mean cosine with all that there is, to the
    best one: how far encoders spread their cosines differs widely, and the mean moves with them. A
    BM25 score is measured from 0, no word in common, to the best one. Every row should have its
    score in both rankings; one that a ranking lacks counts as the background there. Combining
    scores keeps what ranks throw away, by how much one result is better than the next: Bruch, Gai,
    Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", 2022 (arXiv 2210.11934).
    """
    span = max(max(by_meaning.values(), default=background) - background, LEAST_SPAN)
    best = max(max(by_words.values(), default=0.0), LEAST_BM25)
    fused = {
        row: SEMANTIC_WEIGHT * (by_meaning.get(row, background) - background) / span
        + (1 - SEMANTIC_WEIGHT) * by_words.get(row, 0.0) / best
        for row in by_meaning.keys() | by_words.keys()
    }
    return dict(sorted(fused.items(), key=lambda item: (-item[1], item[0])))
