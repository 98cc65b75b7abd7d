"""Commands that make, change and look after a collection."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from embedsearch.cli.main import DONE, NOTHING_FOUND, WRONG_USE
from embedsearch.cli.options import (
    DEFAULT_DB,
    Db,
    Device,
    Engine,
    Index,
    Json,
    Model,
    Recall,
    asked_index,
)
from embedsearch.cli.output import (
    print_json,
    print_report,
    print_status,
    remark,
    remark_skipped,
)
from embedsearch.cli.terminal import TerminalProgress, megabytes, plain
from embedsearch.collection.access import leaving_nothing
from embedsearch.collection.collection import Collection
from embedsearch.collection.models import Compute
from embedsearch.collection.plan import OWN_FOLDER, SyncConfig
from embedsearch.text.files import printable
from embedsearch.text.words import counted
from embedsearch.types import SyncReport


def register(app: typer.Typer) -> None:
    app.command()(index)
    app.command()(status)
    app.command()(doctor)
    app.command()(delete)
    app.command()(vacuum)
    app.command()(reindex)
    app.command()(rollback)
    app.command()(export)


def index(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    db: Db = Path(DEFAULT_DB),
    model: Model = None,
    engine: Engine = Compute.engine,
    device: Device = Compute.device,
    glob: Annotated[
        str | None,
        typer.Option(metavar="G", help="Which files of a folder, for instance '**/*.md'."),
    ] = SyncConfig.glob,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune/--no-prune", help="Remove documents of files that are gone or ignored now."
        ),
    ] = SyncConfig.prune,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be done, write nothing.")
    ] = SyncConfig.dry_run,
    recall: Recall = None,
    index_: Index = None,
    max_document_mb: Annotated[
        int, typer.Option(metavar="MB", help="Pass over a document larger than this.")
    ] = SyncConfig.max_document_mb,
    as_json: Json = False,
) -> int:
    """Bring the collection in step with files and folders.

    What did not change is neither read nor embedded again; an interrupted run goes on where it
    stopped. A .jsonl file is one document a line (_id, title, text, metadata).

    Example: embedsearch index docs/ --glob '**/*.md'
    """
    config = SyncConfig(glob=glob, prune=prune, dry_run=dry_run, max_document_mb=max_document_mb)
    with (
        leaving_nothing(db, anyway=dry_run),
        TerminalProgress() as progress,
        Collection.open(
            db,
            model=model,
            engine=engine,
            device=device,
            index=asked_index(recall, index_),
        ) as collection,
    ):
        report = collection.sync(paths, config=config, progress=progress)
    if as_json:
        print_json(asdict(report))
    else:
        remark_skipped(report.skipped, listed=True)
        print_report(report, dry_run=dry_run)
    return _exit_code(report)


def _exit_code(report: SyncReport) -> int:
    """Done when there is anything to show for it; else it was bad input, or no input."""
    if report.added or report.changed or report.removed or report.unchanged:
        return DONE
    wrong = any(entry.reason != OWN_FOLDER for entry in report.skipped)
    return WRONG_USE if wrong else NOTHING_FOUND


def status(db: Db = Path(DEFAULT_DB), as_json: Json = False) -> int:
    """Tell what is in the collection.

    Example: embedsearch status --json
    """
    with Collection.open(db, create=False, read_only=True) as collection:
        found = collection.status()
    if as_json:
        print_json(asdict(found))
    else:
        print_status(found)
    return DONE


def doctor(db: Db = Path(DEFAULT_DB), as_json: Json = False) -> int:
    """Check the collection and this installation, and say how to mend what is wrong.

    Exit code 0 when all is well, 1 when not.

    Example: embedsearch doctor
    """
    from embedsearch.collection.health import examine

    checks = examine(db)
    ok = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": ok, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            print(f"{'ok  ' if check.ok else 'FAIL'}  {check.check}: {plain(check.detail)}")
            if not check.ok:
                print(f"      {plain(check.remedy)}")
    return DONE if ok else NOTHING_FOUND


def delete(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of documents.")],
    db: Db = Path(DEFAULT_DB),
    as_json: Json = False,
) -> int:
    """Delete documents. `vacuum` then erases their text from the disk.

    A file that is still there comes back when its folder is indexed again.

    Example: embedsearch delete docs/old.md
    """
    wanted = [printable(id_) for id_ in ids]
    with Collection.open(db, create=False) as collection:
        missing = [id_ for id_ in wanted if id_ not in collection]
        deleted = collection.delete(wanted)
    if as_json:
        print_json({"deleted": deleted})
    else:
        for id_ in missing:
            remark(f"there is no document {id_!r}")
        print(f"{deleted} deleted")
    return DONE if deleted else NOTHING_FOUND


def vacuum(db: Db = Path(DEFAULT_DB), as_json: Json = False) -> int:
    """Erase what was deleted from the disk and free the space.

    Example: embedsearch vacuum
    """
    with Collection.open(db, create=False) as collection:
        freed = collection.vacuum()
    if as_json:
        print_json({"freed_bytes": freed})
    else:
        print(f"{megabytes(freed)} freed")
    return DONE


def reindex(
    db: Db = Path(DEFAULT_DB),
    model: Model = None,
    engine: Engine = Compute.engine,
    device: Device = Compute.device,
    recall: Recall = None,
    index_: Index = None,
    as_json: Json = False,
) -> int:
    """Embed every document anew, usually with another model.

    The new index is built beside the old one, which goes on being searched, and takes its place at
    the end.

    Example: embedsearch reindex --model ./my-model
    """
    with (
        TerminalProgress() as progress,
        Collection.open(
            db,
            create=False,
            engine=engine,
            device=device,
            index=asked_index(recall, index_),
        ) as collection,
    ):
        report = collection.reindex(model=model, progress=progress)
    if as_json:
        print_json(asdict(report))
    else:
        print_report(report)
    return DONE


def rollback(
    db: Db = Path(DEFAULT_DB),
    engine: Engine = Compute.engine,
    device: Device = Compute.device,
    as_json: Json = False,
) -> int:
    """Go back to the model before the last promotion.

    Chunks that both models cut alike are not embedded again. A second rollback undoes the first.

    Example: embedsearch rollback --db notes.es
    """
    with (
        TerminalProgress() as progress,
        Collection.open(db, create=False, engine=engine, device=device) as collection,
    ):
        report = collection.rollback(progress=progress)
    if as_json:
        print_json(asdict(report))
    else:
        print_report(report)
    return DONE


def export(
    db: Db = Path(DEFAULT_DB),
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to; else to stdout.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Write all documents as JSON lines, in the layout that `index` reads.

    With --json they are one JSON list.

    Example: embedsearch export --out backup.jsonl
    """
    from embedsearch.collection.export import document_json, export_documents, write_documents

    with Collection.open(db, create=False, read_only=True) as collection:
        if out is not None:
            written = export_documents(collection, out)
            if as_json:
                print_json({"documents": written, "path": str(out)})
            else:
                remark(f"{counted(written, 'document')} written to {out}")
        elif as_json:
            print_json([document_json(document) for document in collection])
        else:
            write_documents(collection, sys.stdout)
    return DONE
