"""A comparison of recommenders as bars, in one SVG file."""

from __future__ import annotations

import errno
import html
import os
from pathlib import Path

from embedsearch.errors import InputError, StorageError
from embedsearch.songs.evaluation import SongsEvaluation
from embedsearch.text.words import counted

_MEASURES = ("hit_rate", "ndcg", "recall", "mrr", "coverage", "popularity", "diversity")
_COLOURS = ("#3b6fb6", "#7aa6d8", "#b0b7bf", "#c98a3b", "#6f9a58", "#9a6fa8")
_BAR, _GAP, _LABEL, _FULL, _TOP = 16, 22, 120, 560, 60


def check_picture(path: Path) -> None:
    """Better known before than after measuring.

    Raises InputError for a name that does not end in .svg, StorageError where it cannot be written.
    """
    if path.suffix.lower() != ".svg":
        raise InputError(f"the picture is a .svg file, not {path.name!r}")
    if path.is_dir():
        raise StorageError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise StorageError(f"cannot write {path}: there is no folder {str(path.parent)!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise StorageError(f"cannot write {path}: {os.strerror(errno.EACCES)}")


def draw_comparison(found: SongsEvaluation, k: int, path: str | Path) -> None:
    """Draws the measures of the continuation; every bar's full length is 1.

    Raises as `check_picture`.
    """
    path = Path(path)
    check_picture(path)
    names = list(found.results)
    rows, y = [], _TOP
    for measure in _MEASURES:
        rows.append(f'<text x="10" y="{y + 12}" font-weight="bold">{measure}@{k}</text>')
        for name, colour in zip(names, _COLOURS, strict=False):
            value = getattr(found.results[name].continuation, measure)
            title = html.escape(name)
            rows.append(
                f'<rect x="{_LABEL}" y="{y}" width="{max(value, 0.0) * _FULL:.1f}" '
                f'height="{_BAR - 2}" fill="{colour}"/>'
                f'<text x="{_LABEL + max(value, 0.0) * _FULL + 6:.1f}" y="{y + 11}">'
                f"{title} {value:.3f}</text>"
            )
            y += _BAR
        y += _GAP
    page = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LABEL + _FULL + 180}" height="{y}" '
        'font-family="system-ui, sans-serif" font-size="12">'
        '<rect width="100%" height="100%" fill="white"/>'
        '<text x="10" y="30" font-size="18">The second half of '
        f"{counted(found.playlists, 'playlist')} from the first</text>" + "".join(rows) + "</svg>\n"
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from None
