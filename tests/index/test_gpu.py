"""The mirror on GPUs: batching, limits and ranking with a stand-in; the real thing where there is
one."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from embedsearch import device, index
from embedsearch.errors import DeviceError
from embedsearch.index import LiveIndex, NumpyIndex, gpu
from embedsearch.index.gpu import Batcher, GpuConfig, GpuIndex
from embedsearch.index.gpu_building import gpu_errors
from tests.contract.index_contract import (
    DIM,
    IndexContract,
    assert_result,
    oracle,
    sparse_ids,
    unit_rows,
)
from tests.index.test_approximate import build, clustered, recall
from tests.support import after_a_fork, needs_fork

pytestmark = pytest.mark.skipif(not index.faiss_available(), reason="FAISS is not installed")


def rounded(vectors):
    """A search as a GPU does it in float16: positions, roughly ranked."""
    halves = vectors.astype(np.float16).astype(np.float32)
    positions = NumpyIndex(np.arange(len(vectors)), halves)

    def search(queries, k):
        assert k <= gpu.MOST
        return positions.search(queries, k)[1]

    return search


class TestGpuIndex(IndexContract):
    """Whatever is rounded on the GPU, the scores are exact and so is the order."""

    kind = "gpu-flat"

    @pytest.fixture
    def make(self):
        def build(ids, vectors):
            search = Batcher(lambda: rounded(vectors)).search
            return GpuIndex(NumpyIndex(ids, vectors), search, exact=True)

        return build


def test_equal_and_nearly_equal_rows_come_as_the_cpu_has_them():
    """Thousands of rows within what float16 rounds away; a GPU ranks them in any order."""
    near = unit_rows(1) + 1e-4 * unit_rows(2000, seed=1)
    vectors = np.concatenate([np.repeat(unit_rows(2, seed=2), 400, axis=0), near, unit_rows(500)])
    vectors = np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    ids = np.arange(len(vectors))
    halves = vectors.astype(np.float16).astype(np.float32)

    def search(queries, k):
        assert k <= gpu.MOST
        scores = queries.astype(np.float16).astype(np.float32) @ halves.T
        return np.argsort(-scores[:, ::-1], axis=1, kind="stable")[:, :k] * -1 + len(ids) - 1

    mirrored = GpuIndex(NumpyIndex(ids, vectors), search, exact=True)
    queries = np.ascontiguousarray(vectors[[0, 500, 900, 2000, 3000]])
    assert_result(mirrored.search(queries, 10), oracle(ids, vectors, queries, 10))
    live = LiveIndex(mirrored, ids[:0], vectors[:0], ids[3:9])
    left = np.delete(ids, slice(3, 9))
    assert_result(live.search(queries, 10), oracle(left, vectors[left], queries, 10))


def counting(vectors):
    calls = []
    search = rounded(vectors)

    def count(queries, k):
        calls.append((len(queries), k))
        return search(queries, k)

    return count, calls


@pytest.mark.parametrize("gone", [1, 40, 1500])
def test_deleted_rows_are_dropped_or_left_to_the_cpu(gone):
    ids, vectors, queries = np.arange(3000), unit_rows(3000), unit_rows(4, seed=1)
    search, calls = counting(vectors)
    best = oracle(ids, vectors, queries[:1], 3000)[1][0]
    live = LiveIndex(
        GpuIndex(NumpyIndex(ids, vectors), search, exact=True),
        np.empty(0, np.int64),
        unit_rows(0),
        np.sort(best[:gone]),
    )
    left = np.sort(best[gone:])
    assert_result(live.search(queries, 10), oracle(left, vectors[left], queries, 10))
    assert len(calls) == (gone <= gpu.MOST_GONE)


def test_what_the_gpu_cannot_is_left_to_the_cpu():
    ids, vectors, queries = np.arange(5000), unit_rows(5000), unit_rows(2, seed=1)
    search, calls = counting(vectors)
    mirrored = GpuIndex(NumpyIndex(ids, vectors), search, exact=True)
    assert_result(mirrored.search(queries, 1500), oracle(ids, vectors, queries, 1500))
    some = ids[::7]
    assert_result(mirrored.search(queries, 5, some), oracle(some, vectors[::7], queries, 5))
    assert not calls


def test_concurrent_searches_are_made_together_and_by_one_thread():
    vectors = unit_rows(500)
    threads, sizes = set(), []
    search = rounded(vectors)
    begun, first = threading.Event(), threading.Event()

    def slow(queries, k):
        threads.add(threading.current_thread().name)
        sizes.append(len(queries))
        begun.set()
        first.wait(10)
        return search(queries, k)

    batcher = Batcher(lambda: slow)
    queries = unit_rows(60, seed=1)
    with ThreadPoolExecutor(20) as pool:
        answers = []
        for at in range(0, 60, 3):
            answers.append(pool.submit(batcher.search, queries[at : at + 3], 3 + at % 5))
            assert begun.wait(10)  # the first is on its way alone
        while batcher._requests.qsize() < 19 and not first.wait(0.01):
            assert len(sizes) == 1
        first.set()
        for at, answer in zip(range(0, 60, 3), answers, strict=True):
            expected = search(queries[at : at + 3], 3 + at % 5)
            np.testing.assert_array_equal(answer.result(), expected)
    assert threads == {"embedsearch-gpu"}
    assert sizes == [3, 57]


def test_an_error_reaches_those_who_asked_and_no_one_else():
    def failing(queries, k):
        if k == 7:
            raise RuntimeError("out of memory")
        return np.zeros((len(queries), k), dtype=np.int64)

    batcher = Batcher(lambda: failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        batcher.search(unit_rows(1), 7)
    assert batcher.search(unit_rows(1), 2).shape == (1, 2)


def test_the_thread_ends_with_its_index():
    batcher = Batcher(lambda: rounded(unit_rows(3)))
    before = [thread for thread in threading.enumerate() if thread.name == "embedsearch-gpu"]
    del batcher
    gc.collect()
    for thread in before:
        thread.join(10)
    assert not any(thread.is_alive() for thread in before)


@needs_fork
def test_a_forked_process_is_told_instead_of_waiting_for_ever():
    assert after_a_fork(
        """
import numpy as np
from embedsearch.errors import DeviceError
from embedsearch.index.gpu import Batcher
batcher = Batcher(lambda: lambda queries, k: np.zeros((len(queries), k), np.int64))
query = np.ones((1, 2), np.float32)
batcher.search(query, 1)
def told():
    try:
        batcher.search(query, 1)
    except DeviceError as error:
        return "forked" in str(error)
""",
        "told()",
    )


def test_what_faiss_says_of_a_gpu_is_an_error_of_the_device():
    with pytest.raises(DeviceError, match=r"alloc fail.*--device cpu"), gpu_errors():
        raise RuntimeError("StandardGpuResources: alloc fail\n (cudaMalloc error out of memory)")
    with pytest.raises(RuntimeError, match="too few points") as raised, gpu_errors():
        raise RuntimeError("too few points")
    assert not isinstance(raised.value, DeviceError)


def test_no_gpu_is_told(monkeypatch):
    monkeypatch.setattr(device, "faiss_gpu_count", lambda: 0)
    with pytest.raises(DeviceError, match=r"FAISS can use no GPU.*install faiss-gpu"):
        device.faiss_devices("cuda")
    monkeypatch.setattr(device, "faiss_gpu_count", lambda: 2)
    assert device.faiss_devices("cuda") == [0, 1]
    assert device.faiss_devices("cuda:1") == [1]
    with pytest.raises(DeviceError, match="FAISS sees cuda:0 to cuda:1"):
        device.faiss_devices("cuda:2")


@pytest.mark.skipif(device.faiss_gpu_count() > 0, reason="FAISS has a GPU here")
def test_mirror_without_a_gpu_says_why():
    with pytest.raises(DeviceError, match=r"FAISS cannot put the index on the GPU.*--device cpu"):
        index.mirror(NumpyIndex(sparse_ids(3), unit_rows(3)), [0])


def needs_gpu():
    if not device.faiss_gpu_count():
        pytest.skip("FAISS has no GPU here: it is built for the CPU, or there is none")


@pytest.mark.gpu
class TestOnTheGpu(IndexContract):
    kind = "gpu-flat"

    @pytest.fixture
    def make(self):
        needs_gpu()
        return lambda ids, vectors: index.mirror(NumpyIndex(ids, vectors), [0])


@pytest.mark.gpu
@pytest.mark.parametrize("shard", [True, False])
@pytest.mark.parametrize(
    ("factory", "kind"),
    [("IVF16,SQ8", "gpu-ivf"), ("IVF16,Flat", "gpu-ivf"), ("IVF16,PQ24x4fs", "gpu-flat")],
)
def test_kinds_on_all_gpus(factory, kind, shard, tmp_path):
    needs_gpu()
    ids, vectors, queries = sparse_ids(3000), clustered(3000), clustered(200, seed=1)
    base = build(tmp_path / "i", ids, vectors, factory=factory)
    found = gpu.mirror(base, range(device.faiss_gpu_count()), GpuConfig(shard=shard))
    assert found.kind == kind
    truth = NumpyIndex(ids, vectors).search(queries, 10)
    assert recall(found.search(queries, 10), truth) >= 0.96
    assert found.dim == DIM
