"""A word in several sentences as heat maps."""

from __future__ import annotations

from pathlib import Path

from embedsearch.errors import InputError
from embedsearch.plotting import as_svg, label, new_figure, page, save, writing
from embedsearch.tokenizers.vectors import WordComparison

ENDINGS = (".png", ".svg", ".pdf", ".html")


def check_plot_name(file: str | Path) -> Path:
    """The path of a plot; InputError where its ending is none of `ENDINGS`."""
    path = Path(file)
    if path.suffix not in ENDINGS:
        raise InputError(f"{path}: a plot is a file ending in {', '.join(ENDINGS)}")
    return path


def word_plot(comparison: WordComparison, file: str | Path) -> Path:
    """Draws the cosines of a word's places as two heat maps, static and contextual.

    The file's ending says what is written. Raises DependencyError where matplotlib is not
    installed, StorageError where the file cannot be written.
    """
    path = check_plot_name(file)
    count = len(comparison.occurrences)
    figure = new_figure(10, 0.8 + 0.62 * count)
    numbers = [str(number) for number in range(1, count + 1)]
    sentences = [
        f"{number}  {label(each.sentence, 44)}"
        for number, each in zip(numbers, comparison.occurrences, strict=True)
    ]
    maps = {
        "in the table (static)": (comparison.static, sentences),
        "in context": (comparison.contextual, [""] * count),
    }
    for place, (title, (cosines, labels)) in enumerate(maps.items(), 1):
        axes = figure.add_subplot(1, 2, place)
        axes.imshow(cosines, vmin=0, vmax=1, cmap="viridis")
        axes.set_title(f"{label(comparison.word, 30)!r} {title}")
        axes.set_xticks(range(count), numbers)
        axes.set_yticks(range(count), labels)
        for row, values in enumerate(cosines.tolist()):
            for column, value in enumerate(values):
                ink = "black" if value > 0.6 else "white"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink)
    with writing(path):
        if path.suffix != ".html":
            return save(figure, path)
        path.write_text(
            page(f"{comparison.word} in {count} places", as_svg(figure)), encoding="utf-8"
        )
    return path
