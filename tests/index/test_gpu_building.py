"""Building with the help of GPUs: with a stand-in for them; the real thing where there is one."""

import numpy as np
import pytest

from embedsearch import device, index
from embedsearch.errors import DeviceError
from embedsearch.index import NumpyIndex
from embedsearch.index.codes import train_codes
from embedsearch.index.gpu_building import to_gpus, train
from tests.index.test_approximate import clustered, recall

faiss = pytest.importorskip("faiss", reason="FAISS is not installed")

VECTORS = clustered(4000)


class StandIn:
    """Copies of flat indexes, as GPUs would have them, but on the CPU."""

    def __init__(self):
        self.copies = []

    def __call__(self, flat):
        self.copies.append(faiss.clone_index(flat))
        return self.copies[-1]


def built(factory, copy=None):
    blocks = [VECTORS[:2500], VECTORS[2500:]]
    return train_codes(factory, VECTORS.shape[1], VECTORS[:3000], blocks, copy=copy)


FACTORIES = {"IVF16,PQ24x4fs": 2, "IVF16,SQ8": 1, "OPQ24,IVF16,PQ24x4fs": 2, "IVF16,Flat": 2}
"""How often a copy helps: not to add codes of residuals, which FAISS makes in several threads."""


@pytest.mark.parametrize("factory", FACTORIES)
def test_the_index_is_the_same_whoever_finds_the_lists(factory):
    stand_in = StandIn()
    helped = built(factory, stand_in)
    assert [copy.ntotal for copy in stand_in.copies] == [16] * FACTORIES[factory]
    assert all(copy.thisown for copy in stand_in.copies), "who is to free them?"
    alone = built(factory)
    assert np.array_equal(faiss.serialize_index(helped.index), faiss.serialize_index(alone.index))
    queries = np.arange(0, 4000, 400)
    found = helped.candidates(VECTORS[queries], 10, 16)
    assert (found[:, 0] == queries).mean() > 0.8


@pytest.mark.parametrize("factory", ["HNSW16_SQ8", "SQ8", "IVF16_HNSW8,SQ8"])
def test_kinds_without_flat_centroids_are_built_as_ever(factory):
    stand_in = StandIn()
    helped = built(factory, stand_in)
    assert not stand_in.copies
    assert len(helped) == len(VECTORS)


def test_the_index_outlives_the_copies():
    stand_in = StandIn()
    helped = built("IVF16,SQ8", stand_in)
    before = helped.candidates(VECTORS[:5], 10, 4)
    stand_in.copies.clear()
    assert np.array_equal(helped.candidates(VECTORS[:5], 10, 4), before)
    inverted = faiss.downcast_index(helped.index)
    assert inverted.own_fields
    assert inverted.clustering_index is None


def test_want_of_memory_on_the_gpu_is_told():
    def refuse(*_):
        raise RuntimeError("StandardGpuResources: alloc fail (cudaMalloc error out of memory [2])")

    made = faiss.index_factory(8, "IVF4,SQ8", faiss.METRIC_INNER_PRODUCT)
    made.train = refuse
    with pytest.raises(DeviceError, match=r"cannot use the GPU: .*out of memory.*--device cpu"):
        train(made, np.ones((4, 8), dtype=np.float32), StandIn())


@pytest.mark.skipif(device.faiss_gpu_count() > 0, reason="FAISS has a GPU here")
def test_without_a_gpu_it_says_so():
    with pytest.raises(DeviceError, match=r"cannot use the GPU.*--device cpu"):
        built("IVF16,SQ8", to_gpus([0]))


@pytest.mark.skipif(device.faiss_gpu_count() == 0, reason="FAISS finds no GPU here")
def test_on_a_gpu_it_finds_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("embedsearch.index.building.WORTH_IT", 1000)
    ids, queries = np.arange(len(VECTORS)), clustered(100, seed=1)
    config = index.IndexConfig(factory="IVF16,SQ8")
    index.build(tmp_path / "i", [(ids, VECTORS)], len(ids), VECTORS.shape[1], config, devices=[0])
    found = index.load(tmp_path / "i")
    assert found.kind == "faiss-ivf"
    assert recall(found.search(queries, 10), NumpyIndex(ids, VECTORS).search(queries, 10)) >= 0.96
