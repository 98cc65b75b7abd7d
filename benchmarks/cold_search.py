"""What one search costs from a standing start, beside `import sentence_transformers`.

A collection of about 10,000 chunks (scifact), made once. Then by turns, each a new process: a
search with the defaults for another question, `status`, and `python -c "import
sentence_transformers"`, which is what a search through that library waits for before it has loaded
a model. Files are in the operating system's cache for all of them. Memory is the peak resident size
of the process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from common import CACHE, CLI, Bar, data_folder, parser, report, tell

IMPORT = [sys.executable, "-c", "import sentence_transformers"]
MOST_RATIO = 0.3
MOST_MEGABYTES = 500.0


def main() -> int:
    options = _options()
    from embedsearch.collection.collection import Collection
    from embedsearch.evaluation.beir import read_queries
    from embedsearch.evaluation.search import EvaluationConfig, evaluate_search

    if not (options.cache / "collection.sqlite3").exists():
        tell("indexing scifact")
        evaluate_search(data_folder() / "scifact", EvaluationConfig(), db=options.cache)
    with Collection.open(options.cache, read_only=True) as collection:
        chunks = collection.status().chunks
    questions = list(read_queries(data_folder() / "scifact", lambda *_: None).values())
    found = _measure(options, questions)
    imported = found["import sentence_transformers"]
    results: dict[str, Any] = {
        "collection": {"chunks": chunks},
        **{name: _summary(runs, imported) for name, runs in found.items()},
    }
    search = results["search"]
    bars = [
        Bar(
            claim="a cold search, in times of importing sentence_transformers",
            value=search["ratio"],
            limit=MOST_RATIO,
            at_most=True,
        ),
        Bar(
            claim="peak memory of a cold search, MB",
            value=search["peak_mb"],
            limit=MOST_MEGABYTES,
            at_most=True,
        ),
    ]
    return report("cold_search", options, results, bars)


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--cache", type=Path, default=CACHE / "cold_search", metavar="DIR")
    return options.parse_args()


Run = tuple[float, float]
"""Seconds and megabytes."""


def _measure(options: argparse.Namespace, questions: list[str]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for number in range(options.rounds + 1):
        question = questions[number % len(questions)]
        search = [*CLI, "search", question, "--db", str(options.cache), "--json"]
        commands = {
            "search": search,
            "keyword search": [*search, "--mode", "keyword"],
            "status": [*CLI, "status", "--db", str(options.cache)],
            "import sentence_transformers": IMPORT,
        }
        for name, command in commands.items():
            run = _run(command)
            if number:  # the first round fills the caches
                found.setdefault(name, []).append(run)
    return found


def _run(command: list[str]) -> Run:
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode not in (0, 1):
        sys.exit(f"{command} ended with {process.returncode}")
    return seconds, usage.ru_maxrss / 1024


def _summary(runs: list[Run], imported: list[Run]) -> dict[str, float]:
    return {
        "seconds": median(run[0] for run in runs),
        "ratio": median(a[0] / b[0] for a, b in zip(runs, imported, strict=True)),
        "peak_mb": median(run[1] for run in runs),
    }


if __name__ == "__main__":
    raise SystemExit(main())
