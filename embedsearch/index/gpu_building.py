"""Building an inverted file with the help of GPUs: they find the nearest centroid of each vector.

That is nearly all of k-means and most of adding rows. Codes are made on the CPU, so what comes out
is a CPU index, to be saved as ever. After "Faiss on the GPU" in FAISS's wiki, where
`clustering_index` takes k-means to a GPU, and `replace_ivf_quantizer` of its contrib folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from embedsearch.errors import DeviceError

if TYPE_CHECKING:
    from embedsearch.types import Vectors

Copy = Callable[[Any], Any]
"""A FAISS flat index to a copy of it that searches faster."""

TEMPORARY_BYTES = 512 << 20
"""What FAISS sets aside on each GPU for what a search holds meanwhile."""


def to_gpus(devices: Sequence[int]) -> Copy:
    """Copies go to all of these GPUs, by FAISS's numbers, and divide the queries among them.

    What is returned raises DeviceError where FAISS refuses, for want of memory say.
    """

    def copy(flat: Any) -> Any:
        import faiss

        try:
            resources = [faiss.StandardGpuResources() for _ in devices]
            for resource in resources:
                resource.setTempMemory(TEMPORARY_BYTES)
            return faiss.index_cpu_to_gpu_multiple_py(resources, flat, gpus=list(devices))
        except (RuntimeError, AttributeError) as error:
            raise DeviceError(
                f"FAISS cannot build the index on the GPU: {error}. Use --device cpu"
            ) from None

    return copy


def train(made: Any, sample: Vectors, copy: Copy) -> None:
    """Trains an index; the k-means of an inverted file compares with a copy of the centroids."""
    import faiss

    inverted = _inverted(made)
    if inverted is None:
        made.train(sample)
        return
    inverted.clustering_index = copy(faiss.IndexFlat(inverted.d, inverted.metric_type))
    try:
        made.train(sample)
    finally:
        inverted.clustering_index = None


@contextmanager
def lists_found_by(made: Any, copy: Copy) -> Iterator[None]:
    """Meanwhile rows that are added to a trained index find their list by a copy of the centroids.

    An index without lists, or that finds them by other than comparing with all, is left as it is.
    """
    import faiss

    inverted = _inverted(made)
    if inverted is None:
        yield
        return
    quantizer, owned = inverted.quantizer, inverted.own_fields
    fast = copy(faiss.downcast_index(quantizer))
    inverted.own_fields = False  # or FAISS would free what it does not own
    inverted.quantizer = fast
    try:
        yield
    finally:
        inverted.quantizer = quantizer
        inverted.own_fields = owned


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
