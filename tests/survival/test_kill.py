"""A process is killed with -9 at any moment; what was committed is there, and the job goes on."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.survival.kills import SCENARIOS, Killing, Scenario
from tests.survival.processes import Workers

KILLS = 3
"""Of each job; `benchmarks/kill.py` does a hundred, and one at every step."""


TRIES = 40
"""Runs more, until one is killed in the middle."""

QUICK = {"delete", "vacuum"}
"""Jobs that may be over before a random moment comes; the steps below hit them for certain."""


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as running:
        yield running


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_killed_at_a_random_moment(scenario: Scenario, workers: Workers, tmp_path) -> None:
    seed = random.randrange(2**32)
    print(f"{scenario.name}: seed {seed}")  # shown when the test fails
    killing = Killing(scenario, tmp_path, workers, files=40, rows=200)
    random_ = random.Random(seed)
    kills = sum(killing.kill_at_random(random_) for _ in range(KILLS))
    if scenario.name in QUICK:
        return
    for _ in range(TRIES):  # a loaded machine may let every run finish first
        if kills:
            return
        kills += killing.kill_at_random(random_)
    pytest.fail("every run was done before it was killed")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_killed_between_two_steps(scenario: Scenario, workers: Workers, tmp_path) -> None:
    """A step is an SQL statement, or a file that is opened for writing, renamed or removed."""
    killing = Killing(scenario, tmp_path, workers, files=4, rows=4)
    every = max(1, killing.expected.outcome.steps // 4)
    first = random.randrange(1, every + 1)
    for step in killing.steps(every, first):
        print(f"{scenario.name}: step {step}")
        killing.kill_at_step(step)
