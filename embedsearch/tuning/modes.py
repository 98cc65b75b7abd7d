"""Who may read what was written."""

from __future__ import annotations

from pathlib import Path


def readable_as(like: Path, folder: Path) -> None:
    """Gives all in `folder`, and itself, the mode that `like`, a file made in the ordinary way, got
    from the umask: safetensors and mkdtemp make theirs for the owner alone."""
    mode = like.stat().st_mode & 0o666
    for path in (folder, *folder.rglob("*")):
        # who may read a folder may enter it
        path.chmod(mode | (mode & 0o444) >> 2 if path.is_dir() else mode)
