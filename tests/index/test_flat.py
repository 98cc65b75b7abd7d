"""NumpyIndex and FaissFlat: the contract, and what their constructors and `build` refuse."""

import subprocess
import sys

import numpy as np
import pytest

from embedsearch import index
from embedsearch.errors import InputError
from embedsearch.index import FaissFlat, NumpyIndex, scan
from tests.contract.index_contract import (
    DIM,
    IndexContract,
    assert_result,
    oracle,
    sparse_ids,
    unit_rows,
)
from tests.support import after_a_fork, needs_fork

needs_faiss = pytest.mark.skipif(not index.faiss_available(), reason="FAISS is not installed")


class TestNumpyIndex(IndexContract):
    kind = "numpy-exact"

    @pytest.fixture
    def make(self):
        return NumpyIndex


class TestNumpyIndexInSmallParts(IndexContract):
    """The same with every bound on memory made tiny."""

    kind = "numpy-exact"

    @pytest.fixture
    def make(self, monkeypatch):
        monkeypatch.setattr(scan, "SCORES_AT_A_TIME", 7000)
        monkeypatch.setattr(scan, "GATHER_ROWS", 3)
        monkeypatch.setattr("embedsearch.index.select.ROWS_AT_A_TIME", 3)
        return NumpyIndex


class TestNumpyIndexFromFile(IndexContract):
    kind = "numpy-exact"

    @pytest.fixture
    def make(self, tmp_path):
        return lambda ids, vectors: NumpyIndex.load(NumpyIndex(ids, vectors).save(tmp_path, "i"))


@needs_faiss
class TestFaissFlat(IndexContract):
    kind = "faiss-flat"

    @pytest.fixture
    def make(self):
        return FaissFlat

    def test_large_batches_go_to_faiss(self, monkeypatch):
        import faiss

        def failing(*args, **kwargs):
            raise RuntimeError("called")

        monkeypatch.setattr(faiss, "knn", failing)
        flat = FaissFlat(sparse_ids(5), unit_rows(5))
        flat.search(unit_rows(5), 3)
        with pytest.raises(RuntimeError, match="called"):
            flat.search(unit_rows(130_000 // DIM), 3)


@needs_faiss
class TestFaissFlatFromFile(IndexContract):
    kind = "faiss-flat"

    @pytest.fixture
    def make(self, tmp_path):
        return lambda ids, vectors: FaissFlat.load(FaissFlat(ids, vectors).save(tmp_path, "i"))


@needs_faiss
def test_agrees_with_faiss_itself():
    import faiss

    vectors, queries = unit_rows(500, 48), unit_rows(20, 48, seed=1)
    reference = faiss.IndexFlatIP(48)
    reference.add(vectors)
    scores, rows = reference.search(queries, 10)
    ours, ids = NumpyIndex(sparse_ids(500), vectors).search(queries, 10)
    np.testing.assert_allclose(ours, scores, atol=1e-6)
    np.testing.assert_array_equal(ids, sparse_ids(500)[rows])


def batches(ids, vectors, size):
    for start in range(0, len(ids), size):
        yield ids[start : start + size], vectors[start : start + size]


def build(path, parts, count, dim=DIM, **options):
    index.build(path, iter(parts), count, dim, **options)
    return index.load(path)


def test_build_from_batches(tmp_path):
    ids, vectors, queries = sparse_ids(100), unit_rows(100), unit_rows(3, seed=1)
    built = build(tmp_path / "i", batches(ids, vectors, 7), 100)
    assert built.kind == ("faiss-flat" if index.faiss_available() else "numpy-exact")
    assert built.dim == DIM
    np.testing.assert_array_equal(built.ids, ids)
    np.testing.assert_array_equal(built.vectors, vectors)
    assert_result(built.search(queries, 5), oracle(ids, vectors, queries, 5))


def test_build_of_nothing(tmp_path):
    assert len(build(tmp_path / "i", [], 0)) == 0


def test_without_faiss_numpy_serves(monkeypatch, tmp_path):
    build(tmp_path / "i", batches(sparse_ids(9), unit_rows(9), 9), 9)
    monkeypatch.setattr(index, "find_spec", lambda name: None)
    assert not index.faiss_available()
    assert index.load(tmp_path / "i").kind == "numpy-exact"
    again = build(tmp_path / "j", batches(sparse_ids(9), unit_rows(9), 9), 9)
    assert again.kind == "numpy-exact"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([(sparse_ids(3), unit_rows(3))], "4 vectors were announced and 3 came"),
        ([(sparse_ids(5), unit_rows(5))], "after 0 of 4"),
        ([(sparse_ids(4), unit_rows(3))], "4 ids with 3 vectors"),
        ([(sparse_ids(2), unit_rows(2))] * 2, "must be sorted and unique"),
        ([(sparse_ids(4), unit_rows(4, dim=DIM + 1))], "49 dimensions"),
        ([(sparse_ids(4), unit_rows(4).astype(np.float16))], "float16"),
        ([(sparse_ids(4), unit_rows(4) * np.float32(1.01))], "row 0 of the vectors has length"),
    ],
)
def test_build_refuses(parts, message, tmp_path):
    with pytest.raises(InputError, match=message):
        build(tmp_path / "i", parts, 4)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [NumpyIndex, FaissFlat])
def test_constructor_refuses(kind):
    with pytest.raises(InputError, match="3 ids do not go with 4 vectors"):
        kind(sparse_ids(3), unit_rows(4))
    with pytest.raises(InputError, match="sorted and unique"):
        kind(sparse_ids(3)[::-1], unit_rows(3))
    broken = unit_rows(3)
    broken[2, 5] = np.nan
    with pytest.raises(InputError, match="row 2 of the vectors has length nan"):
        kind(sparse_ids(3), broken)
    with pytest.raises(InputError, match="at least one dimension"):
        kind(sparse_ids(3), np.empty((3, 0), np.float32))


def test_float16_round_trip_is_accepted():
    vectors = unit_rows(2000).astype(np.float16).astype(np.float32)
    assert len(NumpyIndex(sparse_ids(2000), vectors)) == 2000


def test_near_ties_beyond_float32_products():
    """Rows that differ by less than a float32 matrix product can tell are still in true order."""
    dim = 384
    base = unit_rows(1, dim)[0] * np.float32(0.999)
    vectors = np.repeat(base[None], 4000, axis=0)
    rng = np.random.default_rng(3)
    for row in vectors:
        row[rng.integers(dim)] *= np.float32(1 + 2.0**-20)
    queries = unit_rows(1, dim, seed=0)
    assert_result(
        NumpyIndex(sparse_ids(4000), vectors).search(queries, 50),
        oracle(sparse_ids(4000), vectors, queries, 50),
    )


def test_importing_and_searching_loads_no_faiss(tmp_path):
    code = (
        "import sys, pathlib, numpy as np; from embedsearch import index;"
        "path = pathlib.Path(sys.argv[1]);"
        "index.build(path, [(np.arange(3), np.eye(3, dtype='f4'))], 3, 3);"
        "index.load(path).search(np.eye(3, dtype='f4'), 2); assert 'faiss' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "i"], check=True)


@needs_fork
@needs_faiss
def test_a_forked_process_searches_too():
    """FAISS's threads stay behind, and it would wait for them."""
    assert after_a_fork(
        """
import numpy as np
from embedsearch.index import FaissFlat, NumpyIndex
rows = np.random.default_rng(0).standard_normal((4000, 64), dtype=np.float32)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
index = FaissFlat(np.arange(4000), rows)
found = index.search(rows, 5)[1]
""",
        "(index.search(rows, 5)[1] == found).all()",
    )
