import json
import sys
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest

from embedsearch.errors import DependencyError, InputError, StorageError
from embedsearch.text.groups import TextGroup
from embedsearch.text.merges import compression_curve
from embedsearch.tokenizers.comparison import compare_tokenizers
from embedsearch.tokenizers.heat_maps import word_plot
from embedsearch.tokenizers.plots import MOST_ROWS, _sample, _some, comparison_plots
from embedsearch.tokenizers.vectors import Occurrence, WordComparison
from tests.text.toys import TEXT, byte_bpe, char, word

PNG = b"\x89PNG\r\n\x1a\n"
GROUPS = [
    TextGroup(name="en <b>", texts=TEXT[:3]),
    TextGroup(name="th", texts=["สวัสดี ชาวโลก"] * 3),
    TextGroup(name="$x_y$", texts=["low lower lowest"] * 3),
]
WORD = WordComparison(
    model="tiny",
    word="ชาว",
    occurrences=tuple(
        Occurrence(sentence=f"ชาว $a_{n}$", start=0, end=3, tokens=("ช",)) for n in range(3)
    ),
    static=np.ones((3, 3), dtype=np.float32),
    contextual=np.eye(3, dtype=np.float32),
)


def test_all_plots_and_a_page(tmp_path):
    pytest.importorskip("matplotlib")
    tokenizers = {"models/byte": byte_bpe(), "word": word(), "char": char()}
    found = compare_tokenizers(tokenizers, GROUPS)
    written = comparison_plots(found, tokenizers, GROUPS, tmp_path / "new" / "plots")
    assert [path.name for path in written] == [
        "lengths.png",
        "compression.png",
        "tax.png",
        "index.html",
        "data.json",
    ]
    for path in written[:3]:
        assert path.read_bytes().startswith(PNG)
    page = written[3].read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert "<td>en &lt;b&gt;</td>" in page
    assert "<b>" not in page
    table = ElementTree.fromstring(page[page.index("<table>") : page.index("</table>") + 8])
    rows = [[cell.text for cell in row] for row in table]
    assert rows[0] == ["group", "byte", "ratio", "word", "ratio", "char", "ratio"]
    tokens = [f"{report.groups[1].cost.tokens:,}" for report in found.tokenizers]
    assert rows[2][1::2] == tokens


def test_nothing_to_draw(tmp_path):
    pytest.importorskip("matplotlib")
    groups, tokenizers = [TextGroup(name="blank", texts=[" \n "])], {"char": char()}
    found = compare_tokenizers(tokenizers, groups)
    with pytest.raises(InputError, match="nothing to draw"):
        comparison_plots(found, tokenizers, groups, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_drawn_is_kept_as_data(tmp_path):
    pytest.importorskip("matplotlib")
    tokenizers = {"byte": byte_bpe(), "char": char()}
    found = compare_tokenizers(tokenizers, GROUPS)
    comparison_plots(found, tokenizers, GROUPS, tmp_path)
    data = json.loads((tmp_path / "data.json").read_text(encoding="utf-8"))
    texts = [text for group in GROUPS for text in group.texts]  # each is one sentence
    assert (data["sentences"], data["characters"]) == (9, sum(map(len, texts)))
    for name, tokenizer in tokenizers.items():
        counts = Counter(str(count) for count in tokenizer.count(texts))
        assert data["tokenizers"][name]["sentences_by_tokens"] == counts
    assert data["tokenizers"]["char"]["compression"] is None
    curve = compression_curve(tokenizers["byte"], texts)
    assert tuple(data["tokenizers"]["byte"]["compression"]["tokens"]) == curve.tokens
    assert data["comparison"] == json.loads(json.dumps(found.as_json()))


def test_one_group_has_no_tax(tmp_path):
    pytest.importorskip("matplotlib")
    tokenizers = {"char": char()}
    found = compare_tokenizers(tokenizers, GROUPS[:1])
    written = comparison_plots(found, tokenizers, GROUPS[:1], tmp_path)
    assert [path.name for path in written] == [
        "lengths.png",
        "compression.png",
        "index.html",
        "data.json",
    ]


@pytest.mark.parametrize("ending", [".png", ".svg", ".html", ".pdf"])
def test_a_word_as_heat_maps(tmp_path, ending):
    pytest.importorskip("matplotlib")
    path = word_plot(WORD, tmp_path / f"word{ending}")
    head = {".png": PNG, ".svg": b"<?xml", ".html": b"<!doctype html>", ".pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(head)


def test_places_that_cannot_be_written(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(InputError, match=r"\.png, \.svg"):
        word_plot(WORD, tmp_path / "word.exe")
    with pytest.raises(StorageError, match=r"nowhere.*No such file"):
        word_plot(WORD, tmp_path / "nowhere" / "word.png")
    (tmp_path / "file").write_text("x")
    tokenizers = {"char": char()}
    found = compare_tokenizers(tokenizers, GROUPS)
    with pytest.raises(StorageError, match="cannot write"):
        comparison_plots(found, tokenizers, GROUPS, tmp_path / "file")


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DependencyError, match=r"pip install 'embedsearch\[plots\]'"):
        word_plot(WORD, tmp_path / "word.png")
    assert list(tmp_path.iterdir()) == []


def test_of_many_languages_some_are_drawn():
    names = [f"{number:03}" for number in range(400)]
    shown = _some(names)
    assert shown[:10] == names[:10]
    assert shown[-20:] == names[-20:]
    assert shown == sorted(shown)
    assert len(set(shown)) == len(shown) <= MOST_ROWS
    assert _some(names[:MOST_ROWS]) == names[:MOST_ROWS]


def test_the_sample_is_spread_over_all_texts(monkeypatch):
    monkeypatch.setattr("embedsearch.tokenizers.plots.SAMPLE_CHARACTERS", 100)
    groups = [TextGroup(name=str(n), texts=["One word. Two words."]) for n in range(20)]
    sample = _sample(groups)
    assert 50 < sum(map(len, sample)) <= 110
