"""LiveIndex: the contract with every mixture of base, tail and deletions; changes over time."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsearch.errors import InputError
from embedsearch.index import FaissFlat, LiveIndex, NumpyIndex, faiss_available
from tests.contract.index_contract import (
    DIM,
    IndexContract,
    assert_result,
    oracle,
    unit_rows,
)

NO_IDS = np.empty(0, np.int64)
NO_ROWS = unit_rows(0)


def with_decoys(ids, vectors, seed=2):
    """The rows, with others in the gaps of their ids: all ids, all vectors, ids of the others."""
    decoys = np.setdiff1d(ids - 1, ids)
    decoys = decoys[decoys >= 0]
    all_ids = np.union1d(ids, decoys)
    all_vectors = unit_rows(len(all_ids), vectors.shape[1], seed)
    all_vectors[np.searchsorted(all_ids, ids)] = vectors
    return all_ids, all_vectors, decoys


class LiveContract(IndexContract):
    kind = "numpy-exact"
    base_kind = NumpyIndex
    base_share = 0.6

    @pytest.fixture
    def make(self):
        def build(ids, vectors):
            all_ids, all_vectors, deleted = with_decoys(ids, vectors)
            cut = int(len(all_ids) * self.base_share)
            base = self.base_kind(all_ids[:cut], all_vectors[:cut])
            return LiveIndex(base, all_ids[cut:], all_vectors[cut:], deleted)

        return build


class TestLiveOverNumpy(LiveContract):
    pass


class TestLiveWithoutTail(LiveContract):
    base_share = 1


class TestLiveWithoutBase(LiveContract):
    base_share = 0


@pytest.mark.skipif(not faiss_available(), reason="FAISS is not installed")
class TestLiveOverFaiss(LiveContract):
    kind = "faiss-flat"
    base_kind = FaissFlat


@pytest.fixture
def index():
    base = NumpyIndex(np.arange(10), unit_rows(10))
    return LiveIndex(base, np.arange(10, 15), unit_rows(5, seed=1), np.array([2, 12, 99]))


def test_counts(index):
    assert (index.base_count, index.tail_count, index.deleted_count, len(index)) == (10, 5, 2, 13)
    assert index.dim == DIM


def test_changes_make_a_new_index_and_leave_the_old(index):
    queries = unit_rows(3, seed=7)
    before = index.search(queries, 20)
    changed = index.with_changes(np.array([20, 30]), unit_rows(2, seed=2), np.array([0, 2, 20]))
    assert (changed.base_count, changed.tail_count) == (10, 7)
    assert (changed.deleted_count, len(changed)) == (4, 13)
    assert changed.base is index.base
    assert_result(index.search(queries, 20), before)
    kept = sorted(changed.search(queries, 20)[1][0, :13])
    assert kept == [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 30]


def test_two_futures_of_one_index_do_not_mix(index):
    index = index.with_changes(np.arange(20, 25), unit_rows(5), NO_IDS)  # has room to grow in
    futures = [
        index.with_changes(np.array([30]), unit_rows(1, seed=seed), NO_IDS) for seed in (100, 200)
    ]
    for seed, future in zip((100, 200), futures, strict=True):
        scores, ids = future.search(unit_rows(1, seed=seed), 1)
        assert ids.item() == 30
        assert scores.item() == pytest.approx(1)


def test_futures_made_at_once_do_not_mix(index):
    index = index.with_changes(np.arange(20, 25), unit_rows(5), NO_IDS)

    def future(seed):
        return index.with_changes(np.array([30]), unit_rows(1, seed=seed), NO_IDS)

    with ThreadPoolExecutor(8) as pool:
        for seed, made in enumerate(pool.map(future, range(200))):
            assert made.search(unit_rows(1, seed=seed), 1)[0].item() == pytest.approx(1)


def test_appending_does_not_copy_the_tail_each_time():
    index = LiveIndex(NumpyIndex(NO_IDS, NO_ROWS), NO_IDS, NO_ROWS, NO_IDS)
    rows = unit_rows(1000)
    buffers = set()
    for at in range(1000):
        index = index.with_changes(np.array([at]), rows[at : at + 1], NO_IDS)
        buffers.add(index._tail.vectors.ctypes.data)
    assert len(buffers) < 8
    assert_result(index.search(rows[:3], 9), oracle(np.arange(1000), rows, rows[:3], 9))


@pytest.mark.parametrize("gone", [1, 50, 990, 1000])
def test_all_of_the_top_deleted(gone):
    vectors, query = unit_rows(1000), unit_rows(1, seed=1)
    ids = np.arange(1000)
    best = oracle(ids, vectors, query, 1000)[1][0]
    index = LiveIndex(NumpyIndex(ids, vectors), NO_IDS, NO_ROWS, np.sort(best[:gone]))
    assert len(index) == 1000 - gone
    left = np.sort(best[gone:])
    assert_result(index.search(query, 10), oracle(left, vectors[left], query, 10))


def test_refuses(index):
    rows = unit_rows(2)
    with pytest.raises(InputError, match="the new id 14 is not above 14"):
        index.with_changes(np.array([14, 15]), rows, NO_IDS)
    with pytest.raises(InputError, match="the new id 9 is not above 9"):
        LiveIndex(index.base, np.array([9, 15]), rows, NO_IDS)
    with pytest.raises(InputError, match="15 follows 16"):
        index.with_changes(np.array([16, 15]), rows, NO_IDS)
    with pytest.raises(InputError, match="1 new ids do not go with 2 vectors"):
        index.with_changes(np.array([16]), rows, NO_IDS)
    with pytest.raises(InputError, match="47 dimensions where the index has 48"):
        index.with_changes(np.array([16, 17]), unit_rows(2, dim=47), NO_IDS)
    with pytest.raises(InputError, match="has length nan"):
        index.with_changes(np.array([16, 17]), rows * np.float32("nan"), NO_IDS)
    with pytest.raises(InputError, match="newly_deleted must be sorted and unique: 1 follows 3"):
        index.with_changes(NO_IDS, NO_ROWS, np.array([3, 1]))
    with pytest.raises(InputError, match="deleted must be sorted and unique"):
        LiveIndex(index.base, NO_IDS, NO_ROWS, np.array([3, 3]))


corner_rows = st.lists(st.sampled_from([-0.5, 0.0, 0.5]), min_size=4, max_size=4)
"""Vectors from a coarse grid, so that ties are many."""
matrices = st.lists(corner_rows, max_size=8).map(
    lambda rows: np.array(rows, dtype=np.float32).reshape(-1, 4)
)
id_sets = st.sets(st.integers(0, 60)).map(lambda ids: np.array(sorted(ids), dtype=np.int64))
steps = st.one_of(
    st.tuples(st.just("change"), matrices, id_sets),
    st.tuples(st.just("search"), matrices, st.none() | id_sets),
)


@settings(deadline=None, max_examples=150)
@given(
    base=matrices,
    steps=st.lists(steps, min_size=1, max_size=10),
    gap=st.integers(1, 3),
    k=st.integers(1, 12),
)
def test_any_history_equals_the_oracle(base, steps, gap, k):
    truth = {at * gap: row for at, row in enumerate(base)}
    next_id = len(base) * gap
    index = LiveIndex(
        NumpyIndex(np.array(sorted(truth), dtype=np.int64), base), NO_IDS, base[:0], NO_IDS
    )
    for kind, rows, ids in steps:
        if kind == "change":
            new = np.arange(len(rows), dtype=np.int64) * gap + next_id
            next_id += len(rows) * gap
            index = index.with_changes(new, rows, ids)
            truth |= dict(zip(new.tolist(), rows, strict=True))
            for row_id in ids.tolist():
                truth.pop(row_id, None)
        assert len(index) == len(truth)
        assert_result(
            index.search(rows, k, ids if kind == "search" else None),
            oracle(
                np.array(sorted(truth), dtype=np.int64),
                np.array([truth[i] for i in sorted(truth)], np.float32).reshape(-1, 4),
                rows,
                k,
                ids if kind == "search" else None,
            ),
        )
