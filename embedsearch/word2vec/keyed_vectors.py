"""Keys and their vectors: neighbours, similarities, analogies, saving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.errors import InputError, NotFoundError
from embedsearch.word2vec.spelling import nearest_spellings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.types import Vectors
    from embedsearch.word2vec.vocabulary import Counts

Term = str | tuple[str, float]
"""A key, or a key with a weight."""

_CHUNK_ROWS = 1 << 16


class KeyedVectors:
    """A float32 matrix of shape (n, vector_size), not normalised, with a key for each row.

    Attributes:
        keys: the keys in the order of the rows; after training the most frequent word is first.
        vectors: the matrix; after `load` read-only and mapped from the file.
        counts: int64 of shape (n,), how often each key was seen, or None.
        output: the second matrix of the training, of the same shape, or None: training goes on
            from it.
        losses: the mean loss of each epoch of the training.
    """

    def __init__(
        self,
        keys: Sequence[str],
        vectors: Vectors,
        *,
        counts: Counts | None = None,
        output: Vectors | None = None,
        losses: Sequence[float] = (),
    ) -> None:
        """Raises InputError for keys and vectors that do not go together."""
        self.keys = list(keys)
        self.vectors = vectors
        self.counts = counts
        self.output = output
        self.losses = tuple(losses)
        _check(self)

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: object) -> bool:
        return key in self.key_to_index

    def __getitem__(self, key: str) -> NDArray[np.float32]:
        """The vector of a key, shape (vector_size,). Raises NotFoundError."""
        vector: NDArray[np.float32] = self.vectors[self.index_of(key)]
        return vector

    def __repr__(self) -> str:
        return f"KeyedVectors({len(self):,} keys, vector_size={self.vector_size})"

    @property
    def vector_size(self) -> int:
        return int(self.vectors.shape[1])

    @cached_property
    def key_to_index(self) -> Mapping[str, int]:
        """The row of each key."""
        return {key: row for row, key in enumerate(self.keys)}

    @cached_property
    def norms(self) -> NDArray[np.float32]:
        """The length of each vector, shape (n,); 1 for a vector of zeros."""
        norms = np.empty(len(self), np.float32)
        for at in range(0, len(self), _CHUNK_ROWS):
            norms[at : at + _CHUNK_ROWS] = np.linalg.norm(
                self.vectors[at : at + _CHUNK_ROWS], axis=1
            )
        norms[norms == 0] = 1
        return norms

    def index_of(self, key: str) -> int:
        """The row of a key. Raises NotFoundError, with keys that are spelt alike, InputError for
        what is no string."""
        if not isinstance(key, str):
            raise InputError(f"a key is a string, not {type(key).__name__} {key!r}")
        found = self.key_to_index.get(key)
        if found is None:
            near = nearest_spellings(key, self.keys)
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise NotFoundError(f"{key!r} is not among the {len(self):,} keys{hint}")
        return found

    def similarity(self, one: str, other: str) -> float:
        """The cosine of two keys. Raises NotFoundError."""
        a, b = self.index_of(one), self.index_of(other)
        product = float(self.vectors[a] @ self.vectors[b])
        return product / (float(self.norms[a]) * float(self.norms[b]))

    def most_similar(
        self,
        positive: Term | Sequence[Term] = (),
        negative: Term | Sequence[Term] = (),
        topn: int = 10,
    ) -> list[tuple[str, float]]:
        """The keys nearest to a sum of unit vectors, best first, with their cosine.

        `most_similar(positive=["king", "woman"], negative=["man"])` solves the analogy man : king,
        woman : ? (3CosAdd, Mikolov et al. 2013). The keys given are left out. A term may carry a
        weight: ("king", 0.5).

        Raises NotFoundError for a key that is not there, InputError where nothing is given.
        """
        query, rows = self.sum_of(positive, negative)
        return self.nearest(query, topn, exclude=rows)

    def sum_of(
        self, positive: Term | Sequence[Term] = (), negative: Term | Sequence[Term] = ()
    ) -> tuple[NDArray[np.float32], list[int]]:
        """The sum of the keys' unit vectors, shape (vector_size,), and the rows of the keys.

        Raises as `most_similar`.
        """
        terms = [(*_weighted(term), 1.0) for term in _terms(positive)]
        terms += [(*_weighted(term), -1.0) for term in _terms(negative)]
        if not terms:
            raise InputError("most_similar needs at least one positive or negative key")
        rows = [self.index_of(key) for key, _, _ in terms]
        weights = np.array([weight * sign for _, weight, sign in terms], np.float32)
        return weights @ (self.vectors[rows] / self.norms[rows, None]), rows

    def nearest(
        self, vector: NDArray[np.float32], topn: int = 10, *, exclude: Sequence[int] = ()
    ) -> list[tuple[str, float]]:
        """The keys nearest to a vector, best first, with their cosine; equal ones in row order.

        The search is exact. `exclude` are rows to leave out. Raises InputError.
        """
        query = self.checked_query(vector, topn)
        scores = (self.vectors @ query) / (self.norms * np.linalg.norm(query))
        scores[list(exclude)] = -np.inf
        count = min(topn, len(self) - len(set(exclude)))
        return [(self.keys[row], float(scores[row])) for row in best_rows(scores, count)]

    def checked_query(self, vector: NDArray[np.float32], topn: int) -> NDArray[np.float32]:
        """The vector as float32. InputError for one that cannot be searched for, or for `topn`."""
        query = np.asarray(vector, np.float32)
        if query.shape != (self.vector_size,) or not np.isfinite(query).all():
            raise InputError(
                f"a vector of {self.vector_size} finite numbers is needed, not one of shape "
                f"{query.shape}"
            )
        if not np.linalg.norm(query):
            raise InputError("the sum is zero, and nothing is near to the vector zero")
        if not isinstance(topn, int) or topn < 1:
            raise InputError(f"topn must be a whole number from 1, not {topn!r}")
        return query

    def doesnt_match(self, keys: Sequence[str]) -> str:
        """The key that is farthest from the mean of all. Raises NotFoundError, InputError."""
        if isinstance(keys, str) or len(keys) < 2:
            raise InputError(f"doesnt_match needs two keys or more, not {keys!r}")
        rows = [self.index_of(key) for key in keys]
        units = self.vectors[rows] / self.norms[rows, None]
        return keys[int(np.argmin(units @ units.mean(axis=0)))]

    def save(self, folder: str | Path) -> None:
        """Writes `vectors.json`, `vectors.safetensors` and, where there is one, the second matrix.

        Waits while another saves to the folder. Raises LockedError where that takes long,
        StorageError where the disk is full, read-only or failing.
        """
        from embedsearch.word2vec.folder import save_folder

        save_folder(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> KeyedVectors:
        """Opens what `save` wrote: the matrices are mapped, and read as they are needed.

        Raises NotFoundError, IndexFileError for files that are damaged or belong to different
        savings.
        """
        from embedsearch.word2vec.folder import load_folder

        return load_folder(Path(folder))

    def save_word2vec_format(self, path: str | Path, *, binary: bool = False) -> None:
        """Writes the text or binary format of word2vec.c, which gensim and fastText read.

        A `path` that ends in `.gz` is packed, as gensim expects of such a name. Raises InputError
        for a key with white space, StorageError.
        """
        from embedsearch.word2vec.formats import write_vectors

        write_vectors(self, Path(path), binary=binary)

    @classmethod
    def load_word2vec_format(
        cls, path: str | Path, *, binary: bool | None = None, limit: int | None = None
    ) -> KeyedVectors:
        """Reads the text or binary format of word2vec.c, `.gz` too; at most `limit` vectors.

        GloVe's files, text without the first line, are read as well. `binary` None looks at the
        file. Raises NotFoundError, IndexFileError (with the line or the record) for a file that is
        cut short, whose header lies, or that is something else.
        """
        from embedsearch.word2vec.formats import read_vectors

        return read_vectors(Path(path), binary=binary, limit=limit)

    def to_gensim(self) -> Any:
        """The same as `gensim.models.KeyedVectors`, with counts; the matrix is copied."""
        from embedsearch.word2vec.interchange import to_gensim

        return to_gensim(self)

    @classmethod
    def from_gensim(cls, model: Any) -> KeyedVectors:
        """Takes `gensim.models.KeyedVectors`, or a model that has them as `.wv`; copied.

        The second matrix of a `Word2Vec` with negative sampling comes along, so that training can
        go on. Raises InputError for anything else.
        """
        from embedsearch.word2vec.interchange import from_gensim

        return from_gensim(model)


def best_rows(scores: NDArray[Any], count: int) -> list[int]:
    """The `count` rows with the highest scores, best first, equal ones in order of rows."""
    if count <= 0:
        return []
    if count < len(scores):
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        rows = np.flatnonzero(scores >= least)
    else:
        rows = np.arange(len(scores))
    order = np.argsort(-scores[rows], kind="stable")[:count]
    return [int(row) for row in rows[order]]


def _check(found: KeyedVectors) -> None:
    for key in found.keys:
        if not isinstance(key, str):
            raise InputError(f"a key is a string, not {type(key).__name__} {key!r}: use str(…)")
    shape = (len(found.keys), *np.shape(found.vectors)[1:])
    for name, matrix in (("vectors", found.vectors), ("output", found.output)):
        if matrix is None:
            continue
        if not isinstance(matrix, np.ndarray) or matrix.ndim != 2:
            raise InputError(
                f"{name} must be a float32 array with a row for each key, not "
                f"{type(matrix).__name__} of shape {np.shape(matrix)}"
            )
        if matrix.dtype != np.float32 or matrix.shape != shape or not matrix.shape[1]:
            raise InputError(
                f"{name} must be float32 with a row for each of the {len(found.keys)} keys, not "
                f"{matrix.dtype} of shape {matrix.shape}"
            )
    counts = found.counts
    if (
        counts is not None
        and np.shape(counts if isinstance(counts, np.ndarray) else 0) != shape[:1]
    ):
        raise InputError(
            f"counts must be an array of {len(found.keys)}, one for each key, not "
            f"{type(counts).__name__} of shape {np.shape(counts)}"
        )
    if len(set(found.keys)) != len(found.keys):
        seen: set[str] = set()
        twice = next(key for key in found.keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InputError(f"the key {twice!r} stands twice")


def _terms(given: Term | Sequence[Term]) -> Sequence[Term]:
    if isinstance(given, str):
        return [given]
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Real):
        return [given]
    return given


def _weighted(term: Term) -> tuple[str, float]:
    if isinstance(term, str):
        return term, 1.0
    if isinstance(term, tuple) and len(term) == 2 and isinstance(term[1], Real):
        return term[0], float(term[1])
    raise InputError(
        f"a term is a key or (key, weight), not {term!r}; nearest() searches for any vector"
    )
