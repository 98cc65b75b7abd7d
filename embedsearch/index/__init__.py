"""Vector indexes: inner product over unit vectors, under int64 row ids, exactly or nearly."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from embedsearch.errors import DependencyError
from embedsearch.index.approximate import FaissIndex
from embedsearch.index.building import build_file
from embedsearch.index.codes import empty_index
from embedsearch.index.config import IndexConfig, Measured
from embedsearch.index.exact import NumpyIndex
from embedsearch.index.faiss_flat import FaissFlat
from embedsearch.index.file import index_checksum as checksum
from embedsearch.index.file import verify_index_file as verify
from embedsearch.index.live import LiveIndex
from embedsearch.index.planner import FLAT, bare, choose
from embedsearch.index.section import kind_of, read_measured
from embedsearch.types import SILENT

if TYPE_CHECKING:
    from embedsearch.types import Embeddings, Progress

__all__ = [
    "FaissFlat",
    "FaissIndex",
    "IndexConfig",
    "LiveIndex",
    "Measured",
    "NumpyIndex",
    "build",
    "check",
    "checksum",
    "faiss_available",
    "kind_of",
    "load",
    "mirror",
    "read_measured",
    "stale",
    "verify",
]


def faiss_available() -> bool:
    """Whether `faiss` is installed (it is not imported)."""
    return find_spec("faiss") is not None


def build(
    path: Path,
    embeddings: Embeddings,
    count: int,
    dim: int,
    config: IndexConfig | None = None,
    *,
    memory: int | None = None,
    devices: Sequence[int] = (),
    progress: Progress = SILENT,
) -> None:
    """Writes the index of `count` vectors, which come in batches, to `path`.

    It is what `config` asks for, or the planner's choice; exact where FAISS is not installed. The
    vectors are not held in memory. `memory` is what is free in bytes: codes that need more than
    half of it are not built. GPUs named by `devices` help to build, see `gpu_building`. Raises as
    `building.build_file`.
    """
    build_file(
        path,
        embeddings,
        count,
        dim,
        config or IndexConfig(),
        faiss=faiss_available(),
        memory=memory,
        devices=devices,
        progress=progress,
    )


def mirror(base: NumpyIndex, devices: Sequence[int]) -> NumpyIndex:
    """A copy of an index on GPUs, named by FAISS's numbers, that serves in its place.

    It is never saved. Raises DeviceError where FAISS refuses; see `gpu.mirror`.
    """
    from embedsearch.index.gpu import GpuConfig
    from embedsearch.index.gpu import mirror as mirrored

    return mirrored(base, devices, GpuConfig())


def load(path: Path) -> NumpyIndex:
    """Opens an index file, whichever kind wrote it, with the best that is installed to search it.

    Raises NotFoundError, IndexFileError, StorageError; see `NumpyIndex.load`.
    """
    if not faiss_available():
        return NumpyIndex.load(path)
    measured = read_measured(path)
    if measured is None or measured.factory == FLAT:
        return FaissFlat.load(path)
    return FaissIndex.load(path)


def check(config: IndexConfig, dim: int) -> None:
    """Raises InputError where FAISS refuses the factory string for vectors of `dim` numbers, and
    DependencyError where it is asked for and not installed."""
    if config.factory in ("auto", FLAT):
        return
    if not faiss_available():
        raise DependencyError(
            f"the index {config.factory!r} needs FAISS: pip install 'embedsearch[cpu]'"
        )
    empty_index(bare(config.factory), dim)


def stale(measured: Measured | None, count: int, dim: int, config: IndexConfig) -> str:
    """Why the choice behind an index file is no longer right for `count` vectors, or ""."""
    if not faiss_available():
        return ""
    if measured is None:
        chosen = choose(count, dim, config)[0].factory
        return "" if chosen == FLAT else f"{chosen} suits what is asked better than exact search"
    if measured.asked != config:
        return f"another index is asked for: recall {config.recall:g}, {config.factory}"
    return ""
