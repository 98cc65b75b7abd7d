"""Building an inverted file with the help of GPUs: they find the nearest centroid of each vector.

That is nearly all of k-means and most of adding rows. Codes are made on the CPU, so what comes out
is a CPU index, to be saved as ever. For codes of residuals FAISS asks for centroids from several
threads while it adds, which a GPU index does not bear: there the CPU finds the lists. After "Faiss
on the GPU" in FAISS's wiki, where `clustering_index` takes k-means to a GPU, and
`replace_ivf_quantizer` of its contrib folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from embedsearch.errors import DeviceError

if TYPE_CHECKING:
    from embedsearch.types import Vectors

Copy = Callable[[Any], Any]
"""A FAISS flat index to a copy of it that searches faster."""

_OF_GPUS = re.compile(r"gpu|cuda|cublas", re.IGNORECASE)

TEMPORARY_BYTES = 512 << 20
"""What FAISS sets aside on each GPU for what a search holds meanwhile."""


def to_gpus(devices: Sequence[int]) -> Copy:
    """Copies go to all of these GPUs, by FAISS's numbers, and divide the queries among them.

    What is returned raises DeviceError where FAISS refuses, for want of memory say.
    """

    def copy(flat: Any) -> Any:
        import faiss

        with gpu_errors():
            resources = [faiss.StandardGpuResources() for _ in devices]
            for resource in resources:
                resource.setTempMemory(TEMPORARY_BYTES)
            return faiss.index_cpu_to_gpu_multiple_py(resources, flat, gpus=list(devices))

    return copy


@contextmanager
def gpu_errors() -> Iterator[None]:
    """What FAISS raises for want of a GPU or of its memory as DeviceError; the rest as it is."""
    try:
        yield
    except (RuntimeError, AttributeError) as error:
        text = " ".join(str(error).split())
        if isinstance(error, DeviceError) or not _OF_GPUS.search(text):
            raise
        raise DeviceError(f"FAISS cannot use the GPU: {text}. Use --device cpu") from None


def train(made: Any, sample: Vectors, copy: Copy) -> None:
    """Trains an index; the k-means of an inverted file compares with a copy of the centroids."""
    import faiss

    inverted = _inverted(made)
    if inverted is None:
        made.train(sample)
        return
    fast = copy(faiss.IndexFlat(inverted.d, inverted.metric_type))
    inverted.clustering_index = fast
    try:
        with gpu_errors():
            made.train(sample)
    finally:
        inverted.clustering_index = None
        fast.thisown = True  # the assignment took it from Python, and FAISS never frees it


@contextmanager
def lists_found_by(made: Any, copy: Copy) -> Iterator[None]:
    """Meanwhile rows that are added to a trained index find their list by a copy of the centroids.

    An index without lists, of residuals, or that finds lists by other than comparing with all, is
    left as it is.
    """
    import faiss

    inverted = _inverted(made)
    if inverted is None or inverted.by_residual:
        yield
        return
    quantizer, owned = inverted.quantizer, inverted.own_fields
    fast = copy(faiss.downcast_index(quantizer))
    inverted.own_fields = False  # or FAISS would free what it does not own
    inverted.quantizer = fast
    try:
        with gpu_errors():
            yield
    finally:
        inverted.quantizer = quantizer
        inverted.own_fields = owned
        fast.thisown = True


def _inverted(made: Any) -> Any:
    """The inverted file within an index, where all its centroids are compared; else None."""
    import faiss

    inner = faiss.downcast_index(made)
    if isinstance(inner, faiss.IndexPreTransform):
        inner = faiss.downcast_index(inner.index)
    if not isinstance(inner, faiss.IndexIVF):
        return None
    flat = isinstance(faiss.downcast_index(inner.quantizer), faiss.IndexFlat)
    return inner if flat else None
