"""What commands print: JSON for programs, text for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from embedsearch.cli.terminal import megabytes, plain, terminal
from embedsearch.text.skipping import skipped_lines
from embedsearch.text.words import counted
from embedsearch.types import Hit, Skipped, SyncReport

if TYPE_CHECKING:
    from rich.text import Text

    from embedsearch.collection.status import IndexStatus, Status

INDENT = "    "
MAX_WIDTH = 100
"""A passage is set no wider than is good to read."""


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def remark(message: str) -> None:
    """A line on stderr that is no part of the result."""
    print(plain(message), file=sys.stderr)


def remark_nothing(*, is_empty: bool) -> None:
    """That there is no hit; `is_empty` tells whether there could be one."""
    filled = "the collection is empty; `embedsearch index PATH` fills it"
    remark(f"nothing found: {filled}" if is_empty else "nothing found")


def hit_json(hit: Hit) -> dict[str, Any]:
    return {
        "rank": hit.rank,
        "document_id": hit.document_id,
        "score": hit.score,
        "text": hit.text,
        "start": hit.start,
        "end": hit.end,
        "title": hit.title,
        "headings": list(hit.headings),
        "path": hit.path,
        "metadata": dict(hit.metadata),
        "snippet": hit.snippet,
        "highlights": [list(span) for span in hit.highlights],
    }


def print_hits(hits: Sequence[Hit]) -> None:
    """Hits as a person likes to read them: what it is, where it stands, the passage."""
    console = terminal()
    for hit in hits:
        console.print(_heading(hit), soft_wrap=True)
        width = min(console.width, MAX_WIDTH) - len(INDENT)
        for line in _passage(hit).wrap(console, width):
            line.rstrip()
            console.print(INDENT, line, sep="", soft_wrap=True)
        console.print()


def _heading(hit: Hit) -> Text:
    from rich.text import Text

    trail = list(dict.fromkeys(part for part in (hit.title, *hit.headings) if part))
    line = Text(f"{hit.rank:>2}. ", style="bold")
    line.append(plain(" › ".join(trail) or hit.document_id), style="bold cyan")
    line.append(f"  {hit.score:.3f}", style="dim")
    if trail:
        line.append(f"\n{INDENT}{plain(hit.document_id)}", style="dim")
    return line


def _passage(hit: Hit) -> Text:
    from rich.text import Text

    passage, last = Text(), 0
    for start, end in hit.highlights:
        passage.append(_squeezed(hit.snippet[last:start]))
        passage.append(plain(hit.snippet[start:end]), style="bold yellow")
        last = end
    passage.append(_squeezed(hit.snippet[last:]))
    return passage


def _squeezed(text: str) -> str:
    """Runs of white space as one blank, so that a passage reads as prose."""
    blank = " "
    inner = blank.join(plain(part) for part in text.split())
    lead = blank if text[:1].isspace() else ""
    tail = blank if text[-1:].isspace() and inner else ""
    return lead + inner + tail


def print_report(report: SyncReport, *, dry_run: bool = False) -> None:
    """What a sync did, in a few lines."""
    parts = [f"{report.added} added", f"{report.changed} changed", f"{report.removed} removed"]
    parts.append(f"{report.unchanged} unchanged")
    print(("would be: " if dry_run else "") + ", ".join(parts))
    print(
        f"{counted(report.chunks, 'chunk')}, {report.embedded:,} embedded in "
        f"{report.encoder_seconds:,.1f} s of {report.seconds:,.1f} s"
    )
    if report.truncated_tokens:
        print(f"beyond what the model can see: {counted(report.truncated_tokens, 'token')}")


def remark_skipped(skipped: Iterable[Skipped], *, listed: bool = False) -> None:
    """What was passed over; `listed` where the JSON of the command lists it."""
    for line in skipped_lines(skipped, where_all="--json lists them all" if listed else ""):
        remark(line)


def _index_rows(index: IndexStatus) -> dict[str, str]:
    """How an approximate index was built and what it costs; why it will be built again."""
    rows, found = {}, index.measured
    if found and found.queries:
        rows["factory"] = (
            f"{found.factory}, {counted(found.probes, 'probe')}, {found.depth} of the candidates "
            f"for 10 scored exactly, {megabytes(found.bytes)} in memory"
        )
        rows["measured"] = (
            f"recall {found.recall:g} with {found.queries} queries, {found.filtered_recall:g} "
            f"under a filter; {found.search_ms:g} ms a query, exact search {found.exact_ms:g}; "
            f"built in {found.build_seconds:g} s"
        )
    if found and found.note:
        rows["note"] = found.note
    if index.stale:
        rows["stale"] = f"{index.stale}; the next `index` builds it again"
    return rows


def print_status(status: Status) -> None:
    index = status.index
    rows = {
        "documents": f"{status.documents:,}",
        "chunks": f"{status.chunks:,}",
        "model": status.model or "none yet",
        "fingerprint": (status.fingerprint or "none yet")[:16],
        "engine": status.engine or "none: the model is not on this machine",
        "index": f"{index.kind}, {counted(index.vectors, 'vector')}, generation "
        f"{index.generation}, recall {index.recall:g}",
        **_index_rows(index),
        "size": megabytes(status.size_bytes),
    }
    for name, value in rows.items():
        print(f"{name:<12} {plain(value)}")
