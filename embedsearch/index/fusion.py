"""One ranking out of two: by meaning and by words."""

from __future__ import annotations

Ranking = dict[int, float]
"""Scores by row, best first; higher is better."""

SEMANTIC_WEIGHT = 0.55


def fuse(by_meaning: Ranking, by_words: Ranking, *, background: float) -> Ranking:
    """The convex combination of two rankings' scores, both brought to the scale from 0 to 1.

    A cosine is measured between `background`, the query's mean cosine with all that there is, and
    the best one: how far encoders spread their cosines differs widely, and the mean moves with
    them. A BM25 score is measured between 0, no word in common, and the best one. A row that a
    ranking lacks counts 0 in it. Combining scores keeps what ranks throw away, by how much one
    result is better than the next: Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid
    Retrieval", 2022 (arXiv 2210.11934).
    """
    meaning, words = _scaled(by_meaning, background), _scaled(by_words, 0.0)
    fused = {
        row: SEMANTIC_WEIGHT * meaning.get(row, 0.0) + (1 - SEMANTIC_WEIGHT) * words.get(row, 0.0)
        for row in meaning.keys() | words.keys()
    }
    return dict(sorted(fused.items(), key=lambda item: (-item[1], item[0])))


def _scaled(ranking: Ranking, least: float) -> Ranking:
    span = max(ranking.values(), default=least) - least
    if span <= 0.0:
        return dict.fromkeys(ranking, 0.0)
    return {row: max(0.0, score - least) / span for row, score in ranking.items()}
