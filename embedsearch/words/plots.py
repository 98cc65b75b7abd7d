"""A map of words: vectors in two dimensions, near where the vectors are near."""

from __future__ import annotations

import html
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedsearch.errors import DependencyError, InputError, StorageError
from embedsearch.word2vec.keyed_vectors import KeyedVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_WORDS = 5000
_PERPLEXITY = 30
_SIDE = 1600
"""Units of the drawing's longer side."""
_MARGIN = 80
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>body{{font:16px system-ui,sans-serif;margin:1rem}}svg{{width:100%;height:auto}}
text{{font-size:13px;fill:#234}}circle{{fill:#3b6fb6}}g:hover text{{font-size:26px;fill:#b3392f}}
input{{font:inherit;padding:.2rem .5rem}}.off{{opacity:.12}}</style>
<h1>{title}</h1>
<p><input id="find" placeholder="find a word" aria-label="find a word"></p>
<svg viewBox="0 0 {width} {height}" role="img">{body}</svg>
<script>document.getElementById("find").addEventListener("input",event=>{{
const part=event.target.value.toLowerCase();
for(const group of document.querySelectorAll("g"))
group.classList.toggle("off",!group.textContent.toLowerCase().includes(part))}})</script>
</html>
"""


def draw_words(vectors: KeyedVectors, words: Sequence[str], path: str | Path, title: str) -> None:
    """Draws words where t-SNE puts them (van der Maaten and Hinton 2008), by cosine.

    `path` ends in `.html` (one file, with a search field) or `.png`. The same vectors give the same
    picture.

    Raises InputError for another ending or a number of words that cannot be drawn, NotFoundError
    for an unknown word, DependencyError where matplotlib is not installed (PNG), StorageError.
    """
    path = Path(path)
    if path.suffix not in (".html", ".png"):
        raise InputError(f"a picture is a .html or a .png file, not {path.name!r}")
    if not 3 <= len(words) <= MOST_WORDS:
        raise InputError(f"a picture shows from 3 to {MOST_WORDS} words, not {len(words)}")
    rows = [vectors.index_of(word) for word in words]
    places = project(vectors.vectors[rows] / vectors.norms[rows, None])
    try:
        if path.suffix == ".html":
            path.write_text(_page(words, places, title), encoding="utf-8")
        else:
            _draw_png(words, places, path, title)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None


def project(units: NDArray[np.float32]) -> NDArray[np.float64]:
    """Unit vectors of shape (n, dim) in the plane, shape (n, 2), each axis within 0 and 1."""
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(units) - 1) / 3)
    # Of unit vectors the squared distance is twice the cosine distance.
    start = np.zeros((len(units), 2), np.float32)
    left, scale, _ = np.linalg.svd(units - units.mean(axis=0), full_matrices=False)
    kept = min(2, len(scale))
    start[:, :kept] = (left * scale)[:, :kept]
    start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)
    found = TSNE(perplexity=perplexity, init=start, random_state=0).fit_transform(units)
    low, high = found.min(axis=0), found.max(axis=0)
    places: NDArray[np.float64] = (found - low) / np.maximum(high - low, 1e-12)
    return places


def _page(words: Sequence[str], places: NDArray[np.float64], title: str) -> str:
    inner = _SIDE - 2 * _MARGIN
    body = "\n".join(
        f'<g><circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
        f'<text x="{x + 5:.1f}" y="{y + 4:.1f}">{html.escape(word)}</text></g>'
        for word, (x, y) in zip(words, places * inner + _MARGIN, strict=True)
    )
    return _PAGE.format(title=html.escape(title), width=_SIDE, height=_SIDE, body=body)


def _draw_png(words: Sequence[str], places: NDArray[np.float64], path: Path, title: str) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise DependencyError(
            "a .png needs matplotlib, which is not installed: pip install 'embedsearch[plots]', "
            "or write .html"
        ) from None
    figure = Figure(figsize=(12, 12), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_title(title.replace("$", r"\$"))
    axes.scatter(places[:, 0], -places[:, 1], s=4, color="#3b6fb6")
    for word, (x, y) in zip(words, places, strict=True):
        label = word.replace("$", r"\$")
        axes.annotate(label, (x, -y), xytext=(2, 1), textcoords="offset points", fontsize=7)
    with warnings.catch_warnings():
        # a script that matplotlib's own font lacks is drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path, dpi=150)
