"""FaissIndex: the contract where it looks at everything, what it promises where it does not."""

import json
import os

import numpy as np
import pytest

from embedsearch import index
from embedsearch.errors import IndexFileError, InputError
from embedsearch.index import FaissIndex, IndexConfig, LiveIndex, NumpyIndex, approximate, planner
from embedsearch.index import tune as tuning
from embedsearch.index.codes import train_codes
from embedsearch.index.section import read_section, write_section
from embedsearch.index.writing import IndexFileWriter
from tests.contract.index_contract import (
    DIM,
    IndexContract,
    assert_result,
    oracle,
    sparse_ids,
    unit_rows,
)

pytestmark = pytest.mark.skipif(not index.faiss_available(), reason="FAISS is not installed")

COUNT = 3000
FACTORIES = ["IVF16,PQ24x4fs", "IVF16,SQ8", "HNSW16_SQ8", "OPQ24,IVF16,PQ24x4fs", "SQ8"]


def clustered(count, dim=DIM, seed=0):
    """Rows around 60 centres, as sentences lie around subjects."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((60, dim))
    rows = centres[random.integers(60, size=count)] + 0.7 * random.standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def build(path, ids, vectors, **config):
    batches = ((ids[at : at + 700], vectors[at : at + 700]) for at in range(0, len(ids), 700))
    index.build(path, batches, len(ids), vectors.shape[1], IndexConfig(**config))
    return index.load(path)


def recall(found, truth):
    pairs = zip(found[1], truth[1], strict=True)
    return np.mean([len(set(a) & set(b)) / len(set(b)) for a, b in pairs])


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch):
    """As if the few rows of a test were many."""
    monkeypatch.setattr(approximate, "EXACT_ROWS", 100)
    monkeypatch.setattr(planner, "EXACT_BELOW", 1000)
    monkeypatch.setattr(tuning, "DEPTHS", (20, 30, 40, 80))
    monkeypatch.setattr("embedsearch.index.building.WORTH_IT", 1000)


class TestLookingAtEverything(IndexContract):
    """All lists, all rows as candidates: then nothing may be missed, whatever the codes say."""

    kind = "faiss-ivf"
    factory = "IVF1,SQ8"

    @pytest.fixture
    def make(self, tmp_path, monkeypatch):
        monkeypatch.setattr(approximate, "EXACT_ROWS", 0)
        monkeypatch.setattr(FaissIndex, "depth", lambda self, k: len(self))
        monkeypatch.setattr(FaissIndex, "_pays", lambda self, k, rows: rows > 0)

        def build(ids, vectors):
            if not len(ids):
                return NumpyIndex(ids, vectors)
            return FaissIndex(ids, vectors, section(tmp_path / "i", vectors, self.factory))

        return build

    def test_kind(self, make):
        assert make(sparse_ids(300), unit_rows(300)).kind == self.kind


class TestLookingAtEverythingOfAGraph(TestLookingAtEverything):
    kind = "faiss-hnsw"
    factory = "HNSW32_SQfp16"


def section(path, vectors, factory):
    """The section of a file that was built without the planner."""
    measured = index.Measured(
        asked=IndexConfig(), factory=factory, recall=1, filtered_recall=1, queries=0, probes=1,
        depth=20, search_ms=0, exact_ms=0, build_seconds=0, bytes=0,
    )  # fmt: skip
    codes = train_codes(factory, vectors.shape[1], vectors, [vectors])
    with IndexFileWriter(path, vectors.shape[1]) as writer:
        writer.append(np.arange(len(vectors)), vectors)
        writer.finish(lambda write: write_section(write, writer.total, measured, codes))
    return read_section(path)[2]


@pytest.mark.parametrize("factory", FACTORIES)
def test_every_kind_keeps_its_promise(factory, tmp_path):
    ids, vectors, queries = sparse_ids(COUNT), clustered(COUNT), clustered(200, seed=1)
    built = build(tmp_path / "i", ids, vectors, factory=factory)
    assert isinstance(built, FaissIndex)
    assert built.measured.factory == factory
    assert built.measured.recall >= 0.97
    exact = NumpyIndex(ids, vectors)
    found = built.search(queries, 10)
    assert recall(found, exact.search(queries, 10)) >= 0.96
    assert_scores(found, ids, vectors, queries)
    for share in (0.5, 0.1, 0.01):
        allowed = ids[np.random.default_rng(3).random(COUNT) < share]
        found = built.search(queries, 10, allowed)
        assert np.isin(found[1], allowed).all()
        assert recall(found, exact.search(queries, 10, allowed)) >= 0.96
        assert_scores(found, ids, vectors, queries)


@pytest.mark.parametrize("k", [20, 40])
def test_more_neighbours_are_found_as_surely(k, tmp_path):
    ids, vectors, queries = sparse_ids(COUNT), unit_rows(COUNT), unit_rows(100, seed=1)
    built = build(tmp_path / "i", ids, vectors, factory="IVF4,PQ12x4fs", recall=0.75)
    assert built._pays(k, COUNT)
    exact = NumpyIndex(ids, vectors)
    wanted = recall(built.search(queries, 10), exact.search(queries, 10)) - 0.02
    assert recall(built.search(queries, k), exact.search(queries, k)) >= wanted


def assert_scores(found, ids, vectors, queries):
    """Each score is that of its row, best first, equal ones by id."""
    scores, rows = found
    expected = np.einsum("qkd,qd->qk", vectors[np.searchsorted(ids, rows)], queries)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    order = np.lexsort((rows, -scores), axis=1)
    np.testing.assert_array_equal(order, np.arange(scores.shape[1])[None].repeat(len(rows), 0))


def test_file_holds_all_that_a_search_needs(tmp_path):
    ids, vectors = sparse_ids(COUNT), clustered(COUNT)
    built = build(tmp_path / "i", ids, vectors)
    assert built.kind == "faiss-ivf"
    np.testing.assert_array_equal(built.ids, ids)
    np.testing.assert_array_equal(built.vectors, vectors)
    np.testing.assert_allclose(built.total, NumpyIndex(ids, vectors).total, atol=1e-3)
    assert index.read_measured(tmp_path / "i") == built.measured
    assert built.measured.asked == IndexConfig()
    index.verify(tmp_path / "i")
    assert [path.name for path in tmp_path.iterdir()] == ["i"]
    (tmp_path / "i").unlink()  # what is open stays
    assert_scores(built.search(vectors[:9], 5), ids, vectors, vectors[:9])


def test_without_faiss_the_same_file_is_searched_exactly(tmp_path, monkeypatch):
    ids, vectors, queries = sparse_ids(COUNT), clustered(COUNT), clustered(2, seed=1)
    build(tmp_path / "i", ids, vectors)
    monkeypatch.setattr(index, "find_spec", lambda name: None)
    loaded = index.load(tmp_path / "i")
    assert loaded.kind == "numpy-exact"
    assert_result(loaded.search(queries, 5), oracle(ids, vectors, queries, 5))


@pytest.mark.parametrize("k", [1, 10, 100, COUNT, COUNT + 5])
def test_any_k_is_filled(k, tmp_path):
    ids, vectors, queries = sparse_ids(COUNT), clustered(COUNT), clustered(5, seed=1)
    scores, found = build(tmp_path / "i", ids, vectors).search(queries, k)
    assert ((found >= 0).sum(axis=1) == min(k, COUNT)).all()
    assert (np.diff(scores[:, : min(k, COUNT)], axis=1) <= 0).all()
    if k >= COUNT:
        assert_result((scores, found), oracle(ids, vectors, queries, k))


def test_a_filter_far_from_the_query_is_filled(tmp_path):
    """The rows that pass lie in lists that would not be looked into."""
    ids, vectors = sparse_ids(COUNT), clustered(COUNT)
    query = vectors[:1]
    far = np.sort(np.argsort(vectors @ query[0])[:400])
    built = build(tmp_path / "i", ids, vectors, factory="IVF64,PQ24x4fs", recall=0.5)
    found = built.search(query, 10, ids[far])
    assert (found[1] >= 0).all()
    assert np.isin(found[1], ids[far]).all()


def test_duplicates_and_zero_vectors(tmp_path):
    vectors = clustered(COUNT)
    vectors[::3] = vectors[1]
    vectors[2::3] = 0
    ids = sparse_ids(COUNT)
    built = build(tmp_path / "i", ids, vectors, factory="IVF16,SQ8")
    scores, found = built.search(vectors[1:2], 20)
    np.testing.assert_allclose(scores, 1, atol=1e-5)
    assert (np.diff(found) > 0).all()
    assert_scores(built.search(clustered(20, seed=4), 10), ids, vectors, clustered(20, seed=4))


def test_under_additions_and_deletions(tmp_path):
    ids, vectors, queries = np.arange(COUNT), clustered(COUNT), clustered(100, seed=1)
    base = build(tmp_path / "i", ids[:2700], vectors[:2700])
    gone = np.sort(np.random.default_rng(0).choice(ids, 300, replace=False))
    live = LiveIndex(base, ids[2700:], vectors[2700:], gone)
    left = np.setdiff1d(ids, gone)
    exact = NumpyIndex(left, vectors[left])
    found = live.search(queries, 10)
    assert not np.isin(found[1], gone).any()
    assert recall(found, exact.search(queries, 10)) >= 0.96
    np.testing.assert_allclose(live.centroid, vectors[left].mean(axis=0), atol=1e-5)
    # what hybrid search asks: the exact scores of rows that it names
    some = left[::97]
    assert_result(
        live.search(queries[:3], len(some), some), exact.search(queries[:3], len(some), some)
    )


@pytest.mark.parametrize("wanted", [0.9, 0.98])
def test_promised_recall_is_met_on_fresh_queries(wanted, tmp_path):
    ids, vectors, queries = sparse_ids(COUNT), clustered(COUNT), clustered(400, seed=1)
    built = build(tmp_path / "i", ids, vectors, recall=wanted)
    truth = NumpyIndex(ids, vectors).search(queries, 10)
    assert built.measured.recall >= wanted
    assert recall(built.search(queries, 10), truth) >= wanted - 0.02


def test_more_recall_looks_further(tmp_path):
    ids, vectors = sparse_ids(COUNT), clustered(COUNT)
    low = build(tmp_path / "i", ids, vectors, recall=0.7, factory="IVF32,PQ24x4fs").measured
    high = build(tmp_path / "j", ids, vectors, recall=0.99, factory="IVF32,PQ24x4fs").measured
    assert low.probes < high.probes
    assert low.recall < high.recall


@pytest.mark.parametrize("config", [{"recall": 1.0}, {"factory": "Flat"}])
def test_exact_on_demand(config, tmp_path):
    built = build(tmp_path / "i", sparse_ids(COUNT), clustered(COUNT), **config)
    assert built.kind == "faiss-flat"
    assert not isinstance(built, FaissIndex)


def test_exact_where_codes_do_not_pay(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("embedsearch.index.building.WORTH_IT", 0)
    built = build(tmp_path / "i", sparse_ids(COUNT), clustered(COUNT))
    assert built.kind == "faiss-flat"
    measured = index.read_measured(tmp_path / "i")
    assert (measured.factory, measured.recall) == ("Flat", 1.0)
    assert "is no faster" in measured.note
    assert "is no faster" in caplog.text


def test_exact_until_there_are_enough_rows(tmp_path):
    built = build(tmp_path / "i", sparse_ids(50), clustered(50), factory="IVF128,SQ8")
    assert built.kind == "faiss-flat"
    note = index.read_measured(tmp_path / "i").note
    assert "exact for now: FAISS refuses the index 'IVF128,SQ8' for 50 vectors: Number of" in note
    assert "What works" not in note  # no other factory would do better


@pytest.mark.parametrize("factory", ["IVF16,PQ24x4fs", "PCA24,IVF16,PQ12x4fs"])
def test_faiss_does_not_complain_of_few_rows_on_stderr(tmp_path, capfd, factory):
    build(tmp_path / "i", sparse_ids(50), clustered(50), factory=factory)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("factory", "why"),
    [
        ("IVF", "could not parse"),
        ("nonsense", "could not parse"),
        ("PQ7", ""),
        ("IDMap,Flat", "added by embedsearch"),
        ("NSG16", "may never be done where some vectors are equal"),
        ("PCA16,NSG16", "may never be done"),
        ("IVF16,PQ24x4fs,Refine(SQ8)", "added by embedsearch"),
    ],
)
def test_what_faiss_refuses(factory, why):
    told = rf"(?s)FAISS refuses .*{why}.*What works: .IVF1024"
    with pytest.raises(InputError, match=told) as caught:
        index.check(IndexConfig(factory=factory), DIM)
    assert "index_factory" not in str(caught.value)  # FAISS's own source


def test_reranking_by_faiss_is_left_out():
    assert planner.bare("IVF16,PQ24x4fs,RFlat") == "IVF16,PQ24x4fs"
    index.check(IndexConfig(factory="IVF16,PQ24x4fs,RFlat"), DIM)


@pytest.mark.parametrize("recall", [0, 0.4, 1.1, float("nan"), "0.9", None, True])
def test_config_refuses(recall):
    with pytest.raises(InputError, match=r"recall must be from 0.5 to 1, not"):
        IndexConfig(recall=recall)
    with pytest.raises(InputError, match="the index is empty"):
        IndexConfig(factory=" ")
    with pytest.raises(InputError, match="FAISS factory string or `auto`, not 3"):
        IndexConfig(factory=3)


@pytest.mark.parametrize("part", ["total", "measured", "codes"])
def test_damage_in_the_section_is_found_on_opening(part, tmp_path):
    path = tmp_path / "i"
    build(path, sparse_ids(COUNT), clustered(COUNT))
    start = 4096 + COUNT * DIM * 4 + COUNT * 8
    place = {"total": start + 3, "measured": start + DIM * 8 + 20, "codes": -3}[part]
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    for reader in (index.load, index.verify):
        with pytest.raises(IndexFileError, match=r"build the index again"):
            reader(path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.9999])
def test_cut_short(kept, tmp_path):
    path = tmp_path / "i"
    build(path, sparse_ids(COUNT), clustered(COUNT))
    os.truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(IndexFileError, match="and should have"):
        index.load(path)


def test_codes_of_another_library_version(tmp_path):
    """Right by its checksum, and nothing that FAISS can read."""
    path = tmp_path / "i"
    vectors = clustered(300)
    made = section(path, vectors, "SQ8").measured

    class Unreadable:
        def write(self, write):
            write(b"IxXX" + bytes(500))

    with IndexFileWriter(path, DIM) as writer:
        writer.append(np.arange(300), vectors)
        writer.finish(lambda write: write_section(write, writer.total, made, Unreadable()))
    with pytest.raises(IndexFileError, match="FAISS cannot read the index"):
        index.load(path)


@pytest.mark.parametrize("text", [b"{}", b"[1]", b"no json", json.dumps({"asked": 3}).encode()])
def test_measurements_that_make_no_sense(text, tmp_path):
    path = tmp_path / "i"
    with IndexFileWriter(path, DIM) as writer:
        writer.append(np.arange(3), unit_rows(3))
        length = np.int64(len(text)).tobytes()
        writer.finish(lambda write: write(bytes(8 * DIM) + length + text))
    with pytest.raises(IndexFileError, match="what was measured cannot be read"):
        index.load(path)


def test_finer_codes_are_tried_where_the_usual_ones_miss_the_recall(tmp_path):
    vectors = unit_rows(COUNT)
    found = [
        build(tmp_path / str(recall), np.arange(COUNT), vectors, recall=recall).measured
        for recall in (0.6, 0.9)
    ]
    assert [each.factory for each in found] == ["IVF32,PQ12x4fs", "IVF32,PQ24x4fs"]
    assert all(each.recall >= each.asked.recall for each in found)


def test_plans():
    def plan(count, dim, **config):
        return [each.factory for each in planner.choose(count, dim, IndexConfig(**config))]

    assert plan(999, 384) == ["Flat"]
    assert plan(10**9, 384, recall=1) == ["Flat"]
    assert plan(300_000, 384) == ["IVF256,PQ96x4fs", "IVF256,PQ192x4fs"]
    assert plan(300_000, 387) == ["IVF256,PQ129x4fs", "IVF256,SQ8"]
    assert plan(300_000, 50) == ["IVF256,PQ25x4fs"]
    assert plan(300_000, 101) == ["IVF256,SQ8"]
    assert plan(300_000, 384, factory="HNSW32") == ["HNSW32"]


def test_less_memory_makes_a_smaller_plan():
    roomy, finer = planner.choose(10**7, 384, IndexConfig(), 24 << 30)
    (tight,) = planner.choose(10**7, 384, IndexConfig(), 5 << 28)
    (none,) = planner.choose(10**7, 384, IndexConfig(), 1 << 20)
    assert (roomy.factory, roomy.note) == ("IVF1024,PQ96x4fs", "")
    assert finer.factory == "IVF1024,PQ192x4fs"
    assert tight.factory == "IVF1024,PQ64x4fs"
    assert "want of memory" in tight.note
    assert none.exact
    assert "no codes fit" in none.note


def test_staleness():
    stale = index.stale
    assert stale(None, 999, DIM, IndexConfig()) == ""
    assert "suits what is asked better" in stale(None, 5000, DIM, IndexConfig())
    assert "suits what is asked" in stale(None, 10, DIM, IndexConfig(factory="SQ8"))


def test_staleness_of_what_was_asked(tmp_path):
    measured = build(tmp_path / "i", sparse_ids(COUNT), clustered(COUNT)).measured
    assert index.stale(measured, COUNT, DIM, IndexConfig()) == ""
    reason = index.stale(measured, COUNT, DIM, IndexConfig(recall=0.9))
    assert reason == "another index is asked for: recall 0.9, auto"
