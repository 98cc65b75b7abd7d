"""What .gitignore files name, folder by folder, as git reads them.

The patterns are those of https://git-scm.com/docs/gitignore, matched as git's own matcher does it
(wildmatch.c, dir.c), byte by byte: file names need not be UTF-8.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAME = ".gitignore"
_LARGEST = 1 << 20
_LONGEST = 4096
"""Bytes of a pattern, as of a path."""
_STAR, _FOLDERS = b"[^/]*", (b".*", b"(?:.*/)?")
_BOM = b"\xef\xbb\xbf"
_CLASSES = {
    b"alnum": rb"0-9A-Za-z",
    b"alpha": rb"A-Za-z",
    b"blank": rb" \t",
    b"cntrl": rb"\x00-\x1f\x7f",
    b"digit": rb"0-9",
    b"graph": rb"!-~",
    b"lower": rb"a-z",
    b"print": rb" -~",
    b"punct": rb"!-/:-@\[-`{-~",
    b"space": rb" \t-\r",
    b"upper": rb"A-Z",
    b"xdigit": rb"0-9A-Fa-f",
}
_CLASS = re.compile(rb"\[:([^\]]*):\]")


@dataclass(frozen=True, kw_only=True)
class _Rule:
    pattern: re.Pattern[bytes]
    ignored: bool
    folders_only: bool
    anchored: bool
    """It has a slash before its end, so it is matched against the whole path, not the name."""

    def names(self, path: bytes, is_folder: bool) -> bool:
        """Whether the pattern names this very path, not merely a folder above it."""
        if self.folders_only and not is_folder:
            return False
        return bool(self.pattern.fullmatch(path if self.anchored else path.rpartition(b"/")[2]))


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The patterns of one folder's .gitignore."""

    folder: str
    rules: tuple[_Rule, ...]

    def verdict(self, path: str, is_folder: bool) -> bool | None:
        """True: ignored, False: taken back by `!`, None: not named. The last pattern wins."""
        relative = path[len(self.folder.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
        name = os.fsencode(relative)
        for rule in reversed(self.rules):
            if rule.names(name, is_folder):
                return rule.ignored
        return None


def read_rules(folder: str) -> Rules:
    """The rules of a folder; without any where it has no .gitignore. OSError if unreadable."""
    path = Path(folder, NAME)
    if not path.is_file():
        return Rules(folder=folder, rules=())
    with path.open("rb") as file:
        lines = file.read(_LARGEST).removeprefix(_BOM).split(b"\n")
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


def _parse(lines: list[bytes]) -> Iterator[_Rule]:
    for line in lines:
        if line.startswith(b"#") or len(line) > _LONGEST:
            continue
        line = _without_spaces(line.removesuffix(b"\r"))
        body = line.removeprefix(b"!")
        name = body.removesuffix(b"/")
        source = _translated(name.removeprefix(b"/"))
        if source:
            yield _Rule(
                pattern=re.compile(source, re.DOTALL),
                ignored=not line.startswith(b"!"),
                folders_only=body.endswith(b"/"),
                anchored=b"/" in name,
            )


def _without_spaces(line: bytes) -> bytes:
    """The line without the blanks at its end, but for one that a backslash keeps."""
    kept = line.rstrip(b" ")
    backslashes = len(kept) - len(kept.rstrip(b"\\"))
    return line[: len(kept) + backslashes % 2]


def _translated(pattern: bytes) -> bytes:
    """A pattern as a regular expression; nothing for what git never finds."""
    parts, place = list[bytes](), 0
    while place < len(pattern):
        letter = pattern[place : place + 1]
        if letter == b"*":
            part, place = _stars(pattern, place)
        elif letter == b"[":
            part, place = _bracket(pattern, place + 1)
        else:
            place += letter == b"\\"
            part = b"[^/]" if letter == b"?" else re.escape(pattern[place : place + 1])
            place += 1
        if not part:
            return b""
        parts.append(part)
    return _without_backtracking(parts)


def _without_backtracking(parts: list[bytes]) -> bytes:
    """The parts one after the other. What stands between a star and the next one is taken where it
    comes first, which leaves the next most room: trying all places takes for ever."""
    *before, last = _after_stars(parts)
    return (
        b"".join(
            b"(?>[^/]*?" + each[len(_STAR) :] + b")" if each.startswith(_STAR) else each
            for each in before
        )
        + last
    )


def _after_stars(parts: list[bytes]) -> list[bytes]:
    """Joined, but for each star where a new piece begins; so does one at what spans folders."""
    found = [b""]
    for part in parts:
        if part in (_STAR, *_FOLDERS):
            found.append(b"")
        found[-1] += part
    return found


def _stars(pattern: bytes, place: int) -> tuple[bytes, int]:
    """Two stars or more between slashes are any number of folders, others a part of a name."""
    begins = place == 0 or pattern[place - 1 : place] == b"/"
    end = place
    while pattern[end : end + 1] == b"*":
        end += 1
    if end - place == 1 or not begins or pattern[end : end + 1] not in (b"", b"/"):
        return _STAR, end
    return (_FOLDERS[0], end) if end == len(pattern) else (_FOLDERS[1], end + 1)


def _bracket(pattern: bytes, place: int) -> tuple[bytes, int]:
    """A set of bytes, from behind its bracket on; nothing where it is never closed or names a
    class that does not exist."""
    negated = pattern[place : place + 1] in (b"!", b"^")
    place += negated
    first, members, before = place, b"", b""
    while place == first or pattern[place : place + 1] != b"]":
        letter, following = pattern[place : place + 1], pattern[place + 1 : place + 2]
        named = _CLASS.match(pattern, place)
        if named:
            member, before, place = _CLASSES.get(named[1]), b"", named.end() - 1
        elif letter == b"-" and before and following not in (b"", b"]"):
            place += 1 + (following == b"\\")
            member, before = _range(before, pattern[place : place + 1]), b""
        else:
            place += letter == b"\\"
            before = pattern[place : place + 1]
            member = re.escape(before) or None
        if member is None:
            return b"", place
        members += member
        place += 1
    if negated:
        return b"[^/" + members + b"]", place + 1
    return (b"(?!/)[" + members + b"]" if members else b"(?!)"), place + 1


def _range(first: bytes, last: bytes) -> bytes | None:
    if not last:
        return None
    return re.escape(first) + b"-" + re.escape(last) if first <= last else b""
