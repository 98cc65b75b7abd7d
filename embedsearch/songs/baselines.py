"""What recommenders are compared with: popularity, item-to-item cosine, ALS and BPR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.errors import DependencyError
from embedsearch.songs.cooccurrence import Cooccurrence
from embedsearch.songs.ranking import Ranker, top

if TYPE_CHECKING:
    from embedsearch.songs.cooccurrence import Rows, Scores

Recommend = Callable[[Sequence[int], int], "Rows"]
"""Seeds as rows and how many are wanted, to the rows recommended, best first, without the seeds."""

FACTORS = 128
"""Of ALS and BPR, as many as our vectors have by default."""
ALS_ITERATIONS = 15
BPR_ITERATIONS = 100


def ours(ranker: Ranker) -> Recommend:
    """What `SongRecommender.recommend` gives."""
    return lambda seeds, k: ranker.best(ranker.query(seeds), k, seeds)[0]


def vectors_alone(ranker: Ranker) -> Recommend:
    """The vectors without co-occurrence."""
    return lambda seeds, k: ranker.by_vectors(ranker.query(seeds), k, seeds)[0]


def popularity(playlists: Cooccurrence) -> Recommend:
    """The songs in most playlists."""
    counts = np.bincount(playlists.songs, minlength=playlists.count).astype(np.float32)
    return lambda seeds, k: _best(counts.copy(), seeds, k)


def item_knn(playlists: Cooccurrence) -> Recommend:
    """Item-to-item cosine: the sum over the seeds of |A and B| / sqrt(|A| |B|), all neighbours.

    Sarwar et al. 2001 with unweighted sums; A and B are the playlists of two songs.
    """
    import scipy.sparse as sp

    scaled = (playlists.matrix @ sp.diags_array(playlists.frequencies**-0.5)).tocsr()
    turned = scaled.T.tocsr()

    def recommend(seeds: Sequence[int], k: int) -> Rows:
        near = np.asarray(turned[list(seeds)].sum(axis=0), np.float32).ravel()
        return _best(turned @ near, seeds, k)

    return recommend


def als(playlists: Cooccurrence, seed: int = 1) -> Recommend:
    """Weighted matrix factorisation (Hu, Koren and Volinsky 2008) of the package `implicit`.

    A new playlist's factors are worked out from its seeds. Raises DependencyError.
    """
    from threadpoolctl import threadpool_limits

    package = _implicit()
    with threadpool_limits(1, "blas"):
        model = package.als.AlternatingLeastSquares(
            factors=FACTORS, iterations=ALS_ITERATIONS, random_state=seed, use_gpu=False
        )
    return _trained(model, playlists, recalculate=True)


def bpr(playlists: Cooccurrence, seed: int = 1) -> Recommend:
    """Bayesian personalised ranking (Rendle et al. 2009) of the package `implicit`.

    It cannot work out factors for a new playlist: the mean of the seeds' takes their place.
    Raises DependencyError.
    """
    model = _implicit().bpr.BayesianPersonalizedRanking(
        factors=FACTORS, iterations=BPR_ITERATIONS, random_state=seed, use_gpu=False
    )
    return _trained(model, playlists, recalculate=False)


def _trained(model: Any, playlists: Cooccurrence, *, recalculate: bool) -> Recommend:
    import scipy.sparse as sp
    from threadpoolctl import threadpool_limits

    matrix = sp.csr_matrix(playlists.matrix)
    with threadpool_limits(1, "blas"):  # implicit has threads of its own
        model.fit(matrix, show_progress=False)
    items = np.asarray(model.item_factors)

    def recommend(seeds: Sequence[int], k: int) -> Rows:
        rows = list(seeds)
        if recalculate:
            row = sp.csr_matrix(
                (np.ones(len(rows), np.float32), ([0] * len(rows), rows)), (1, playlists.count)
            )
            user = model.recalculate_user(0, row)
        else:
            user = items[rows].mean(axis=0)
        return _best(items @ np.asarray(user).ravel(), seeds, k)

    return recommend


def _implicit() -> Any:
    try:
        import implicit
        import implicit.als
        import implicit.bpr
    except ImportError:
        raise DependencyError(
            "ALS and BPR need implicit, which is not installed: "
            "pip install 'embedsearch[baselines]'"
        ) from None
    return implicit


def _best(scores: Scores, seeds: Sequence[int], k: int) -> Rows:
    scores[list(seeds)] = -np.inf
    return top(np.arange(len(scores)), scores, min(k, len(scores) - len(set(seeds))))[0]
