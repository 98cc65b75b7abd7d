"""A mirror of an index on one or several GPUs: it finds candidates there, the CPU ranks them.

After "Faiss on the GPU", "Running on GPUs" and "Threads and asynchronous calls" in FAISS's wiki: a
GPU index is not safe for concurrent calls, k and nprobe are at most 2,048, there are no selectors,
temporary memory is set aside at the start.
"""

from __future__ import annotations

import math
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.errors import DeviceError
from embedsearch.index.approximate import FaissIndex
from embedsearch.index.codes import reason
from embedsearch.index.exact import NumpyIndex
from embedsearch.index.faiss_flat import FaissFlat
from embedsearch.index.gpu_building import gpu_errors
from embedsearch.index.reranking import ranked
from embedsearch.index.select import empty_result, margin_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import RowIds, Vectors

MOST = 2048
"""k and nprobe of FAISS on a GPU; what wants more is left to the CPU."""

MOST_GONE = 1000
"""Rows that a search may leave out on the GPU: it asks for so many more, and drops them."""

BATCH = 4096
"""Queries that are searched together at most."""

SAME_FOR_ALL = 1.5
"""A GPU looks at as many lists for every query as it is told, a CPU does so on average (see
`lists`). For the same share of the neighbours a GPU needs more of them."""

ROUNDED = 2.0**-9
"""How far below the k-th exact score a row of the true k best can lie that the GPU ranked behind
all candidates: float16 rounds each number by at most 2⁻¹¹ of it, so an inner product of two unit
vectors by 2⁻¹⁰, and two are compared."""

DEEPER = 4
"""How many times as many candidates are asked for where those were too few to be sure."""

Search = Callable[["Vectors", int], "NDArray[np.int64]"]
"""Queries and k to positions of rows, shape (n_queries, k), -1 for none."""


@dataclass(frozen=True, kw_only=True)
class GpuConfig:
    """How the mirror is laid out.

    `shard` divides the rows among the GPUs; without it each GPU has them all and takes a part of
    the queries. `float16` halves the memory: what it rounds is made good by exact scores.
    `temporary_mb` is set aside on each GPU for what a search holds meanwhile.
    """

    shard: bool = True
    float16: bool = True
    temporary_mb: int = 512


class Batcher:
    """One thread that owns a GPU index and answers all that has come in meanwhile at once."""

    def __init__(self, make: Callable[[], Search]) -> None:
        """`make` is called in that thread; what it raises is raised here."""
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=_serve, args=(make, self._requests, ready), name="embedsearch-gpu", daemon=True
        )
        self._thread.start()
        ready.result()
        self._end = weakref.finalize(self, self._requests.put, None)

    def search(self, queries: Vectors, k: int) -> NDArray[np.int64]:
        """The k best rows of each query, as the GPU ranks them. Raises DeviceError in a process
        that was forked: the thread stayed behind, and so did the GPU."""
        if not self._thread.is_alive():
            raise DeviceError(
                "the index on the GPU belongs to the process that this one was forked from: open "
                "the collection here, or start the process by `spawn`"
            )
        request = _Request(queries=queries, k=k, answer=Future())
        self._requests.put(request)
        return request.answer.result()


@dataclass(frozen=True, kw_only=True)
class _Request:
    queries: Vectors
    k: int
    answer: Future[NDArray[np.int64]]


def _serve(
    make: Callable[[], Search],
    requests: queue.SimpleQueue[_Request | None],
    ready: Future[None],
) -> None:
    try:
        search = make()
    except Exception as error:
        ready.set_exception(error)
        return
    ready.set_result(None)
    while (first := requests.get()) is not None:
        batch, ended = _drain(first, requests)
        try:
            queries = np.concatenate([request.queries for request in batch])
            rows = search(queries, max(request.k for request in batch))
            start = 0
            for request in batch:
                end = start + len(request.queries)
                request.answer.set_result(rows[start:end, : request.k])
                start = end
        except Exception as error:
            for request in batch:
                if not request.answer.done():
                    request.answer.set_exception(error)
        if ended:
            return


def _drain(
    first: _Request, requests: queue.SimpleQueue[_Request | None]
) -> tuple[list[_Request], bool]:
    """What has come in, up to `BATCH` queries; and whether the end was among it."""
    batch, size = [first], len(first.queries)
    while size < BATCH:
        try:
            more = requests.get_nowait()
        except queue.Empty:
            break
        if more is None:
            return batch, True
        batch.append(more)
        size += len(more.queries)
    return batch, False


class GpuIndex(FaissFlat):
    """An index whose candidates come from a mirror on the GPU.

    Rows, scores and files are those of `base`, which also answers what the GPU cannot: more than
    2,048 candidates, filters that leave out more than `MOST_GONE` rows.
    """

    def __init__(self, base: NumpyIndex, search: Search, *, exact: bool) -> None:
        super().__init__(base.ids, base.vectors, checked=True)
        self._base = base
        self._search = search
        self._exact = exact
        self._promises = not isinstance(base, FaissIndex)

    @property
    def kind(self) -> str:
        return "gpu-flat" if self._exact else "gpu-ivf"

    @property
    def total(self) -> NDArray[np.float64]:
        """See `NumpyIndex.total`."""
        return self._base.total

    def _depth(self, k: int) -> int:
        """Candidates for k rows: twice as many make good what float16 rounds."""
        if isinstance(self._base, FaissIndex) and not self._exact:
            return self._base.depth(k)
        return 2 * k + 32

    def _search_all(self, queries: Vectors, k: int) -> tuple[NDArray[np.float32], RowIds]:
        return self._searched(queries, k, None)

    def search_at(
        self, queries: Vectors, k: int, positions: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], RowIds]:
        """See `NumpyIndex.search_at`; on the GPU where nearly all rows are allowed."""
        return self._searched(queries, k, positions)

    def _searched(
        self, queries: Vectors, k: int, positions: NDArray[np.intp] | None
    ) -> tuple[NDArray[np.float32], RowIds]:
        """By the GPU, where need be with more candidates; what it cannot, by the CPU."""
        gone = 0 if positions is None else len(self) - len(positions)
        depth = min(self._depth(k) + gone, len(self))
        scores, found = empty_result(len(queries), k)
        left = np.arange(len(queries) if gone < len(self) else 0)
        on_gpu = gone <= MOST_GONE and depth <= MOST
        while on_gpu and len(left):
            some = np.ascontiguousarray(queries[left])
            rows = self._search(some, depth)
            scores[left], found[left], enough = self._ranked(some, k, rows, positions)
            left = left[~enough]
            on_gpu = self._promises and depth < min(MOST, len(self))
            depth = min(DEEPER * depth, MOST, len(self))
        if len(left):
            some = np.ascontiguousarray(queries[left])
            scores[left], found[left] = (
                self._base.search(some, k)
                if positions is None
                else self._base.search_at(some, k, positions)
            )
        return scores, found

    def _ranked(
        self,
        queries: Vectors,
        k: int,
        rows: NDArray[np.int64],
        positions: NDArray[np.intp] | None,
    ) -> tuple[NDArray[np.float32], RowIds, NDArray[np.bool_]]:
        """The best of the candidates; and of each query whether they are sure to be the k best, or
        just as many where the base may miss some itself."""
        kept, available = rows, len(self)
        if positions is not None:
            allowed = np.zeros(len(self) + 1, dtype=np.bool_)
            allowed[positions] = True  # the last one is that of -1
            kept, available = np.where(allowed[rows], rows, -1), len(positions)
        scores, found = ranked(self._vectors, self._ids, queries, kept, k)
        last = min(k, available) - 1
        enough = found[:, last] >= 0
        if self._promises and rows.shape[1] < len(self):
            behind = np.vecdot(self._vectors[rows[:, -1]], queries) + ROUNDED + margin_of(self.dim)
            enough &= scores[:, last] > behind
        return scores, found, enough


def mirror(base: NumpyIndex, devices: Sequence[int], config: GpuConfig) -> GpuIndex:
    """A copy of an index on GPUs, by FAISS's device numbers.

    IVF indexes of a kind that a GPU knows (Flat, scalar quantizer, 8-bit product quantizer) are
    cloned; for all others, 4-bit codes among them, the vectors are searched exactly there, which
    is fast and misses nothing. Raises DeviceError where FAISS refuses, for want of memory say.
    """
    resources: list[Any] = []
    cloned = False

    def make() -> Search:
        nonlocal cloned
        import faiss

        for _ in devices:
            resource = faiss.StandardGpuResources()
            resource.setTempMemory(config.temporary_mb << 20)
            resources.append(resource)
        found = _clone(base, resources, devices, config)
        cloned = found is not None
        on_gpu = found or _flat(base.vectors, resources, devices, config)

        def search(queries: Vectors, k: int) -> NDArray[np.int64]:
            with gpu_errors():
                return np.asarray(on_gpu.search(queries, k)[1])

        return search

    try:
        batcher = Batcher(make)
    except (RuntimeError, AttributeError) as error:
        raise DeviceError(
            f"FAISS cannot put the index on the GPU: {reason(RuntimeError(str(error)))}. Use "
            "--device cpu"
        ) from None
    return GpuIndex(base, batcher.search, exact=not cloned)


def _clone(
    base: NumpyIndex, resources: Sequence[Any], devices: Sequence[int], config: GpuConfig
) -> Any:
    """The FAISS index of `base` on the GPUs; None where its kind does not exist there."""
    if not isinstance(base, FaissIndex) or not 0 < base.measured.probes <= MOST:
        return None
    import faiss

    inner = faiss.downcast_index(base.codes.index)
    # none derived from them: a GPU would lose or misread what those add
    if type(inner) not in (faiss.IndexIVFFlat, faiss.IndexIVFScalarQuantizer, faiss.IndexIVFPQ):
        return None
    options = faiss.GpuMultipleClonerOptions()
    options.shard = config.shard
    options.useFloat16 = options.useFloat16CoarseQuantizer = config.float16
    try:
        made = faiss.index_cpu_to_gpu_multiple_py(
            list(resources), inner, options, gpus=list(devices)
        )
    except RuntimeError:
        return None  # a code size that GPUs do not have
    probes = base.measured.probes
    if base.measured.gaps:
        probes = min(MOST, base.codes.most_probes, math.ceil(SAME_FOR_ALL * probes))
    faiss.GpuParameterSpace().set_index_parameter(made, "nprobe", probes)
    return made


def _flat(
    vectors: Vectors, resources: Sequence[Any], devices: Sequence[int], config: GpuConfig
) -> Any:
    """Exact search over the vectors. FAISS sets the room aside, then copies page by page: there is
    no second copy in main memory, nor on the GPU."""
    import faiss

    parts = [vectors] * len(devices)
    if config.shard:
        cuts = np.linspace(0, len(vectors), len(devices) + 1).astype(int)
        parts = [vectors[start:end] for start, end in pairwise(cuts)]
    made = []
    for resource, device, part in zip(resources, devices, parts, strict=True):
        layout = faiss.GpuIndexFlatConfig()
        layout.device = device
        layout.useFloat16 = config.float16
        flat = faiss.GpuIndexFlatIP(resource, vectors.shape[1], layout)
        flat.add(part)
        made.append(flat)
    if len(made) == 1:
        return made[0]
    if config.shard:
        whole = faiss.IndexShards(vectors.shape[1], True, True)  # threaded, ids go on
        for flat in made:
            whole.add_shard(flat)
    else:
        whole = faiss.IndexReplicas(vectors.shape[1], True)
        for flat in made:
            whole.addIndex(flat)
    whole.parts = made  # FAISS holds pointers only
    return whole
