"""Which files of folders are to be read: walking, .gitignore, links, and what is passed over."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from embedsearch.errors import InputError, NotFoundError
from embedsearch.text.gitignore import Rules, inherited_rules, is_ignored, read_rules
from embedsearch.text.suffixes import binary_suffix
from embedsearch.types import Skipped


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file to be read. `path` is absolute; links below the root keep the name they have there."""

    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What was found, ordered by the parts of the path. A folder passed over is one entry.

    Below an unreadable folder nothing is known: that a file is not listed does not mean that it is
    gone.
    """

    files: tuple[SourceFile, ...]
    skipped: tuple[Skipped, ...]
    unreadable_dirs: tuple[Path, ...]


def list_files(
    roots: Sequence[Path], *, glob: str | None = None, exclude: Sequence[Path] = ()
) -> Listing:
    """The files under `roots` (files or folders), without opening any but .gitignore files.

    `glob` is a .gitignore pattern on the path below the root (`*.md` at any depth, `docs/**/*.md`);
    files that it does not name are left out silently. A file that is itself a root is taken even
    when it is hidden, ignored or not named by `glob`. Passed over, with a reason: hidden files and
    folders, what .gitignore names, `exclude`, binary files by their suffix, broken links, folders
    reached a second time through a link, and what is neither file nor folder.

    NotFoundError for a root that does not exist, InputError for a `glob` that is no pattern.
    """
    paths = tuple(dict.fromkeys(map(_absolute, roots)))
    walk = _Walk(
        matches=glob_matcher(glob), excluded=_identities(exclude), roots=frozenset(map(str, paths))
    )
    for folder in [found for root in paths if (found := walk.root(root))]:
        walk.tree(folder)
    # Links to folders come last, so that a folder is named by its own path where it has one.
    while walk.links:
        link = walk.links.popleft()
        if walk.first_visit(link):
            walk.tree(link)
    return Listing(
        files=tuple(sorted(walk.files.values(), key=lambda file: file.path.parts)),
        skipped=tuple(
            Skipped(path=printable(path), reason=walk.skipped[path])
            for path in sorted(walk.skipped, key=lambda path: Path(path).parts)
        ),
        unreadable_dirs=tuple(sorted(set(walk.unreadable), key=lambda path: path.parts)),
    )


def printable(path: str | os.PathLike[str]) -> str:
    r"""A path as valid Unicode: bytes of a file name that are not UTF-8 become `\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


_Identity = tuple[int, int]
"""Device and inode: the same for all paths to one folder."""


@dataclass(frozen=True, kw_only=True)
class _Folder:
    path: str
    relative: str
    """Path below the root, with `/`; "" or ending in `/`."""
    rules: tuple[Rules, ...]
    identity: _Identity


@dataclass(kw_only=True)
class _Walk:
    matches: Callable[[str], bool]
    excluded: set[_Identity]
    roots: frozenset[str]
    files: dict[str, SourceFile] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unreadable: list[Path] = field(default_factory=list)
    links: deque[_Folder] = field(default_factory=deque)
    seen: dict[_Identity, str] = field(default_factory=dict)
    """The path by which each folder is known. Overlapping roots walk it again under that path."""

    def root(self, root: Path) -> _Folder | None:
        """The folder to walk; a root that is a file is dealt with here."""
        try:
            status = root.stat()
        except PermissionError as error:
            self._unreadable(str(root), error)
            return None
        except (OSError, ValueError):  # ValueError: a NUL in the name
            raise NotFoundError(f"no such file or folder: {printable(root)!r}") from None
        if self.excluded & _identities((root, *root.resolve().parents)):
            self.skipped[str(root)] = "excluded"
            return None
        if not stat.S_ISDIR(status.st_mode):
            self._file(str(root), status)
            return None
        folder = _Folder(
            path=str(root), relative="", rules=inherited_rules(root), identity=_identity(status)
        )
        self.seen.setdefault(folder.identity, folder.path)
        return folder

    def tree(self, top: _Folder) -> None:
        pending = [top]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(folder.path) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError as error:
                self._unreadable(folder.path, error)
                continue
            rules = self._rules(folder, {entry.name for entry in entries})
            for entry in entries:
                below = self._entry(entry, folder.relative + entry.name, rules)
                if below and entry.is_symlink():
                    self.links.append(below)
                elif below and self.first_visit(below):
                    pending.append(below)

    def _rules(self, folder: _Folder, names: set[str]) -> tuple[Rules, ...]:
        # A repository inside another one does not obey the outer one's rules.
        above = () if ".git" in names else folder.rules
        if ".gitignore" not in names:
            return above
        try:
            return (*above, read_rules(folder.path))
        except OSError as error:
            path = str(Path(folder.path, ".gitignore"))
            self.skipped[path] = f"{_reason(error)}: its rules are not applied"
            return above

    def _entry(
        self, entry: os.DirEntry[str], relative: str, rules: tuple[Rules, ...]
    ) -> _Folder | None:
        """Lists or passes over one entry; the folder to walk if it is one."""
        path = entry.path
        try:
            status = Path(path).stat()  # on Windows entry.stat() does not tell the identity
        except OSError as error:
            self._failed(entry, relative, error)
            return None
        is_folder = stat.S_ISDIR(status.st_mode)
        if not is_folder and not self.matches(relative):
            return None
        reason = ""
        if _identity(status) in self.excluded:
            reason = "excluded"
        elif entry.name.startswith("."):
            reason = "hidden"
        elif is_ignored(rules, path, is_folder):
            reason = "named in .gitignore"
        elif is_folder:
            return _Folder(
                path=path, relative=f"{relative}/", rules=rules, identity=_identity(status)
            )
        else:
            self._file(path, status)
        if reason and path not in self.roots:
            self.skipped.setdefault(path, reason)
        return None

    def _file(self, path: str, status: os.stat_result) -> None:
        suffix = binary_suffix(path)
        if not stat.S_ISREG(status.st_mode):
            self.skipped[path] = "neither a file nor a folder"
        elif suffix:
            self.skipped[path] = f"binary file ({suffix})"
        else:
            self.files[path] = SourceFile(
                path=Path(path), size=status.st_size, mtime_ns=status.st_mtime_ns
            )

    def first_visit(self, folder: _Folder) -> bool:
        known = self.seen.setdefault(folder.identity, folder.path)
        if known != folder.path:
            self.skipped[folder.path] = f"the same folder as {printable(known)}"
        return known == folder.path

    def _failed(self, entry: os.DirEntry[str], relative: str, error: OSError) -> None:
        if not self.matches(relative):
            return
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            gone = "broken link" if entry.is_symlink() else "vanished while the folder was read"
            self.skipped[entry.path] = gone
        elif error.errno == errno.ELOOP:
            self.skipped[entry.path] = "link that leads to itself"
        elif entry.is_symlink():  # nothing is known of what it leads to; its own folder is fine
            self.unreadable.append(Path(entry.path))
            self.skipped[entry.path] = _reason(error)
        else:
            self._unreadable(str(Path(entry.path).parent), error)
            self.skipped[entry.path] = _reason(error)

    def _unreadable(self, folder: str, error: OSError) -> None:
        self.unreadable.append(Path(folder))
        self.skipped[folder] = f"folder cannot be read: {_reason(error)}"


def glob_matcher(glob: str | None) -> Callable[[str], bool]:
    """Whether `list_files` would take a file, by its path below the root."""
    if glob is None:
        return lambda _relative: True
    from pathspec import GitIgnoreSpec

    pattern = glob.removeprefix("./")
    if pattern.startswith(("!", "#")):
        pattern = "\\" + pattern
    try:
        spec = GitIgnoreSpec.from_lines([pattern])
    except (ValueError, re.error):
        spec = GitIgnoreSpec([])
    if not any(found.include for found in spec.patterns):
        raise InputError(f"glob {glob!r} is no pattern; write for instance '**/*.md'")
    return spec.match_file


def _absolute(root: Path) -> Path:
    """A file keeps its own name below the resolved folder: a link may carry the suffix."""
    root = Path(root).absolute()
    try:
        return root.resolve() if root.is_dir() else root.parent.resolve() / root.name
    except (OSError, ValueError, RuntimeError):
        return root


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _identities(paths: Iterable[Path]) -> set[_Identity]:
    return {_identity(Path(path).stat()) for path in paths if Path(path).exists()}


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
