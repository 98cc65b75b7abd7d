"""The neighbours of keys from an index: those that the exact search finds."""

import numpy as np
import pytest

import embedsearch as es
from embedsearch.errors import IndexFileError, InputError, NotFoundError


def keyed(count: int, dim: int = 16, seed: int = 0) -> es.KeyedVectors:
    random = np.random.default_rng(seed)
    groups = random.normal(size=(max(count // 50, 1), dim))
    matrix = groups[random.integers(len(groups), size=count)] * random.uniform(1, 3, (count, 1))
    matrix += random.normal(size=(count, dim)) / 2
    return es.KeyedVectors([f"k{i}" for i in range(count)], matrix.astype(np.float32))


@pytest.fixture(scope="module")
def many():
    return keyed(40_000)


def test_few_keys_are_searched_exactly(tmp_path):
    vectors = keyed(500)
    vectors.vectors[7] = 0
    index = es.KeyIndex.build(vectors, tmp_path / "words.index")
    assert index.measured is None
    for terms in (("k3", ()), (["k3", ("k9", 0.5)], ["k20"])):
        found, expected = index.most_similar(*terms, topn=8), vectors.most_similar(*terms, topn=8)
        assert [key for key, _ in found] == [key for key, _ in expected]
        np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=1e-5)


def test_more_than_there_are(tmp_path):
    vectors = keyed(30)
    index = es.KeyIndex.build(vectors, tmp_path / "words.index")
    assert len(index.most_similar("k3", topn=10**12)) == 29


def test_many_keys_are_found_as_well_as_is_told(tmp_path, many):
    config = es.IndexConfig(factory="IVF64,PQ8x4fs", recall=0.9)
    built = es.KeyIndex.build(many, tmp_path / "words.index", config)
    index = es.KeyIndex.open(many, tmp_path / "words.index")
    assert built.measured == index.measured
    assert index.measured.factory == "IVF64,PQ8x4fs"
    hits = 0
    for key in many.keys[::800]:
        exact = dict(many.most_similar(key))
        found = dict(index.most_similar(key))
        assert key not in found
        assert len(found) == 10
        hits += len(exact.keys() & found.keys())
        for shared in exact.keys() & found.keys():
            assert found[shared] == pytest.approx(exact[shared], abs=1e-5)
    assert hits / 500 >= index.measured.recall - 0.05


def test_what_cannot_be_used(tmp_path):
    vectors = keyed(200)
    index = es.KeyIndex.build(vectors, tmp_path / "words.index")
    with pytest.raises(IndexFileError, match="other vectors"):
        es.KeyIndex.open(keyed(200, seed=1), tmp_path / "words.index")
    with pytest.raises(IndexFileError, match="other vectors"):
        es.KeyIndex.open(keyed(201), tmp_path / "words.index")
    with pytest.raises(NotFoundError):
        es.KeyIndex.open(vectors, tmp_path / "none.index")
    with pytest.raises(NotFoundError, match="k1999"):
        index.most_similar("k1999")
    with pytest.raises(InputError, match="zero"):
        index.nearest(np.zeros(16))
    with pytest.raises(InputError, match="topn"):
        index.nearest(np.ones(16), 0)
    with pytest.raises(InputError, match="nonsense"):
        es.KeyIndex.build(vectors, tmp_path / "x", es.IndexConfig(factory="IVF,nonsense"))
