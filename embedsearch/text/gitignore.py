"""What .gitignore files name, folder by folder, as git reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

NAME = ".gitignore"
_LARGEST = 1 << 20


@dataclass(frozen=True, kw_only=True)
class _Rule:
    pattern: GitIgnoreSpecPattern
    anchored: bool
    """It has a slash before its end, so it is matched against the whole path, not the name."""
    open_end: bool
    """It ends in `**`."""

    def names(self, path: str) -> bool:
        """Whether the pattern names this very path, not merely a folder above it."""
        if not self.anchored:
            folder_mark = "/" if path.endswith("/") else ""
            path = path.rstrip("/").rpartition("/")[2] + folder_mark
            return self.pattern.match_file(path) is not None
        if self.pattern.match_file(path) is None:
            return False
        above = path.rstrip("/").rpartition("/")[0]
        return self.open_end or not above or self.pattern.match_file(above + "/") is None


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The patterns of one folder's .gitignore."""

    folder: str
    rules: tuple[_Rule, ...]

    def verdict(self, path: str, is_folder: bool) -> bool | None:
        """True: ignored, False: taken back by `!`, None: not named. The last pattern wins."""
        relative = path[len(self.folder.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
        if is_folder:
            relative += "/"
        for rule in reversed(self.rules):
            if rule.names(relative):
                return rule.pattern.include
        return None


def read_rules(folder: str) -> Rules:
    """The rules of a folder; without any where it has no .gitignore. OSError if unreadable."""
    path = Path(folder, NAME)
    if not path.is_file():
        return Rules(folder=folder, rules=())
    with path.open("rb") as file:
        # File names are bytes that need not be UTF-8; both sides escape the rest alike.
        lines = file.read(_LARGEST).decode("utf-8", "surrogateescape").split("\n")
    lines[0] = lines[0].removeprefix("\ufeff")
    return Rules(folder=folder, rules=tuple(_parse(lines)))


def inherited_rules(folder: Path) -> tuple[Rules, ...]:
    """Rules of the folders above `folder`, outermost first, from the repository that holds it.

    Empty where `folder` is the repository's root or is in no repository.
    """
    chain: list[Rules] = []
    inside = folder
    while not os.path.lexists(inside / ".git"):
        if inside.parent == inside:
            return ()
        inside = inside.parent
        try:
            chain.append(read_rules(str(inside)))
        except OSError:
            continue  # someone else's folder: its rules cannot be known
    return tuple(reversed(chain))


def is_ignored(chain: tuple[Rules, ...], path: str, is_folder: bool) -> bool:
    """Whether `path` is ignored, given the rules of its folder and of those above, outermost first.

    The folders above are taken as not ignored: whoever walks does not enter those that are.
    """
    for rules in reversed(chain):
        verdict = rules.verdict(path, is_folder)
        if verdict is not None:
            return verdict
    return False


def _parse(lines: list[str]) -> Iterator[_Rule]:
    from pathspec import GitIgnoreSpec

    for line in lines:
        line = line.removesuffix("\r")
        try:
            pattern = next(iter(GitIgnoreSpec.from_lines([line]).patterns), None)
        except (ValueError, re.error):  # git passes over what it cannot read
            continue
        if pattern is not None and pattern.include is not None:
            body = line.removeprefix("!").rstrip()
            yield _Rule(
                pattern=pattern,
                anchored="/" in body.rstrip("/"),
                open_end=body.rstrip("/").endswith("**"),
            )
