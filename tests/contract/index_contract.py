"""What every `VectorIndex` promises. A subclass says in `make` how one is made."""

from __future__ import annotations

import math

import numpy as np
import pytest

from embedsearch.errors import InputError

DIM = 48


def unit_rows(count, dim=DIM, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def sparse_ids(count, seed=0):
    """Ascending ids with gaps."""
    return np.cumsum(np.random.default_rng(seed).integers(1, 9, count)).astype(np.int64)


def oracle(ids, vectors, queries, k, allowed=None):
    """The promise, one row and one exactly rounded sum at a time."""
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    found = np.full((len(queries), k), -1, dtype=np.int64)
    rows = [
        (int(row_id), vector.astype(float).tolist())
        for row_id, vector in zip(ids, vectors, strict=True)
        if allowed is None or row_id in set(allowed.tolist())
    ]
    for at, query in enumerate(queries.astype(float).tolist()):
        ranked = sorted(
            (-float(np.float32(math.fsum(map(float.__mul__, vector, query)))), row_id)
            for row_id, vector in rows
        )
        for place, (negative, row_id) in enumerate(ranked[:k]):
            scores[at, place] = -negative
            found[at, place] = row_id
    return scores, found


def assert_result(result, expected):
    scores, ids = result
    assert scores.dtype == np.float32
    assert ids.dtype == np.int64
    np.testing.assert_allclose(scores, expected[0], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(ids, expected[1])


class IndexContract:
    kind: str

    @pytest.fixture
    def make(self):
        """A function (ids, vectors) -> VectorIndex holding exactly these rows."""
        raise NotImplementedError

    def check(self, make, ids, vectors, queries, k, allowed=None):
        index = make(ids, vectors)
        assert len(index) == len(ids)
        result = index.search(queries, k, allowed)
        assert_result(result, oracle(ids, vectors, queries, k, allowed))

    def test_kind(self, make):
        assert make(sparse_ids(3), unit_rows(3)).kind == self.kind

    @pytest.mark.parametrize("count", [1, 2, 300])
    @pytest.mark.parametrize("k", [1, 10, 400])
    def test_best_rows_and_padding(self, make, count, k):
        self.check(make, sparse_ids(count), unit_rows(count), unit_rows(3, seed=1), k)

    def test_selection_in_blocks(self, make):
        # enough rows for block maxima, the best of them side by side in one block
        vectors = unit_rows(3000)
        query = unit_rows(1, seed=1)
        order = np.argsort(vectors @ query[0])
        self.check(make, sparse_ids(3000), np.ascontiguousarray(vectors[order]), query, 7)

    def test_many_queries(self, make):
        vectors = unit_rows(400)
        queries = unit_rows(130_000 // DIM, seed=1)  # beyond where FAISS takes over
        some = slice(0, None, 400)
        scores, ids = make(sparse_ids(400), vectors).search(queries, 10)
        assert scores.shape == ids.shape == (len(queries), 10)
        assert_result(
            (scores[some], ids[some]), oracle(sparse_ids(400), vectors, queries[some], 10)
        )

    def test_a_query_finds_the_same_alone_and_among_many(self, make):
        vectors = np.repeat(unit_rows(60), 7, axis=0)
        index = make(sparse_ids(420), vectors)
        queries = unit_rows(130_000 // DIM, seed=1)
        scores, ids = index.search(queries, 10)
        for at in range(0, len(queries), 500):
            alone = index.search(queries[at : at + 1], 10)
            np.testing.assert_array_equal(alone[0][0], scores[at])
            np.testing.assert_array_equal(alone[1][0], ids[at])

    @pytest.mark.parametrize("queries", [1, 130_000 // DIM])
    @pytest.mark.parametrize("k", [1, 5, 33, 101])
    def test_duplicates_are_ordered_by_id(self, make, queries, k):
        vectors = unit_rows(101)
        vectors[::2] = vectors[50]
        probes = np.repeat(vectors[50:51], queries, axis=0)
        scores, ids = make(sparse_ids(101), vectors).search(probes, k)
        assert_result((scores[:1], ids[:1]), oracle(sparse_ids(101), vectors, probes[:1], k))
        assert (ids == ids[0]).all()

    @pytest.mark.parametrize("zero_query", [True, False])
    def test_zero_vectors_score_zero(self, make, zero_query):
        vectors = unit_rows(50)
        vectors[10:40] = 0
        queries = unit_rows(2, seed=1) * np.float32(not zero_query)
        self.check(make, sparse_ids(50), vectors, queries, 30)

    @pytest.mark.parametrize("queries", [0, 1, 130_000 // DIM])
    def test_empty_index(self, make, queries):
        index = make(sparse_ids(0), unit_rows(0))
        scores, ids = index.search(unit_rows(queries), 4)
        assert len(index) == 0
        assert scores.shape == ids.shape == (queries, 4)
        assert (scores == -np.inf).all()
        assert (ids == -1).all()

    def test_no_queries(self, make):
        scores, ids = make(sparse_ids(5), unit_rows(5)).search(unit_rows(0), 4)
        assert scores.shape == ids.shape == (0, 4)

    @pytest.mark.parametrize("queries", [1, 30])
    @pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.5, 1])
    def test_allowed(self, make, queries, share):
        ids = sparse_ids(300)
        allowed = np.sort(np.random.default_rng(5).choice(ids, int(300 * share), replace=False))
        self.check(make, ids, unit_rows(300), unit_rows(queries, seed=1), 10, allowed)

    def test_allowed_ids_that_are_not_there(self, make):
        ids = sparse_ids(300) * 2
        for allowed in (ids[:40] + 1, np.arange(ids[-1] + 50), np.array([5, 10**12])):
            self.check(make, ids, unit_rows(300), unit_rows(2, seed=1), 10, allowed)

    def test_one_allowed_row(self, make):
        ids = sparse_ids(300)
        for at in (0, 150, 299):
            self.check(make, ids, unit_rows(300), unit_rows(2, seed=1), 3, ids[at : at + 1])

    def test_numpy_k(self, make):
        ids = sparse_ids(5)
        assert make(ids, unit_rows(5)).search(unit_rows(1), np.int32(2))[1].shape == (1, 2)

    @pytest.mark.parametrize(
        ("queries", "message"),
        [
            (unit_rows(4)[::2], "C-contiguous"),
            (np.asfortranarray(unit_rows(4)), "C-contiguous"),
            (unit_rows(2).astype(np.float64), "float64"),
            (unit_rows(2)[0], r"shape \(48,\)"),
            (unit_rows(2).tolist(), "not list"),
            (unit_rows(2, dim=DIM - 1), "47 dimensions where the index has 48"),
            (np.full((1, DIM), np.nan, dtype=np.float32), "row 0 of the queries"),
            (np.full((1, DIM), np.inf, dtype=np.float32), "row 0 of the queries"),
            (np.concatenate([unit_rows(1), 2 * unit_rows(1)]), "row 1 of the queries has length 2"),
            (np.full((1, DIM), 3e38, dtype=np.float32), "row 0 of the queries has length inf"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_bad_queries(self, make, queries, message):
        index = make(sparse_ids(5), unit_rows(5))
        with pytest.raises(InputError, match=message):
            index.search(queries, 3)

    @pytest.mark.parametrize("k", [0, -1, 2.5, "3", None])
    def test_bad_k(self, make, k):
        index = make(sparse_ids(5), unit_rows(5))
        with pytest.raises(InputError, match=f"k must be .*{k}"):
            index.search(unit_rows(1), k)

    @pytest.mark.parametrize(
        ("allowed", "message"),
        [
            (np.array([3, 1]), "1 follows 3"),
            (np.array([1, 1]), "1 follows 1"),
            (np.array([1.0]), "float64"),
            (np.array([[1]]), "one dimension"),
            (np.array([-1, 1]), "negative"),
            ([1, 2], "not list"),
        ],
    )
    def test_bad_allowed(self, make, allowed, message):
        index = make(sparse_ids(5), unit_rows(5))
        with pytest.raises(InputError, match=f"allowed.*{message}"):
            index.search(unit_rows(1), 3, allowed)
