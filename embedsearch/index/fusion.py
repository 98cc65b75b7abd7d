"""One ranking out of two: by meaning and by words."""

from __future__ import annotations

Ranking = dict[int, float]
"""Scores by row, best first; higher is better."""

SEMANTIC_WEIGHT = 0.5


def fuse(by_meaning: Ranking, by_words: Ranking) -> Ranking:
    """The convex combination of two rankings, each scaled by its best score.

    A score is `w * cosine / best cosine + (1 - w) * BM25 / best BM25`, between 0 and 1, where a row
    that a ranking lacks counts 0 in it. Combining scores keeps what ranks throw away, by how much
    one result is better than the next: Bruch, Gai, Ingber, "An Analysis of Fusion Functions for
    Hybrid Retrieval", 2022 (arXiv 2210.11934).
    """
    meaning, words = _scaled(by_meaning), _scaled(by_words)
    fused = {
        row: SEMANTIC_WEIGHT * meaning.get(row, 0.0) + (1 - SEMANTIC_WEIGHT) * words.get(row, 0.0)
        for row in meaning.keys() | words.keys()
    }
    return dict(sorted(fused.items(), key=lambda item: (-item[1], item[0])))


def _scaled(ranking: Ranking) -> Ranking:
    best = max(ranking.values(), default=0.0)
    if best <= 0.0:
        return dict.fromkeys(ranking, 0.0)
    return {row: max(0.0, score) / best for row, score in ranking.items()}
