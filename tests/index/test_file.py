"""Index files: whole, damaged, cut short, of another kind; and disks that fail."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from embedsearch import index
from embedsearch.errors import IndexFileError, NotFoundError, StorageError
from embedsearch.index import FaissFlat, NumpyIndex
from embedsearch.index import file as index_file
from tests.contract.index_contract import DIM, sparse_ids, unit_rows

COUNT = 50
VECTORS_END = 4096 + COUNT * DIM * 4
SIZE = VECTORS_END + COUNT * 8


@pytest.fixture
def saved(tmp_path):
    return NumpyIndex(sparse_ids(COUNT), unit_rows(COUNT)).save(tmp_path, "rows.index")


@pytest.mark.parametrize("count", [0, 1, COUNT])
@pytest.mark.parametrize("kind", [NumpyIndex, FaissFlat])
def test_round_trip(kind, count, tmp_path):
    path = kind(sparse_ids(count), unit_rows(count)).save(tmp_path, "rows.index")
    index.verify(path)
    loaded = kind.load(path)
    assert path == tmp_path / "rows.index"
    assert path.stat().st_size == 4096 + count * DIM * 4 + count * 8
    assert (loaded.dim, len(loaded)) == (DIM, count)
    np.testing.assert_array_equal(loaded.ids, sparse_ids(count))
    np.testing.assert_array_equal(loaded.vectors, unit_rows(count))
    assert [found.name for found in tmp_path.iterdir()] == ["rows.index"]


def test_vectors_are_mapped_and_aligned(saved):
    vectors = NumpyIndex.load(saved).vectors
    assert not vectors.flags.owndata
    assert not vectors.flags.writeable
    assert vectors.ctypes.data % 64 == 0


def test_an_open_index_outlives_its_file(saved):
    loaded = index.load(saved)
    NumpyIndex(sparse_ids(2, seed=9), unit_rows(2, seed=9)).save(saved.parent, saved.name)
    assert len(index.load(saved)) == 2
    saved.unlink()
    np.testing.assert_array_equal(loaded.vectors, unit_rows(COUNT))


def test_permissions_follow_the_umask(saved):
    other = saved.with_name("other")
    other.write_bytes(b"")
    assert saved.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize("place", [0, 7, 8, 12, 16, 24, 32, 36, 40, 2000, 4091, 4092, 4095])
def test_damage_in_the_header_is_found_on_open(saved, place):
    flip(saved, place)
    for reader in (index.load, index.verify):
        with pytest.raises(IndexFileError, match=r"build the index again"):
            reader(saved)


@pytest.mark.parametrize("place", [VECTORS_END, VECTORS_END + 9, SIZE - 1])
def test_damage_in_the_ids_is_found_on_open(saved, place):
    flip(saved, place)
    for reader in (index.load, index.verify):
        with pytest.raises(IndexFileError, match="row ids fail their checksum"):
            reader(saved)


@pytest.mark.parametrize("bit", [0, 7])
@pytest.mark.parametrize("place", [4096, 4097, 6000, VECTORS_END - 1])
def test_damage_in_the_vectors_is_found_by_verify(saved, place, bit, monkeypatch):
    monkeypatch.setattr(index_file, "BYTES_AT_A_TIME", 1000)
    index.verify(saved)
    flip(saved, place, bit)
    with pytest.raises(IndexFileError, match="vectors fail their checksum"):
        index.verify(saved)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 40, 4095, 4096, 4097, VECTORS_END, SIZE - 1])
def test_cut_short(saved, size):
    os.truncate(saved, size)
    for reader in (index.load, index.verify):
        with pytest.raises(IndexFileError, match=r"rows\.index"):
            reader(saved)


def test_bytes_too_many(saved):
    with saved.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(IndexFileError, match=f"has {SIZE + 1} bytes and should have {SIZE}"):
        index.load(saved)


def foreign_files():
    yield "text", b"hello\n" * 5000
    yield "zeros", bytes(SIZE)
    yield "sqlite", b"SQLite format 3\0" + bytes(8192)
    yield "numpy", b"\x93NUMPY\x01\0" + bytes(8192)


@pytest.mark.parametrize("content", [pytest.param(c, id=name) for name, c in foreign_files()])
def test_foreign_file(tmp_path, content):
    path = tmp_path / "rows.index"
    path.write_bytes(content)
    with pytest.raises(IndexFileError, match="is not an index file of embedsearch"):
        index.load(path)


@pytest.mark.parametrize("factory", ["Flat", "HNSW8", "IVF4,Flat", "PCA8,Flat"])
def test_files_of_faiss_are_foreign(tmp_path, factory):
    faiss = pytest.importorskip("faiss")
    theirs = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
    theirs.train(unit_rows(200))
    theirs.add(unit_rows(200))
    path = tmp_path / "rows.index"
    faiss.write_index(theirs, str(path))
    with pytest.raises(IndexFileError, match="is not an index file of embedsearch"):
        index.load(path)


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 2},
        {"metric": 1},
        {"dim": 0},
        {"dim": 2**63},
        {"dim": 2**62, "count": 0},
        {"count": 2**64 - 1},
    ],
)
def test_headers_that_make_no_sense(tmp_path, fields):
    """A header with a right checksum, as another version or a hostile hand might write it."""
    values = {"version": 1, "metric": 0, "dim": DIM, "count": 0} | fields
    page = index_file.HEADER.pack(index_file.MAGIC, *values.values(), 0, 0)
    page = page.ljust(4092, b"\0")
    path = tmp_path / "rows.index"
    path.write_bytes(page + index_file.CHECKSUM.pack(index_file.zlib.crc32(page)))
    with pytest.raises(IndexFileError, match="build the index again"):
        index.load(path)


def test_missing_file_and_folder(tmp_path):
    for reader in (index.load, index.verify):
        with pytest.raises(NotFoundError, match="nowhere"):
            reader(tmp_path / "nowhere")
        with pytest.raises(StorageError, match=r"could not be read: Is a directory"):
            reader(tmp_path)
    with pytest.raises(StorageError, match=r"could not be written: No such file"):
        NumpyIndex(sparse_ids(3), unit_rows(3)).save(tmp_path / "nowhere", "rows.index")


def test_full_disk_leaves_the_old_file_and_nothing_else(saved):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE + 100, hard))  # the kernel refuses more bytes
    try:
        with pytest.raises(StorageError, match=r"rows\.index could not be written: File too large"):
            NumpyIndex(sparse_ids(99), unit_rows(99)).save(saved.parent, saved.name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [found.name for found in saved.parent.iterdir()] == [saved.name]
    index.verify(saved)
    assert len(index.load(saved)) == COUNT


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_failing_flush_leaves_the_old_file_and_nothing_else(saved, monkeypatch, error):
    def failing(handle):
        raise error

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises((StorageError, KeyboardInterrupt)):
        NumpyIndex(sparse_ids(99), unit_rows(99)).save(saved.parent, saved.name)
    assert [found.name for found in saved.parent.iterdir()] == [saved.name]
    index.verify(saved)


def test_file_and_folder_are_flushed_before_and_after_the_rename(saved, monkeypatch):
    seen = []

    def flushed(handle):
        name = Path(f"/proc/self/fd/{handle}").readlink()
        seen.append((name == saved.parent, len(index.load(saved))))

    monkeypatch.setattr(os, "fsync", flushed)
    NumpyIndex(sparse_ids(99), unit_rows(99)).save(saved.parent, saved.name)
    assert seen == [(False, COUNT), (True, 99)]


def flip(path, place, bit=0):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)
