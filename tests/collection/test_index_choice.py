"""The index of a collection: asked for, planned, measured, told, stale, built again."""

import numpy as np
import pytest

from embedsearch.collection.collection import Collection
from embedsearch.errors import InputError
from embedsearch.index import FaissIndex, IndexConfig, approximate, faiss_available, planner
from embedsearch.types import Document
from tests.fake_encoder import FakeEncoder
from tests.survival.corpus import words

pytestmark = pytest.mark.skipif(not faiss_available(), reason="FAISS is not installed")

COUNT = 1500
FACTORY = "IVF16,SQ8"
QUERIES = [words(f"q{number}", 6) for number in range(20)]


def documents(start, end):
    return [
        Document(id=f"d{number}", text=words(f"t{number}", 30), metadata={"half": number % 2})
        for number in range(start, end)
    ]


def opened(folder, **config):
    asked = IndexConfig(**config) if config else None
    return Collection.open(folder, model=FakeEncoder(), index=asked)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(approximate, "EXACT_ROWS", 100)
    with opened(tmp_path / "c.es", factory=FACTORY) as collection:
        collection.upsert(documents(0, COUNT))
    return tmp_path / "c.es"


def found(collection, **options):
    return [
        [(hit.document_id, round(hit.score, 4)) for hit in hits]
        for hits in collection.search_batch(QUERIES, 10, **options)
    ]


def share(first, second):
    pairs = zip(first, second, strict=True)
    return np.mean([len({a for a, _ in x} & {b for b, _ in y}) / len(y) for x, y in pairs])


def test_status_tells_what_was_measured(folder):
    with opened(folder) as collection:
        status = collection.status().index
    assert (status.kind, status.vectors, status.stale) == ("faiss-ivf", COUNT, "")
    assert status.measured.factory == FACTORY
    assert status.recall == status.measured.recall >= 0.97
    assert 0 < status.measured.probes <= 16
    assert status.measured.queries > 0


@pytest.mark.parametrize("mode", ["semantic", "hybrid"])
@pytest.mark.parametrize("where", [None, {"half": 1}, {"id": [f"d{n}" for n in range(0, 900, 9)]}])
def test_searches_agree_with_exact_ones(folder, mode, where, monkeypatch):
    with opened(folder) as collection:
        nearly = found(collection, mode=mode, where=where)
        assert isinstance(collection._searcher._view._live.base, FaissIndex)
    with opened(folder, factory="Flat") as collection:
        collection.upsert(documents(0, 1))
        exactly = found(collection, mode=mode, where=where)
        assert collection.status().index.kind == "faiss-flat"
    assert share(nearly, exactly) >= 0.97
    scores = [dict(hits) for hits in exactly]
    for hits, expected in zip(nearly, scores, strict=True):
        assert all(score == expected.get(id_, score) for id_, score in hits)


def test_additions_and_deletions_are_seen_without_a_rebuild(folder):
    with opened(folder) as collection:
        before = found(collection, mode="semantic")
        best = [hits[0][0] for hits in before]
        collection.delete(best)
        collection.upsert(documents(COUNT, COUNT + 20))
        assert collection.status().index.generation == 1
        new = collection.search(words(f"t{COUNT + 3}", 30), mode="semantic")
        assert new[0].document_id == f"d{COUNT + 3}"
        for hits in found(collection, mode="semantic"):
            assert not {id_ for id_, _ in hits} & set(best)
            assert len(hits) == 10


def test_another_wish_makes_the_index_stale_and_the_next_write_builds_it(folder):
    with opened(folder, recall=0.9, factory=FACTORY) as collection:
        assert collection.status().index.stale == ""  # asked for, not yet stored
        collection.upsert(documents(0, 1))
        status = collection.status().index
        assert (status.generation, status.stale) == (2, "")
        assert status.measured.asked == IndexConfig(recall=0.9, factory=FACTORY)
    with opened(folder) as collection:
        collection.upsert(documents(0, 1))
        assert collection.status().index.generation == 2  # the wish is kept


def test_growth_past_exact_search_is_told_and_heeded(tmp_path, monkeypatch):
    folder = tmp_path / "c.es"
    with opened(folder) as collection:
        collection.upsert(documents(0, COUNT))
        assert collection.status().index.kind == "faiss-flat"
        monkeypatch.setattr(planner, "EXACT_BELOW", 1000)
        monkeypatch.setattr("embedsearch.index.building.WORTH_IT", 1000)
        assert "suits what is asked better than exact" in collection.status().index.stale
        collection.upsert(documents(0, 1))
        assert collection.status().index.kind == "faiss-ivf"
        assert collection.status().index.stale == ""


def test_what_faiss_refuses_is_refused_before_anything_is_done(folder, tmp_path):
    for where in (folder, tmp_path / "new.es"):
        with opened(where, factory="IVF16,PQ7") as collection:
            with pytest.raises(InputError, match="FAISS refuses the index 'IVF16,PQ7'"):
                collection.upsert(documents(COUNT, COUNT + 5))
            assert collection.get(f"d{COUNT}") is None
    with opened(folder) as collection:
        assert collection.status().index.stale == ""


def test_damaged_codes_are_told_and_mended(folder, caplog):
    (path,) = (folder / "index").iterdir()
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with opened(folder) as collection:
        first = collection.search(words("t7", 30), mode="semantic")
        assert first[0].document_id == "d7"
        assert "its codes fail their checksum" in caplog.text
        assert collection.status().index.generation == 2
        assert collection.search(words("t7", 30), mode="semantic")[0] == first[0]
