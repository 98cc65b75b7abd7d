"""Real processes for the tests: run one job in each, kill it when it suits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a process ended: `status` 0, or -9 for one that was killed, 2 for one of our errors."""

    status: int
    result: Any
    error: str
    message: str
    steps: int
    seconds: float

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Workers:
    """Runs jobs one after the other, each in a new process. See `worker.py` for what a job is."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.survival.worker"],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._began = 0.0

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def run(
        self,
        job: dict[str, Any],
        *,
        kill_after: float | None = None,
        before_kill: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Does the job; kills its process after so many seconds, and `before_kill` just before."""
        pid = self.start(job)
        if kill_after is not None:
            time.sleep(kill_after)
            before_kill()
            os.kill(pid, signal.SIGKILL)  # a zombie at worst: `finish` lets go of the id
        return self.finish()

    def start(self, job: dict[str, Any]) -> int:
        """Begins the job and returns the id of its process; `finish` must follow."""
        self._write(json.dumps(job, default=str))
        self._began = time.perf_counter()
        return int(self._read()["pid"])

    def finish(self) -> Outcome:
        """Waits for the process that was started last."""
        news: dict[str, Any] = {}
        while "done" not in news:
            news |= self._read()
        seconds = time.perf_counter() - self._began
        self._write("")
        return Outcome(
            status=self._read()["status"],
            result=news.get("result"),
            error=news.get("error", ""),
            message=news.get("message", ""),
            steps=news.get("steps", 0),
            seconds=seconds,
        )

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the worker is gone"
        return dict(json.loads(line))
