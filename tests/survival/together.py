"""One process writes, others read at the same time: what each does, and what must be true of it.

Every version of the documents is committed in one transaction. A search may thus see one version
only, and none that is older than one committed before the search began.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

from embedsearch.collection.collection import Collection
from embedsearch.types import Document, Hit, Mode
from tests.fake_encoder import FakeEncoder
from tests.survival.corpus import words
from tests.survival.processes import Outcome, Workers

DOCUMENTS = 40
READERS = 4
COMMON = "harbour"
"""A word that stands in every document, so that a search by words may find any of them."""


def text_of(number: int, version: int) -> str:
    return f"{COMMON} {words(number, 30)} version{version} {words((number, version), 30)}"


def documents(version: int) -> Iterator[Document]:
    """All documents in this version; every one has a number that was not there before."""
    for number in range(DOCUMENTS):
        metadata = {"version": version}
        yield Document(id=f"d{number}", text=text_of(number, version), metadata=metadata)
    yield Document(
        id=f"added{version}", text=text_of(version, version), metadata={"version": version}
    )


def write(job: dict[str, Any]) -> list[tuple[int, float]]:
    """Writes one version after the other, and does what a writer does; returns when each was in."""
    commits = []
    until = time.monotonic() + job["seconds"]
    version = 0
    with Collection.open(job["folder"], model=FakeEncoder()) as collection:
        while time.monotonic() < until:
            version += 1
            collection.upsert(documents(version))
            commits.append((version, time.monotonic()))
            collection.delete([f"added{version - 1}"])
            if version % 8 == 3:
                collection.reindex()
            if version % 8 == 7:
                collection.vacuum()
    return commits


def read(job: dict[str, Any]) -> dict[str, Any]:
    """Searches in all ways; returns when each search began and the version it saw, and remarks."""
    seen: list[tuple[float, int]] = []
    remarks: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: remarks.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("embedsearch").addHandler(handler)
    modes = get_args(Mode)
    until = time.monotonic() + job["seconds"]
    with ExitStack() as stack:
        collection = stack.enter_context(_open(job))
        while time.monotonic() < until:
            if job["reopen"]:
                stack.pop_all().close()
                collection = stack.enter_context(_open(job))
            began = time.monotonic()
            mode: Mode = modes[len(seen) % len(modes)]
            hits = collection.search(f"{COMMON} {words(len(seen) % 7, 4)}", k=100, mode=mode)
            seen.append((began, _version_of(hits, mode)))
    return {"seen": seen, "remarks": remarks}


def _version_of(hits: list[Hit], mode: Mode) -> int:
    """The one version that the hits of a search are of; one added before may not be gone yet."""
    versions = {hit.document_id: int(hit.metadata["version"]) for hit in hits}
    for hit in hits:
        version = versions[hit.document_id]
        added = hit.document_id.startswith("added")
        number = version if added else int(hit.document_id[1:])
        assert hit.text in text_of(number, version), f"{hit.document_id} is torn"
    every = {versions.pop(f"d{number}", -1) for number in range(DOCUMENTS)}
    assert len(every) == 1, f"{mode}: a search saw the versions {every}"
    assert set(versions.values()) <= {max(every), max(every) - 1}
    return max(every)


def _open(job: dict[str, Any]) -> Collection:
    encoder = FakeEncoder()
    return Collection.open(job["folder"], model=encoder, read_only=job["read_only"], create=False)


def run_together(folder: Path, seconds: float) -> dict[str, int]:
    """One writer, four readers, so many seconds; fails on the first thing that is not right."""
    with Collection.open(folder, model=FakeEncoder()) as collection:
        collection.upsert(documents(0))
    with ExitStack() as stack:
        workers = [stack.enter_context(Workers()) for _ in range(1 + READERS)]
        job = {"folder": str(folder), "seconds": seconds}
        workers[0].start(job | {"action": "write"})
        for number, worker in enumerate(workers[1:]):
            worker.start(
                job | {"action": "read", "read_only": number % 2 == 0, "reopen": number >= 2}
            )
        writer, *readers = [worker.finish() for worker in workers]
    return {"commits": len(writer.result or ()), "searches": _check(writer, readers)}


def _check(writer: Outcome, readers: list[Outcome]) -> int:
    assert writer.status == 0, writer
    searches = 0
    for reader in readers:
        assert reader.status == 0, reader
        assert reader.result["remarks"] == []
        _check_order(writer.result, reader.result["seen"])
        searches += len(reader.result["seen"])
    return searches


def _check_order(commits: list[tuple[int, float]], seen: list[tuple[float, int]]) -> None:
    """What was committed when a search began was seen, and time never ran backwards."""
    last = 0
    for began, version in seen:
        committed = max((v for v, at in commits if at <= began), default=0)
        assert version >= committed, f"version {committed} was there, {version} was seen"
        assert version >= last
        last = version
