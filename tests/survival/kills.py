"""Kill a process at any moment, look at what it left, do the job again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedsearch.collection.collection import Collection
from tests.fake_encoder import FakeEncoder
from tests.survival.corpus import QUERIES, change_corpus, write_corpus
from tests.survival.processes import Outcome, Workers
from tests.survival.state import (
    SearchResults,
    State,
    check_health,
    check_search,
    read_state,
    search_all,
)

DELAY = 0.02
"""Seconds that the encoder takes for a batch: kills land in the encoder as well."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A job that is killed. `before` are the jobs that lead up to it.

    `seeds` are those of the models that the collection may have afterwards; `atomic` says that the
    job is done in one transaction, so that its documents are all as before or all as after.
    """

    name: str
    job: dict[str, Any]
    before: tuple[dict[str, Any] | Callable[[Path], None], ...] = ()
    seeds: tuple[int, ...] = (0,)
    atomic: bool = False


_INDEX = {"action": "sync", "delay": DELAY}
_DELETED = [*(f"row-{number}" for number in range(0, 400, 3)), "docs/a/000.txt", "docs/b/001.md"]
SCENARIOS = (
    Scenario(name="index", job=_INDEX),
    Scenario(name="update", job=_INDEX, before=(_INDEX, change_corpus)),
    Scenario(
        name="delete", job={"action": "delete", "ids": _DELETED}, before=(_INDEX,), atomic=True
    ),
    Scenario(
        name="reindex",
        job={"action": "reindex", "seed": 1, "delay": DELAY},
        before=(_INDEX,),
        seeds=(0, 1),
        atomic=True,
    ),
    Scenario(
        name="vacuum",
        job={"action": "vacuum"},
        before=(_INDEX, {"action": "delete", "ids": _DELETED}),
        atomic=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is there before the job, and what it makes when nothing disturbs it."""

    before: State
    after: State
    results: SearchResults
    outcome: Outcome


class Killing:
    """Runs one scenario over and over, each time on a fresh copy, each time killed."""

    def __init__(
        self, scenario: Scenario, home: Path, workers: Workers, *, files: int = 80, rows: int = 400
    ) -> None:
        self.scenario = scenario
        self._home = home / scenario.name
        self._workers = workers
        template = self._home / "template"
        write_corpus(template / "docs", files=files, rows=rows)
        for step in scenario.before:
            if callable(step):
                step(template / "docs")
            else:
                assert self._run(template, step).status == 0
        self.expected = self._undisturbed()

    def _undisturbed(self) -> Expected:
        before = read_state(self._copy() / "c.es")
        place = self._copy()  # untouched: reading may leave a step less or more to do
        outcome = self._run(place, self.scenario.job | {"die_at": 0})
        assert outcome.status == 0, outcome
        return Expected(
            before=before,
            after=read_state(place / "c.es"),
            results=search_all(place / "c.es", QUERIES, self.scenario.seeds[-1]),
            outcome=outcome,
        )

    def kill_at_random(self, random_: random.Random) -> bool:
        """One run, killed at some moment; False when it was done before that."""
        place = self._copy()
        seen: list[State] = []
        outcome = self._run(
            place,
            self.scenario.job,
            kill_after=random_.uniform(0, self.expected.outcome.seconds),
            before_kill=lambda: seen.append(read_state(place / "c.es")),
        )
        self._check(place, seen[0])
        return outcome.killed

    def kill_at_step(self, step: int) -> None:
        """One run, killed just before an SQL statement or a change of a file."""
        place = self._copy()
        outcome = self._run(place, self.scenario.job | {"die_at": step})
        assert outcome.killed, outcome
        self._check(place, self.expected.before)

    def steps(self, every: int, first: int = 1) -> Iterator[int]:
        """Numbers of steps to be killed at, evenly over the job."""
        return iter(range(first, self.expected.outcome.steps + 1, every))

    def _copy(self) -> Path:
        place = self._home / "run"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self._home / "template", place)
        return place

    def _run(self, place: Path, job: dict[str, Any], **options: Any) -> Outcome:
        job = {"folder": str(place / "c.es"), "docs": str(place / "docs")} | job
        return self._workers.run(job, **options)

    def _check(self, place: Path, seen: State) -> None:
        folder = place / "c.es"
        state = read_state(folder)
        self._check_documents(seen, state)
        seed = self._seed_of(state)
        with Collection.open(folder, model=FakeEncoder(seed=seed)) as collection:
            assert len(collection) == len(state)
        check_health(folder, seed)
        check_search(folder, state, QUERIES[:2], seed)
        again = self._run(place, self.scenario.job)
        assert again.status == 0, again
        assert read_state(folder) == self.expected.after
        seed = self.scenario.seeds[-1]
        check_health(folder, seed)
        assert search_all(folder, QUERIES, seed) == self.expected.results

    def _check_documents(self, seen: State, state: State) -> None:
        """Each document is as before or as after, whole; what was seen to be done stays done."""
        before, after = self.expected.before, self.expected.after
        for id_ in before.keys() | after.keys() | state.keys():
            found = state.get(id_)
            assert found in (before.get(id_), after.get(id_)), f"{id_} is half done"
            if seen.get(id_) == after.get(id_):
                assert found == after.get(id_), f"{id_} was committed and is lost"
        if self.scenario.atomic:
            assert state in (before, after)

    def _seed_of(self, state: State) -> int:
        """Which model made the vectors; any will do where there is none."""
        made = {piece.fingerprint for held in state.values() for piece in held.pieces}
        seeds = self.scenario.seeds
        return next(
            (seed for seed in seeds if FakeEncoder(seed=seed).fingerprint in made), seeds[0]
        )
