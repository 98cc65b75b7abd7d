"""The token vectors of a static model, as sentence-transformers and as model2vec store them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedsearch.encoder.weights import FLOATS, map_integers, map_tensors, read_header
from embedsearch.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedsearch.encoder.folder import Module
    from embedsearch.encoder.weights import Array

NAMES = ("embedding.weight", "embeddings")
"""Of the matrix: sentence-transformers' own, and model2vec's, beside which there may be more."""


@dataclass(frozen=True, kw_only=True)
class StaticTable:
    """`rows` has shape (rows, dim). A token's row is its id, or `places[id]` where tokens share
    rows, scaled by `weights[id]` where there are weights; both of shape (tokens,)."""

    rows: Array
    places: NDArray[np.int64] | None = None
    weights: Array | None = None

    @property
    def tokens(self) -> int:
        """Tokens that have a vector."""
        return len(self.rows) if self.places is None else len(self.places)

    def mean(self, ids: Sequence[int]) -> Array:
        """The mean of the tokens' vectors, shape (dim,); `ids` is not empty and within `tokens`."""
        import numpy as np

        found = self.rows[ids if self.places is None else self.places[ids]]
        if self.weights is not None:
            found = found * self.weights[ids][:, None]
        return np.asarray(found.mean(axis=0))


def table_entry(module: Module) -> tuple[str, Mapping[str, Any]]:
    """The name of a module's matrix and what the file's header says of it. ModelError where there
    is none, or of numbers of another kind."""
    header = {name: entry for file in module.weights for name, entry in read_header(file).items()}
    name = next((name for name in NAMES if name in header), None)
    if name is None or len(header[name]["shape"]) != 2:
        raise ModelError(f"{module.folder} has no matrix of token vectors, {' or '.join(NAMES)}")
    if header[name]["dtype"] not in FLOATS:
        raise ModelError(
            f"{module.folder} stores its token vectors as {header[name]['dtype']}: save them as "
            "float32 or float16"
        )
    return name, header[name]


def read_table(module: Module) -> StaticTable:
    """The token vectors of a StaticEmbedding module. Raises ModelError where they are damaged."""
    name, _ = table_entry(module)
    tensors = map_tensors(module.weights)
    table = StaticTable(rows=tensors[name])
    if name == "embeddings":
        places = map_integers(module.weights).get("mapping")
        table = StaticTable(rows=table.rows, places=places, weights=tensors.get("weights"))
    places, last = table.places, len(table.rows) - 1
    if places is not None and (places.ndim != 1 or ((places < 0) | (places > last)).any()):
        raise ModelError(f"{module.folder}: its mapping names rows that are not there")
    if table.weights is not None and table.weights.shape != (table.tokens,):
        raise ModelError(
            f"{module.folder} has weights of shape {table.weights.shape} for {table.tokens} tokens"
        )
    return table
