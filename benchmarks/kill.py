"""What a collection is after `kill -9` at random moments of indexing, updating, deleting and more.

Each run does one job on a fresh copy in a process of its own, which is killed. Then the collection
must open, `doctor` must be content, every document must be there whole, as before the job or as
after it, and what a reader saw just before the kill must not be undone; a search must find what
stands in the database; the same job, done again, must end as it does undisturbed.

`--every-step` kills small jobs before each SQL statement and each change of a file in turn.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import Bar, parser, report, tell

from tests.survival.kills import SCENARIOS, Killing
from tests.survival.processes import Workers

Failures = list[dict[str, Any]]


def main() -> int:
    options = _options()
    tell(f"seed {options.seed}")
    failures: Failures = []
    results: dict[str, Any] = {}
    with Workers() as workers, tempfile.TemporaryDirectory() as home:
        share = -(-options.kills // len(SCENARIOS))
        for number, scenario in enumerate(SCENARIOS):
            killing = Killing(scenario, Path(home) / "random", workers)
            random_ = random.Random(options.seed + number)
            results[f"{scenario.name}, random"] = _kill_at_random(killing, share, random_, failures)
        for scenario in SCENARIOS if options.every_step else ():
            killing = Killing(scenario, Path(home) / "steps", workers, files=4, rows=4)
            results[f"{scenario.name}, every step"] = _kill_at_every_step(killing, failures)
    kills = sum(found["kills"] for found in results.values())
    results["failures"] = failures
    bars = [
        Bar(claim="kills", value=kills, limit=options.kills, at_most=False),
        Bar(
            claim="kills after which something was amiss",
            value=len(failures),
            limit=0,
            at_most=True,
        ),
    ]
    return report("kill", options, results, bars)


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--kills", type=int, default=100, help="at random moments")
    options.add_argument("--seed", type=int, default=random.randrange(2**32))
    options.add_argument("--every-step", action="store_true")
    return options.parse_args()


def _kill_at_random(
    killing: Killing, kills: int, random_: random.Random, failures: Failures
) -> dict[str, Any]:
    """Kills until `kills` processes were killed; some are done before."""
    name = killing.scenario.name
    tell(f"{name}: {kills} kills over {killing.expected.outcome.seconds:.2f} s")
    began = time.perf_counter()
    done = killed = 0
    while killed < kills and done < 20 * kills:
        done += 1
        with _noted(failures, job=name, run=done):
            killed += killing.kill_at_random(random_)
    return {"kills": killed, "runs": done, "seconds": round(time.perf_counter() - began, 1)}


def _kill_at_every_step(killing: Killing, failures: Failures) -> dict[str, Any]:
    name = killing.scenario.name
    tell(f"{name}: {killing.expected.outcome.steps} steps")
    began = time.perf_counter()
    steps = list(killing.steps(every=1))
    for step in steps:
        with _noted(failures, job=name, step=step):
            killing.kill_at_step(step)
    return {"kills": len(steps), "seconds": round(time.perf_counter() - began, 1)}


@contextmanager
def _noted(failures: Failures, **where: Any) -> Iterator[None]:
    """What is amiss is noted, and the next run begins."""
    try:
        yield
    except Exception as error:
        message = (str(error) or type(error).__name__).splitlines()[0][:500]
        tell(f"{where}: {message}")
        failures.append({**where, "amiss": message})


if __name__ == "__main__":
    sys.exit(main())
