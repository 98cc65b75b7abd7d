import pytest

from embedsearch.errors import InputError, NotFoundError
from embedsearch.text import texts
from embedsearch.text.texts import TextFiles


def test_plain_text_comes_in_blocks_of_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "_BLOCK", 64)
    content = "".join(f"line {number} größer\n" for number in range(100)) + "the end"
    (tmp_path / "a.txt").write_text(content, encoding="utf-8")
    blocks = list(TextFiles([tmp_path / "a.txt"]))
    assert len(blocks) > 10
    assert "".join(blocks) == content
    assert all(block.endswith("\n") for block in blocks[:-1])


def test_a_long_line_is_cut_at_blanks(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "_BLOCK", 64)
    content = "größer " * 100
    (tmp_path / "text8").write_text(content, encoding="utf-8")
    blocks = list(TextFiles([tmp_path / "text8"]))
    assert len(blocks) > 5
    assert "".join(blocks) == content
    assert all(block.strip().replace("größer", "").strip() == "" for block in blocks)


def test_documents_of_every_format(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{broken\n{"title": "two"}\n')
    (tmp_path / "b.md").write_text("# Three\n")
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    found = TextFiles([tmp_path])
    assert list(found) == ["one", "two", "# Three\n"]
    assert list(found) == ["one", "two", "# Three\n"]
    assert [entry.path.rpartition("/")[2] for entry in found.skipped] == ["c.png", "a.jsonl:2"]


def test_nothing_to_read(tmp_path):
    with pytest.raises(NotFoundError):
        TextFiles([tmp_path / "missing"])
    (tmp_path / "a.pdf").write_bytes(b"no PDF")
    with pytest.raises(InputError, match=r"there is no text in .*a\.pdf"):
        list(TextFiles([tmp_path]))


def test_what_is_no_text(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "MAX_BYTES", 100)
    monkeypatch.setattr(texts, "_BLOCK", 64)
    (tmp_path / "a.txt").write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match="no line break and no blank"):
        list(TextFiles([tmp_path]))
