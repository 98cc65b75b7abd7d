"""FAISS indexes of codes: made from a factory string, searched for candidates, read and written.

They hold positions of rows, 0 to n - 1, and no vectors; what they find is scored by `approximate`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.errors import DeviceError, IndexFileError, InputError
from embedsearch.index import gpu_building
from embedsearch.index.lists import gap_for, gaps_of, within
from embedsearch.text.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import Vectors

EXAMPLES = "`IVF1024,PQ192x4fs` (the number before x4fs divides the dimension), `IVF1024,SQ8`, "
EXAMPLES += "`HNSW32_SQ8`, `Flat`"

_PLACE = re.compile(r"^Error in .* at \S+:\d+: ")
_CONDITION = re.compile(r"^'.*' failed: ")

ROWS_FOR_THREADS = 2_000_000
"""Comparisons from which several threads are called: below, they cost more than they do. One query
of 100,000 sentences took 0.3 ms with one thread and, on two busy cores, 8 ms with two."""


_PROCESS = os.getpid()


@contextmanager
def one_thread(*, when: bool) -> Iterator[None]:
    """Keeps FAISS's loops on the calling thread; others are not affected.

    So it does in any case in a process that was forked: the threads stayed behind, and the OpenMP
    library would wait for them for ever.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    if before == 1 or not (when or os.getpid() != _PROCESS):
        yield
        return
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class Codes:
    """A trained and filled FAISS index over inner products.

    `probes` of a search is how many lists of an inverted file are looked at, on average where their
    `gaps` are known, and efSearch of a graph; other kinds have no such thing (`most_probes` is 0).
    Safe for concurrent searches: nothing is set in the index.
    """

    def __init__(
        self, faiss_index: Any, memory: object = None, gaps: tuple[float, ...] = ()
    ) -> None:
        import faiss

        self._index = faiss_index
        self._memory = memory  # what the index may point into
        self.gaps = gaps
        outer = faiss.downcast_index(faiss_index)
        self._transforms: list[Any] = []
        if isinstance(outer, faiss.IndexPreTransform):
            chain = [outer.chain.at(place) for place in range(outer.chain.size())]
            self._transforms = [faiss.downcast_VectorTransform(each) for each in chain]
        self._inner = _inner(faiss_index)
        self._inverted = isinstance(self._inner, faiss.IndexIVF)
        self._graph = isinstance(self._inner, faiss.IndexHNSW)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def index(self) -> Any:
        """FAISS's own object."""
        return self._index

    @property
    def family(self) -> str:
        """`ivf`, `hnsw` or `codes`."""
        return "ivf" if self._inverted else "hnsw" if self._graph else "codes"

    @property
    def most_probes(self) -> int:
        """Where every row is looked at, or nearly; 0 where there is nothing to set."""
        if self._inverted:
            return int(self._inner.nlist)
        return min(len(self), 4096) if self._graph else 0

    @property
    def selects(self) -> bool:
        """Whether a search can be restricted to some rows."""
        return self._inverted or self._graph

    def probes_for(self, probes: int, depth: int, available: int) -> int:
        """Probes of a search that may find `available` of the rows.

        The neighbours that pass a filter lie further off. To look at as many rows that pass as
        without it would be to look the inverse of their share further. A graph needs that; lists
        keep their recall with three quarters of it, on a logarithmic scale.
        """
        more = len(self) / max(1, available)
        wanted = max(probes, depth) * more if self._graph else probes * more**0.75
        return min(self.most_probes, round(wanted))

    def measure_gaps(self, queries: Vectors) -> None:
        """Learns from sample queries by how much the lists of an inverted file are further off than
        the nearest, where all its centroids are compared; does nothing for other kinds."""
        if self._centroids is not None:
            self.gaps = gaps_of(self._centroids, self._transformed(queries))

    @cached_property
    def _centroids(self) -> Vectors | None:
        """Of an inverted file, shape (n_lists, dim)."""
        import faiss

        if not self._inverted:
            return None
        flat = faiss.downcast_index(self._inner.quantizer)
        if not isinstance(flat, faiss.IndexFlat) or flat.metric_type != faiss.METRIC_INNER_PRODUCT:
            return None
        stored = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)
        # a mapped file may have them at any byte; NumPy would align them for every product
        return np.asarray(np.require(stored.reshape(flat.ntotal, flat.d), requirements="A"))

    def _transformed(self, queries: Vectors) -> Vectors:
        for transform in self._transforms:
            queries = transform.apply(queries)
        return queries

    def candidates(
        self, queries: Vectors, depth: int, probes: int, bits: NDArray[np.uint8] | None = None
    ) -> NDArray[np.int64]:
        """Positions likely to be the best, shape (len(queries), depth); -1 where there are no more.

        `bits` are the rows allowed, one bit each, the lowest first.
        """
        import faiss

        selector = None if bits is None else faiss.IDSelectorBitmap(bits)
        queries = self._transformed(queries)
        with one_thread(when=len(queries) * self._looked_at(probes) < ROWS_FOR_THREADS):
            if self.gaps and self._centroids is not None:
                return self._within_gap(queries, depth, probes, selector)
            parameters = None
            if self._inverted:
                parameters = _probing(probes, selector)
            elif self._graph:
                parameters = faiss.SearchParametersHNSW(efSearch=max(probes, depth), sel=selector)
            _, found = self._inner.search(queries, depth, params=parameters)
        return np.asarray(found, dtype=np.int64)

    def _within_gap(
        self, queries: Vectors, depth: int, probes: int, selector: Any
    ) -> NDArray[np.int64]:
        import faiss

        assert self._centroids is not None
        gap = gap_for(probes, self.most_probes, self.gaps)
        lists, similar = within(self._centroids, queries, gap)
        scores = np.empty((len(queries), depth), dtype=np.float32)
        found = np.empty((len(queries), depth), dtype=np.int64)
        self._inner.search_preassigned_c(
            len(queries),
            faiss.swig_ptr(queries),
            depth,
            *map(faiss.swig_ptr, (lists, similar, scores, found)),
            False,  # positions, not places in lists
            _probing(lists.shape[1], selector),
        )
        return found

    def _looked_at(self, probes: int) -> int:
        """About how many rows a query is compared with."""
        if self._graph:
            return 16 * probes
        return len(self) * probes // self.most_probes if self._inverted else len(self)

    def write(self, write: Callable[[bytes], object]) -> None:
        """Hands the index to `write` in FAISS's own file format, part by part."""
        import faiss

        faiss.write_index(self._index, faiss.PyCallbackIOWriter(write))

    @classmethod
    def read(cls, stored: NDArray[np.uint8], gaps: tuple[float, ...] = ()) -> Codes:
        """The index in `stored`, usually mapped: FAISS reads in place what its kind allows.

        Raises IndexFileError.
        """
        import faiss

        try:
            reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(stored), len(stored))
            return cls(faiss.read_index(reader), stored, gaps)
        except RuntimeError as error:
            raise IndexFileError(
                f"FAISS cannot read the index: {reason(error)}; build the index again"
            ) from None


def _probing(probes: int, selector: Any) -> Any:
    import faiss

    if selector is None:
        return _probing_all(probes)
    return faiss.SearchParametersIVF(nprobe=probes, sel=selector)


@lru_cache(maxsize=1024)
def _probing_all(probes: int) -> Any:
    """FAISS's parameters, which take longer to make than to use."""
    import faiss

    return faiss.SearchParametersIVF(nprobe=probes)


def empty_index(factory: str, dim: int) -> Any:
    """An untrained FAISS index; InputError with FAISS's reason where it refuses the string."""
    import faiss

    try:
        made = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise _refused(factory, dim, reason(error)) from None
    outer = faiss.downcast_index(made)
    if isinstance(outer, (faiss.IndexIDMap, faiss.IndexRefine)):
        raise _refused(factory, dim, "ids and re-ranking are added by embedsearch")
    if isinstance(_inner(made), faiss.IndexNSG):
        raise _refused(factory, dim, "such a graph may never be done where some vectors are equal")
    return made


def train_codes(
    factory: str,
    dim: int,
    sample: Vectors,
    blocks: Iterable[Vectors],
    *,
    copy: gpu_building.Copy | None = None,
) -> Codes:
    """Makes, trains and fills an index, with `copy` by the help of GPUs, see `gpu_building`.

    Raises InputError where FAISS refuses, DeviceError where a GPU does.
    """
    made = empty_index(factory, dim)
    _quieten(made)
    try:
        with one_thread(when=False):
            if copy:
                gpu_building.train(made, sample, copy)
            else:
                made.train(sample)
            with gpu_building.lists_found_by(made, copy) if copy else nullcontext():
                for block in blocks:
                    made.add(block)
    except DeviceError:
        raise
    except RuntimeError as error:  # the string is a good one, as it was made: there are too few
        raise InputError(
            f"FAISS refuses the index {factory!r} for {counted(len(sample), 'vector')}: "
            f"{reason(error)}"
        ) from None
    return Codes(made)


def _quieten(made: Any) -> None:
    """Keeps FAISS from telling stderr that there are few vectors, once for each of its parts: what
    comes of it is measured."""
    inner = _inner(made)
    parts: list[Any] = [inner, getattr(inner, "pq", None)]
    for part in parts:
        if hasattr(part, "cp"):
            part.cp.min_points_per_centroid = 1


def _inner(made: Any) -> Any:
    """The index behind a transformation of its vectors, or the index itself."""
    import faiss

    inner = faiss.downcast_index(made)
    if isinstance(inner, faiss.IndexPreTransform):
        return faiss.downcast_index(inner.index)
    return inner


def _refused(factory: str, dim: int, why: str) -> InputError:
    return InputError(
        f"FAISS refuses the index {factory!r} for {dim} dimensions: {why}. What works: {EXAMPLES}"
    )


def reason(error: RuntimeError) -> str:
    """FAISS's message without the place in its source, and what was not so there if it says why."""
    text = _PLACE.sub("", str(error).strip()).split("Error: ", 1)[-1]
    return _CONDITION.sub("", text.splitlines()[0].rstrip(".")) if text else "no reason given"
