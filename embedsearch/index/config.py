"""What is asked of an index, and what was chosen, built and measured."""

from __future__ import annotations

from dataclasses import dataclass

from embedsearch.errors import InputError

LEAST_RECALL, MOST_RECALL = 0.5, 1.0


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """What a collection asks of its index.

    `recall` is the share of the 10 true nearest vectors that a search must find: a smaller one is
    faster, 1 is exact search. `factory` is a FAISS factory string to build in place of the
    planner's choice, for instance `IVF1024,PQ192x4fs`, `HNSW32_SQ8` or `Flat`; `auto` leaves the
    choice to the planner. What it finds is always ranked by exact scores.
    """

    recall: float = 0.98
    factory: str = "auto"

    def __post_init__(self) -> None:
        if (
            isinstance(self.recall, bool)
            or not isinstance(self.recall, (int, float))
            or not LEAST_RECALL <= self.recall <= MOST_RECALL
        ):
            raise InputError(
                f"recall must be from {LEAST_RECALL:g} to {MOST_RECALL:g}, not {self.recall!r}"
            )
        if not isinstance(self.factory, str):
            raise InputError(f"the index is a FAISS factory string or `auto`, not {self.factory!r}")
        if not self.factory.strip():
            raise InputError("the index is empty; say `auto`, or a FAISS factory string")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An approximate index as it was built, saved with it.

    `recall` was measured against exact search with `queries` vectors of the collection that took
    no part in the tuning, each without itself, `filtered_recall` under a filter that passes half
    of the vectors. `probes` is how many lists a search looks at on average, or efSearch of a graph
    (0: the kind has neither), `gaps` is what `lists` needs to know for that, `depth` how many
    candidates are scored exactly when 10 are asked for. Times are of one query, in
    milliseconds; `bytes` is what is held in memory, the vectors themselves are mapped.
    """

    asked: IndexConfig
    factory: str
    recall: float
    filtered_recall: float
    queries: int
    probes: int
    depth: int
    search_ms: float
    exact_ms: float
    build_seconds: float
    bytes: int
    note: str = ""
    gaps: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "gaps", tuple(self.gaps))  # JSON has lists
