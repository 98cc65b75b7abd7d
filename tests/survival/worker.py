"""Does jobs on a collection in processes of their own, which can be killed.

Reads a job a line from stdin and forks. The child tells its process id on stdout, then what came of
the job; the parent tells its exit status, and waits for another line before it lets go of the id.
Everything is imported before, so a child begins with the job at once.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import embedsearch.collection.reindex
import embedsearch.collection.retrieval
import embedsearch.collection.view  # noqa: F401  (loaded here, not in every child)
from embedsearch.collection.collection import Collection
from embedsearch.collection.export import export_documents
from embedsearch.errors import EmbedSearchError
from tests.fake_encoder import FakeEncoder
from tests.survival.together import read, write

Tell = Callable[..., None]

_connect = sqlite3.connect
_CHANGING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _tell(pid=os.getpid())
            os._exit(_child(job))
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        _tell(done=True)
        sys.stdin.readline()
        _tell(status=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _tell(**news: Any) -> None:
    os.write(sys.stdout.fileno(), (json.dumps(news) + "\n").encode())


def _child(job: dict[str, Any]) -> int:
    steps = count_steps(job["die_at"]) if "die_at" in job else None
    try:
        result = ACTIONS[job["action"]](job)
    except EmbedSearchError as error:
        _tell(error=type(error).__name__, message=str(error))
        return 2
    except BaseException:
        traceback.print_exc()
        return 70
    _tell(result=result, steps=next(steps) - 1 if steps else 0)
    return 0


def count_steps(last: int) -> itertools.count[int]:
    """Counts SQL statements and changes of files; at the one numbered `last` the process dies."""
    steps = itertools.count(1)

    def step(_statement: str = "") -> None:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGING or (event == "open" and _writes(arguments[2])):
            step()

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        conn = _connect(*arguments, **options)
        conn.set_trace_callback(step)
        return conn

    sys.addaudithook(hook)
    sqlite3.connect = connect
    return steps


def _writes(flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _open(job: dict[str, Any], **options: bool) -> Collection:
    encoder = FakeEncoder(seed=job.get("seed", 0), delay=job.get("delay", 0.0))
    return Collection.open(job["folder"], model=encoder, **options)


def _sync(job: dict[str, Any]) -> Any:
    with _open(job) as collection:
        report = collection.sync([job["docs"]])
    return [report.added, report.changed, report.removed, report.unchanged]


def _delete(job: dict[str, Any]) -> Any:
    with _open(job) as collection:
        return collection.delete(job["ids"])


def _reindex(job: dict[str, Any]) -> Any:
    with Collection.open(job["folder"]) as collection:
        encoder = FakeEncoder(seed=job["seed"], delay=job.get("delay", 0.0))
        return collection.reindex(model=encoder).chunks


def _vacuum(job: dict[str, Any]) -> Any:
    with _open(job) as collection:
        return collection.vacuum()


def _search(job: dict[str, Any]) -> Any:
    with _open(job, create=False, read_only=job.get("read_only", False)) as collection:
        found = collection.search_batch(job["queries"], 5, mode=job.get("mode", "hybrid"))
    return [[(hit.document_id, hit.score, hit.text) for hit in hits] for hits in found]


def _export(job: dict[str, Any]) -> Any:
    with _open(job, create=False, read_only=True) as collection:
        return export_documents(collection, Path(job["out"]))


ACTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "sync": _sync,
    "delete": _delete,
    "reindex": _reindex,
    "vacuum": _vacuum,
    "search": _search,
    "export": _export,
    "write": write,
    "read": read,
}

if __name__ == "__main__":
    main()
