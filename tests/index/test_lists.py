"""Lists within a gap of the nearest ones."""

from itertools import pairwise

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.index.codes import train_codes
from embedsearch.index.lists import gap_for, gaps_of, ladder, within


def unit(count: int, dim: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


CENTROIDS, QUERIES = unit(40, 16), unit(300, 16, seed=1)


@given(st.integers(0, 5000))
def test_a_ladder_grows_by_a_third_or_a_half_up_to_the_most(most: int) -> None:
    steps = ladder(most)
    assert steps[-1] == most
    assert all(a < b <= max(a + 1, a * 3 / 2) for a, b in pairwise(steps))


def test_lists_within_a_gap_are_those_no_further_off_than_the_ten_nearest_on_average() -> None:
    lists, similar = within(CENTROIDS, QUERIES, 0.1)
    for row, query in enumerate(QUERIES.astype(np.float64)):
        exact = CENTROIDS.astype(np.float64) @ query
        wanted = np.flatnonzero(exact >= np.sort(exact)[-10:].mean() - 0.1)
        count = len(wanted)
        assert lists[row, :count].tolist() == wanted.tolist()
        assert (lists[row, count:] == -1).all()
        np.testing.assert_allclose(similar[row, :count], exact[wanted], atol=1e-6)


@pytest.mark.parametrize("probes", [1, 2, 5, 12, 20, 39])
def test_so_many_lists_lie_within_their_gap_on_average(probes: int) -> None:
    gap = gap_for(probes, 40, gaps_of(CENTROIDS, QUERIES))
    lists, _ = within(CENTROIDS, QUERIES, gap)
    # between two steps of the ladder the gap is interpolated
    assert (lists >= 0).sum() / len(QUERIES) == pytest.approx(probes, rel=0.05)


@pytest.mark.parametrize("queries", [QUERIES, QUERIES[:1]])
def test_the_nearest_list_is_always_looked_at(queries: np.ndarray) -> None:
    lists, similar = within(CENTROIDS, queries, -1.0)
    assert lists.tolist() == (queries @ CENTROIDS.T).argmax(axis=1)[:, None].tolist()
    assert (similar > -1).all()


def test_one_list_for_each_query_finds_something() -> None:
    rows = unit(4000, 16, seed=3)
    codes = train_codes("IVF32,SQ8", 16, rows, [rows])
    codes.measure_gaps(QUERIES)
    for query in QUERIES[:50]:
        assert codes.candidates(query[None], 5, 1)[0, 0] >= 0


def test_all_lists_are_looked_at_where_all_are_asked_for() -> None:
    gaps = gaps_of(CENTROIDS, QUERIES[:5])
    lists, _ = within(CENTROIDS, unit(50, 16, seed=2), gap_for(40, 40, gaps))
    assert (lists == np.arange(40)).all()


def test_fewer_lists_than_are_compared_with() -> None:
    few = CENTROIDS[:3]
    gaps = gaps_of(few, QUERIES)
    assert len(gaps) == len(ladder(3))
    assert (within(few, QUERIES, gap_for(3, 3, gaps))[0] >= 0).all()


@pytest.mark.parametrize("factory", ["IVF32,PQ8x4fs", "IVF32,SQ8", "OPQ8,IVF32,PQ8x4fs"])
def test_candidates_are_those_of_faiss_in_the_same_lists(factory: str) -> None:
    rows = unit(4000, 16, seed=3)
    codes = train_codes(factory, 16, rows, [rows])
    codes.measure_gaps(QUERIES)
    found = codes.candidates(QUERIES[:20], 30, 6)
    inner = faiss.extract_index_ivf(codes.index)
    chain = codes.index.chain.at(0) if factory.startswith("OPQ") else None
    turned = chain.apply(QUERIES[:20]) if chain else QUERIES[:20]
    centroids = inner.quantizer.reconstruct_n(0, 32)
    lists, similar = within(centroids, turned, gap_for(6, 32, codes.gaps))
    assert 1 < (lists >= 0).sum() / 20 < 12
    for at in range(20):
        there = lists[at] >= 0
        one = turned[at : at + 1]
        assigned = lists[at : at + 1, there], similar[at : at + 1, there]
        inner.nprobe = int(there.sum())
        wanted = inner.search_preassigned(one, 30, *assigned)[1][0]
        assert set(found[at].tolist()) == set(wanted.tolist())


def test_kinds_without_centroids_to_compare_keep_a_number_of_lists() -> None:
    rows = unit(3000, 16, seed=4)
    for factory in ("HNSW8", "SQ8", "IVF16_HNSW8,SQ8"):
        codes = train_codes(factory, 16, rows, [rows])
        codes.measure_gaps(QUERIES)
        assert codes.gaps == ()
        assert codes.candidates(QUERIES[:3], 5, 4).shape == (3, 5)
