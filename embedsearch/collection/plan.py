"""What a sync has to do, found by comparing names, sizes and times without opening a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType

from sqlite_utils import Database

from embedsearch.errors import InputError, NotFoundError
from embedsearch.store.sources import Source, all_sources
from embedsearch.text.files import Listing, SourceFile, glob_matcher, list_files, printable
from embedsearch.text.readers.content import size
from embedsearch.text.words import counted
from embedsearch.types import Skipped

OWN_FOLDER = "the collection itself"
SAME_NAME = "another file's name reads the same, and was taken; rename one of them"
"""A file name's bytes that are not UTF-8 are written out, and there may be a file called so."""


@dataclass(frozen=True, kw_only=True)
class SyncConfig:
    """What a sync reads and removes.

    `glob` narrows the files of a folder (`**/*.md`). `prune` removes the documents of files that
    are gone. `dry_run` tells what would be done and writes nothing. `max_document_mb` bounds one
    document, in MiB of what it expands to.
    """

    glob: str | None = None
    prune: bool = True
    dry_run: bool = False
    max_document_mb: int = 32

    def __post_init__(self) -> None:
        if type(self.max_document_mb) is not int or self.max_document_mb < 1:
            raise InputError(
                f"max_document_mb must be a whole number from 1 on, not {self.max_document_mb!r}"
            )
        if self.glob == "":
            raise InputError("glob is empty; leave it out to take every file")
        if not isinstance(self.glob, (str, NoneType)):
            raise InputError(f"glob is a pattern such as '**/*.md', not {self.glob!r}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Files to read, by their name in the collection, and files that are gone.

    `unchanged` counts the documents of files that need not be read, `files` all files found.
    """

    changed: Mapping[str, SourceFile]
    known: Mapping[str, Source]
    gone: tuple[Source, ...]
    unchanged: int
    skipped: tuple[Skipped, ...]
    files: int


def source_key(path: Path, base: Path) -> str:
    """A file's name in the collection: relative to `base` when it lies below it, else whole."""
    named = path.relative_to(base) if path.is_relative_to(base) else path
    return printable(named.as_posix())


def plan_sync(
    db: Database, roots: Sequence[Path], config: SyncConfig, *, base: Path, exclude: Path
) -> Plan:
    """Compares the files under `roots` with those the collection knows.

    Args:
        base: files below it are named relative to it, others by their whole path.
        exclude: the collection's own folder.
    """
    known = all_sources(db)
    try:
        listing = list_files(roots, glob=config.glob, exclude=[exclude])
    except NotFoundError as error:
        raise NotFoundError(f"{error}{_left_of(known, roots, base)}") from None
    changed, present, unchanged = {}, set(), 0
    skipped = [
        replace(entry, reason=OWN_FOLDER) if entry.reason == "excluded" else entry
        for entry in listing.skipped
    ]
    for file in listing.files:
        key = source_key(file.path, base)
        if key in present:
            skipped.append(Skipped(path=key, reason=SAME_NAME))
            continue
        present.add(key)
        source = known.get(key)
        stamp = (file.size, file.mtime_ns)
        if source and (source.size, source.mtime_ns) == stamp and not _fits_now(source, config):
            unchanged += source.documents
            if source.problem:
                skipped.append(Skipped(path=key, reason=source.problem))
        else:
            changed[key] = file
    gone = [
        source
        for key, source in known.items()
        if key not in present and _in_scope(base / key, roots, listing, config.glob)
    ]
    return Plan(
        changed=changed,
        known=known,
        gone=tuple(gone) if config.prune else (),
        unchanged=unchanged,
        skipped=tuple(skipped),
        files=len(listing.files),
    )


def _fits_now(source: Source, config: SyncConfig) -> bool:
    """Whether the file was too large, and the bound is another one now."""
    bound = size(config.max_document_mb * 2**20)
    problem = source.problem or ""
    return "larger than " in problem and not problem.endswith(f"larger than {bound}")


def _left_of(known: Mapping[str, Source], roots: Sequence[Path], base: Path) -> str:
    """How to take out what there is of the first path that is gone: a disk that is not mounted must
    not empty a collection by itself."""
    root = next(root for root in roots if not root.exists()).absolute()
    documents = sum(
        source.documents for key, source in known.items() if (base / key).is_relative_to(root)
    )
    if not documents:
        return ""
    return (
        f"; the collection has {counted(documents, 'document')} of it: `embedsearch delete` takes "
        "out what there is, and so does an empty folder there when it is indexed"
    )


def _in_scope(path: Path, roots: Sequence[Path], listing: Listing, glob: str | None) -> bool:
    """Whether the walk would have come upon this file, were it still there."""
    if any(path.is_relative_to(folder) for folder in listing.unreadable_dirs):
        return False
    for root in (root.resolve() for root in roots):
        if path.is_relative_to(root) and path != root:
            return glob_matcher(glob)(path.relative_to(root).as_posix())
    return False
