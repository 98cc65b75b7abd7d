import csv
import gzip
import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from embedsearch.errors import ReadError
from embedsearch.text.readers import read_file
from embedsearch.text.readers.plain import front_matter
from embedsearch.text.structure import headings
from embedsearch.types import Document
from tests.text.awkward import DATA, FOX, build_awkward, make_docx, make_pdf, zip_bomb_docx

Notes = list[tuple[str, str]]
Read = Callable[..., list[Document]]


@pytest.fixture
def notes() -> Notes:
    return []


@pytest.fixture
def read(tmp_path: Path, notes: Notes) -> Read:
    """Writes a file and reads it as document `d`."""

    def read(name: str, data: bytes | str, max_bytes: int = 2**20) -> list[Document]:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return list(
            read_file(path, "d", max_bytes=max_bytes, note=lambda *note: notes.append(note))
        )

    return read


def documents(*texts: str) -> list[Document]:
    return [Document(id=f"d#{number}", text=text) for number, text in enumerate(texts, 1)]


def refusal(read: Read, name: str, data: bytes | str, max_bytes: int = 2**20) -> str:
    with pytest.raises(ReadError) as caught:
        read(name, data, max_bytes)
    return str(caught.value)


# --- plain text, Markdown, reStructuredText, code ------------------------------------------------


@pytest.mark.parametrize("name", ["a.txt", "A.TEXT", "a.log", "README", "a.unknown", ".hidden"])
def test_text_is_taken_as_it_is(read: Read, name: str) -> None:
    text = "One\r\ntwo\n\n  שלום 👩‍👩‍👧\n"
    assert read(name, text) == [Document(id="d", text=text)]


def test_markdown_takes_its_title_from_the_first_heading(read: Read) -> None:
    text = "intro\n\n# The title\n\nbody\n"
    assert read("a.md", text) == [Document(id="d", text=text, title="The title", format="markdown")]


def test_front_matter_gives_title_and_metadata_and_stays_in_the_text(read: Read) -> None:
    text = (
        "---\ntitle:  My   page\ntags: [a, b]\ndate: 2024-05-01\nwhen: 2024-05-01 10:00:00\n"
        "draft: false\nrank: .nan\n1: one\nraw: !!binary aGk=\nodd: !!set {x}\n---\n# Heading\n"
    )
    assert read("a.markdown", text) == [
        Document(
            id="d",
            text=text,
            title="My page",
            metadata={
                "tags": ["a", "b"],
                "date": "2024-05-01",
                "when": "2024-05-01T10:00:00",
                "draft": False,
                "rank": None,
                "1": "one",
            },
            format="markdown",
        )
    ]


@pytest.mark.parametrize(
    "block",
    [
        "a: &x [1]\nb: *x",
        "a: &x 1",
        "- not\n- a: mapping\n  x",
        "a: [",
        "a: 2024-99-99",
        "a: !!int x",
        "a: !!bool x",
        "a: !!timestamp x",
        "a: !!python/object/apply:os.system [true]",
        "a: " + "[" * 3000,
        "title: x\nlong: " + "y" * 20_000,
    ],
)
def test_front_matter_that_is_refused_is_text(read: Read, block: str) -> None:
    text = f"---\n{block}\n---\n\nbody\n"
    [document] = read("a.md", text)
    assert (document.text, document.title, document.metadata) == (text, "", {})


@given(st.text(max_size=200))
@example("a: !!int ''")
@example("? {a: b}\n: c")
def test_front_matter_never_raises(block: str) -> None:
    values = front_matter(f"---\n{block}\n---\n")
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_rst_and_code(read: Read) -> None:
    assert read("a.rst", "Title\n=====\n\nText\n") == [
        Document(id="d", text="Title\n=====\n\nText\n", title="Title", format="rst")
    ]
    for name in ("a.py", "a.RS", "a.json", "a.yaml", "a.xml"):
        [document] = read(name, "# not a heading\n")
        assert (document.text, document.title, document.format) == ("# not a heading\n", "", "code")


def test_a_guessed_encoding_is_noted(read: Read, notes: Notes) -> None:
    [document] = read("a.txt", "Le café est fermé à cause de l’été.".encode("cp1252"))
    assert document.text == "Le café est fermé à cause de l’été."
    assert notes == [("d", "not UTF-8: read as cp1252")]


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.jsonl", "a.csv", "a.json", "a.pdf"])
@pytest.mark.parametrize("data", [b"", b" \r\n\t\n"])
def test_empty(read: Read, name: str, data: bytes) -> None:
    assert refusal(read, name, data) == "empty"


def test_empty_utf16(read: Read) -> None:
    assert refusal(read, "a.txt", " \n".encode("utf-16")) == "empty"


@pytest.mark.parametrize("name", ["a.txt", "a", "a.md", "a.py", "a.jsonl", "a.csv", "a.html"])
def test_binary(read: Read, name: str) -> None:
    assert refusal(read, name, b"\x7fELF\0\0\1\2") == "binary file"


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("a.doc", ".docx or .pdf"),
        ("a.XLSX", ".csv"),
        ("a.epub", ".pdf"),
        ("a.rtf", ".docx or .pdf"),
    ],
)
def test_formats_that_are_not_read_name_one_that_is(read: Read, name: str, way_out: str) -> None:
    suffix = name[1:].lower()
    assert refusal(read, name, b"x") == f"{suffix} is not read: save it as {way_out}"


def test_max_bytes_bounds_a_file(read: Read) -> None:
    assert read("a.txt", "x" * 100, 100)[0].text == "x" * 100
    assert refusal(read, "a.txt", "x" * 101, 100) == "larger than 100 bytes"


@pytest.mark.slow
def test_a_line_of_100_mb(tmp_path: Path) -> None:
    notes: Notes = []
    text, lines = tmp_path / "a.txt", tmp_path / "a.jsonl"
    for path in (text, lines):
        with path.open("wb") as file:
            for _ in range(100):
                file.write(b"word " * 200_000)
            file.write(b'\n{"text": "after"}\n')
    with pytest.raises(ReadError, match=r"^larger than 32 MiB$"):
        list(read_file(text, "d", note=lambda *note: notes.append(note)))
    found = list(read_file(lines, "d", note=lambda *note: notes.append(note)))
    assert [document.text for document in found] == ["after"]
    assert notes == [("d:1", "line longer than 32 MiB")]


def test_files_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reason(path: Path) -> str:
        with pytest.raises(ReadError) as caught:
            list(read_file(path, "d", note=print))
        return str(caught.value)

    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    assert reason(tmp_path / "gone.txt") == "no such file or directory"
    assert reason(tmp_path / "gone.jsonl.gz") == "no such file or directory"
    assert reason(tmp_path) == "not a regular file"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jsonl")
        assert reason(tmp_path / "pipe.jsonl") == "not a regular file"
    (tmp_path / "locked.txt").write_text("x")
    monkeypatch.setattr(Path, "open", refuse)
    assert reason(tmp_path / "locked.txt") == "permission denied"


# --- gzip ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.rst", "a.html", "a.json", "a.csv", "a.jsonl"])
def test_gzip_is_transparent(read: Read, name: str) -> None:
    data = b'{"text": "one,two"}\n' if name != "a.csv" else b"id,text\n1,one\n"
    assert read(f"{name}.GZ", gzip.compress(data)) == read(name, data)


@pytest.mark.parametrize("name", ["a.txt.gz", "a.jsonl.gz", "a.csv.gz"])
def test_damaged_gzip(read: Read, name: str) -> None:
    rows = "".join(f'{{"text": "{number} one"}}\n' for number in range(500)).encode()
    data = gzip.compress(b"text,x\n" + rows if "csv" in name else rows)
    assert refusal(read, name, data[:-20]) == "gzip file is cut short"
    assert refusal(read, name, rows) == "damaged gzip file"
    broken = data[:-8] + bytes(4) + data[-4:]
    assert refusal(read, name, broken) == "damaged gzip file"


def test_gzip_bombs_are_refused_by_what_they_unpack_to(read: Read) -> None:
    bomb = gzip.compress(b" " * 2**20)
    assert refusal(read, "a.txt.gz", bomb, 2**16) == "larger than 65536 bytes"
    for name in ("a.jsonl.gz", "a.csv.gz"):
        assert refusal(read, name, bomb, 2**16) == "gzip file unpacks to far more than its size"


# --- JSON lines ----------------------------------------------------------------------------------


def test_jsonl_in_the_beir_layout(read: Read, notes: Notes) -> None:
    lines = [
        '{"_id": "a", "id": "z", "title": " The\\ntitle ", "text": " kept \\r\\n", '
        '"metadata": {"u": [1]}}',
        '{"id": 7, "text": "seven", "url": "x", "rank": 1.5, "flag": true, "n": null, '
        '"tags": ["a", "b"], "author": {"name": "Ann"}}',
        '{"title": "no text"}\r',
        "",
        '{"_id": "", "text": "own id", "metadata": null, "title": null}',
        '{"_id": "b", "text": "wins", "u": 1, "metadata": {"u": 2}}',
    ]
    assert read("a.jsonl", "\n".join(lines)) == [
        Document(id="a", title="The title", text=" kept \r\n", metadata={"u": [1]}),
        Document(
            id="7",
            text="seven",
            metadata={
                "url": "x",
                "rank": 1.5,
                "flag": True,
                "tags": ["a", "b"],
                "author": {"name": "Ann"},
            },
        ),
        Document(id="d#3", text="", title="no text"),
        Document(id="d#5", text="own id"),
        Document(id="b", text="wins", metadata={"u": 2}),
    ]
    assert notes == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON: Expecting property name enclosed in double quotes at character 2"),
        ('"text"', "not a JSON object"),
        ("[1]", "not a JSON object"),
        ('{"text": 1}', "text is not a string"),
        ('{"text": "x", "title": []}', "title is not a string"),
        ('{"text": "x", "_id": 1.5}', "id is neither a string nor an integer"),
        ('{"text": "x", "_id": true}', "id is neither a string nor an integer"),
        ('{"text": "x", "metadata": []}', "metadata is not an object"),
        ('{"text": " ", "title": ""}', "empty document"),
        ("{}", "it has neither `text` nor `title`"),
        ('{"id": "a", "text": null, "content": "x"}', "it has neither `text` nor `title`"),
        ("[" * 100_000, "not JSON: nested too deeply"),
        (b'{"text": "\xe9"}', "not UTF-8 at byte 11"),
    ],
)
def test_bad_lines_are_noted_and_passed_over(
    read: Read, notes: Notes, line: str | bytes, reason: str
) -> None:
    data = line.encode() if isinstance(line, str) else line
    found = read("a.jsonl", b'{"text": "one"}\n\n' + data + b'\n{"text": "two"}')
    assert [(document.id, document.text) for document in found] == [("d#1", "one"), ("d#4", "two")]
    assert notes == [("d:3", reason)]


def test_numbers_beyond_reason(read: Read, notes: Notes) -> None:
    found = read("a.jsonl", '{"text": "x", "metadata": {"a": NaN, "b": [1e999, 0.5]}}\n')
    assert found[0].metadata == {"a": None, "b": [None, 0.5]}
    read("a.jsonl", '{"text": "x", "n": ' + "1" * 5000 + "}\n")
    assert notes[0][1].startswith("not JSON: Exceeds the limit")


def test_lone_surrogates_and_nuls_are_replaced(read: Read) -> None:
    line = r'{"_id": "\ud800", "text": "\udc00 ok \ud83d\ude00 \u0000", '
    line += r'"metadata": {"\udfff": "\ud800"}}'
    assert read("a.jsonl", line) == [Document(id="�", text="� ok 😀 �", metadata={"�": "�"})]


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_streams_honour_byte_order_marks(read: Read, codec: str) -> None:
    text = '{"text": "één"}\r\n' * 3
    assert read("a.jsonl", text.encode(codec)) == documents("één", "één", "één")
    table = "text,n\r\n" + "één,1\r\n" * 2
    assert [document.text for document in read("a.csv", table.encode(codec))] == ["één", "één"]


def test_over_long_lines_are_passed_over(read: Read, notes: Notes) -> None:
    line = '{"text": "fits"}\n'
    assert read("a.jsonl", line * 2, len(line)) == documents("fits", "fits")
    long = "x" * 200_000
    found = read("a.jsonl", f"{line}{long}\n{line}{long}", 1000)
    assert [document.id for document in found] == ["d#1", "d#3"]
    assert notes == [("d:2", "line longer than 1000 bytes"), ("d:4", "line longer than 1000 bytes")]


def test_jsonl_is_read_as_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "x"}\n' * 100_000)
    reading = read_file(path, "d", note=print)
    assert next(reading).id == "d#1"
    reading.close()


@given(st.binary(), st.integers(1, 50))
@example(b'{"_id": "\\ud800", "text": "x"}', 50)
@example(b'{"text": "x", "metadata": {"a": ' + b"[" * 2000 + b"]" * 2000 + b"}}", 5000)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_jsonl_raises_nothing_but_read_error(tmp_path: Path, data: bytes, max_bytes: int) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    with suppress(ReadError):
        list(read_file(path, "d", max_bytes=max_bytes, note=lambda *_note: None))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["_id", "id", "title", "text", "metadata", "x"]), JSON))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_line_is_a_document_or_a_note(tmp_path: Path, record: dict[str, object]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(record))
    notes: Notes = []
    found = list(read_file(path, "d", note=lambda *note: notes.append(note)))
    assert len(found) + len(notes) == 1


# --- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_tables(read: Read, notes: Notes, delimiter: str) -> None:
    rows = [["ID", "Title", "TEXT", "lang", "year"], ["a", "A b", "one, two; 3", "en", "1999"]]
    rows += [["", "", "x\ny" if delimiter != "\t" else "x y", "", "0"]]
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    assert read("a.csv", buffer.getvalue()) == [
        Document(id="a", title="A b", text="one, two; 3", metadata={"lang": "en", "year": "1999"}),
        Document(id="d#2", text=rows[2][2], metadata={"year": "0"}),
    ]
    assert notes == []


def test_rows_without_a_text_column_are_read_as_lines(read: Read) -> None:
    assert read("a.csv", 'name,city,\nBo,"Bad, Salzig",x\nKim,,\n') == [
        Document(
            id="d#1",
            text="name: Bo\ncity: Bad, Salzig\ncolumn 3: x",
            metadata={"name": "Bo", "city": "Bad, Salzig", "column 3": "x"},
        ),
        Document(id="d#2", text="name: Kim", metadata={"name": "Kim"}),
    ]


def test_bad_rows_are_noted_by_line_and_counted(read: Read, notes: Notes) -> None:
    table = 'text,n\n"two\nlines",1\n\nfew\ntoo,many,fields\n ,\nlast,2\n'
    found = read("a.csv", table)
    assert [(document.id, document.text) for document in found] == [
        ("d#1", "two\nlines"),
        ("d#4", "last"),
    ]
    assert notes == [
        ("d:5", "1 fields where the header row has 2"),
        ("d:6", "3 fields where the header row has 2"),
    ]


def test_a_row_with_nothing_to_find_is_noted(read: Read, notes: Notes) -> None:
    assert [document.id for document in read("a.csv", "text,n\n,1\nx,2\n")] == ["d#2"]
    assert notes == [("d:2", "empty document")]


def test_a_quote_that_is_never_closed_is_noted(read: Read, notes: Notes) -> None:
    assert [d.text for d in read("a.csv", 'n,text\n1,one\n2,"two\n3,three\n')] == ["one"]
    assert notes == [("d:3", "a quotation mark that is never closed, up to line 4")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_delimiter_that_is_declared(read: Read, notes: Notes, delimiter: str) -> None:
    table = f"sep={delimiter}\r\nid{delimiter}text\r\n1{delimiter}one\r\nbad\r\n"
    assert read("a.csv", table) == [Document(id="1", text="one")]
    assert notes == [("d:4", "1 fields where the header row has 2")]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines_that_are_ended_by_carriage_returns(read: Read, notes: Notes, mark: bytes) -> None:
    table = 'id,text\r1,one\r2,"two\rlines"\rbad\r' + "3,x\r" * 50_000
    found = read("a.csv", mark + table.encode())
    assert [document.text for document in found[:2]] == ["one", "two\nlines"]
    assert len(found) == 50_002
    assert notes == [("d:5", "1 fields where the header row has 2")]
    assert len(read("a.jsonl", mark + b'{"text": "one"}\r{"text": "two"}\r')) == 2


def test_quotes_among_tabs_are_text(read: Read, notes: Notes) -> None:
    table = 'id\ttext\na\t"Well\nb\tplain\nc\t"he said ""no"""\nd\tso"\n'
    assert [document.text for document in read("a.tsv", table)] == [
        '"Well',
        "plain",
        'he said "no"',
        'so"',
    ]
    assert notes == []


def test_quoted_lines_among_tabs_are_one_row(read: Read) -> None:
    table = 'text\tid\n"one\ntwo"\ta\n"x\ny"\tb\n'
    assert [document.text for document in read("a.tsv", table)] == ["one\ntwo", "x\ny"]


def test_one_column_may_hold_commas(read: Read) -> None:
    assert read("a.csv", 'text\nHello, world\n"a, ""b"""\n') == documents("Hello, world", 'a, "b"')


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("1,2,3\n4,5,6\n", "no header row"),
        ("img.jpg,0,A dog runs.\nimg.jpg,1,Two dogs.\n", "no header row"),
        ("a,a\n1,2\n", "two columns of the header row have the same name"),
        ("text,n\n", "empty"),
    ],
)
def test_tables_that_are_refused(read: Read, table: str, reason: str) -> None:
    assert refusal(read, "a.csv", table) == reason


def test_years_may_be_columns(read: Read) -> None:
    assert read("a.csv", "country,1990,1991\nXX,1,2\n")[0].text == "country: XX\n1990: 1\n1991: 2"


def test_rows_are_bounded(read: Read, notes: Notes) -> None:
    usual = csv.field_size_limit()
    long = "y" * 300_000
    assert read("a.csv", f"text,n\n{long},1\n", 2**20)[0].text == long
    table = f'text,n\na,1\n{"x" * 5000},2\n"{"z" * 500}\n{"z" * 700}",3\nb,4\n'
    assert [document.text for document in read("a.csv", table, 1000)] == ["a", "b"]
    assert [reason for _place, reason in notes[:2]] == ["row longer than 1000 bytes"] * 2
    assert csv.field_size_limit() == usual


def test_an_encoding_found_late_is_noted_once(read: Read, notes: Notes) -> None:
    rows = "n,text\n" + "1,plain\n" * 20_000 + "2,déjà vu, señor\n".replace(", ", " ") * 2
    found = read("a.csv", rows.encode("cp1252"))
    assert [document.text for document in found[-2:]] == ["déjà vu señor"] * 2
    assert notes == [("d:20002", "not UTF-8: read as cp1252")]


@given(st.binary(), st.integers(1, 50))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tables_raise_nothing_but_read_error(tmp_path: Path, data: bytes, max_bytes: int) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,text\n" + data)
    with suppress(ReadError):
        list(read_file(path, "d", max_bytes=max_bytes, note=lambda *_note: None))


# --- HTML ----------------------------------------------------------------------------------------

PAGE = """<!DOCTYPE html><html><head><title>A &amp; B</title><style>p {}</style></head><body>
<nav><a href="/">Home</a></nav><h1>Main <em>title</em></h1>
<p>Some <a href="https://example.org">linked</a> text with snake_case * 2.<br>New line.</p>
<!-- a comment --><?php echo 1 ?><script>alert(1)</script><noscript>off</noscript>
<h2>List</h2><ul><li>one</li><li>two<ol><li>deep</li></ol></li></ul>
<img src="data:image/png;base64,AAAA" alt="A cat"><svg><text>drawn</text></svg>
<pre><code>x = 1
  y</code></pre>
<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table></body></html>"""


def test_html_becomes_markdown(read: Read) -> None:
    expected = """# Main *title*

Some linked text with snake_case * 2.
New line.

## List

- one
- two
  1. deep

A cat

```
x = 1
  y
```

| a | b |
| --- | --- |
| 1 | 2 |"""
    assert read("a.html", PAGE) == [
        Document(id="d", text=expected, title="A & B", format="markdown")
    ]


BLOCKS = (
    "header footer main aside section article div p figure address details summary form fieldset "
    "legend optgroup menu dialog search hgroup center textarea video audio canvas object"
).split()


def test_html_keeps_the_words_of_neighbouring_blocks_apart(read: Read) -> None:
    page = (
        "<html><body><header>Acme</header><main>Refunds<details><summary>When</summary>Within days"
        "</details></main><footer>Contact</footer></body></html>"
    )
    expected = "Acme\n\nRefunds\n\nWhen\n\nWithin days\n\nContact"
    assert read("a.html", page)[0].text == expected


@pytest.mark.parametrize("tag", [*BLOCKS, "iframe", "label", "button", "option", "output"])
def test_html_parts_an_element_from_its_neighbours(read: Read, tag: str) -> None:
    for page in ("one<{0}>two</{0}>three", "<i>one</i><a><{0}>two</{0}></a><i>three</i>"):
        text = read("a.html", f"<div>{page.format(tag)}</div>")[0].text
        assert text.replace("*", "").split() == ["one", "two", "three"]
    twice = read("a.html", f"<{tag}>one</{tag}><img alt=''><{tag}>two</{tag}>")[0].text
    assert twice.split() == ["one", "two"]


@pytest.mark.parametrize("tag", BLOCKS)
def test_html_keeps_words_apart_around_an_empty_block(read: Read, tag: str) -> None:
    assert read("a.html", f"<div>one <{tag}> </{tag}> two</div>")[0].text.split() == ["one", "two"]


FORMATTING = "b strong i em del s code kbd samp sub sup a span font q".split()


@pytest.mark.parametrize("tag", FORMATTING)
def test_html_blocks_within_emphasis_are_blocks(read: Read, tag: str) -> None:
    inner = [f"<{block}>two</{block}>" for block in [*BLOCKS, "h2", "dl", "pre", "blockquote"]]
    inner += ["<ul><li>two</ul>", "<table><tr><td>two</table>", "<table><caption>two</table>"]
    for block in inner:
        text = read("a.html", f"one<{tag}>{block}</{tag}>three")[0].text
        assert [word.strip('">') for word in text.split() if "o" in word or "e" in word] == [
            "one",
            "two",
            "three",
        ]
    page = f"<{tag}><h2>Head</h2><ul><li>one<li>two</ul><p>three</p><p>four</p></{tag}>"
    text = "## Head\n\n- one\n- two\n\nthree\n\nfour"
    assert read("a.html", page)[0].text.strip('"\n') == text


@pytest.mark.parametrize("tag", FORMATTING)
@pytest.mark.parametrize("space", [" ", "\n", "&nbsp;", "<br>", "\n <br>"])
def test_html_keeps_the_white_space_at_the_ends_of_emphasis(
    read: Read, tag: str, space: str
) -> None:
    page = f"<p>one<{tag}>{space}two{space}</{tag}>three<{tag}>{space}</{tag}>four"
    text = read("a.html", page)[0].text
    assert re.sub(r"[*~`\"]", "", text).split() == ["one", "two", "three", "four"]


def test_html_keeps_words_apart_after_nested_lists_and_headings_in_cells(read: Read) -> None:
    page = "<ul><li>one<ul><li>two</ul>three<li>four</ul>"
    assert read("a.html", page)[0].text == "- one\n  - two\n  three\n- four"
    page = "<table><tr><td><h3>one</h3>two<h4>three</h4><b>four</b></table>"
    assert "one two three **four**" in " ".join(read("a.html", page)[0].text.split())


@pytest.mark.parametrize(
    "block",
    [
        "<pre>```python\nx = 1\n```</pre>",
        "<pre><code>````\n```</code></pre>",
        "<p>```</p>",
        "<p>fences:<br>~~~</p>",
        "<p># one</p>",
        "<p>one\n## two</p>",
        "<p>one\n---\ntwo</p>",
        "<p>&lt;script> is a tag</p>",
        "<p>&lt;!-- begins a comment</p>",
        "<p>&lt;pre> is another</p>",
    ],
)
def test_html_text_is_not_taken_for_markdown(read: Read, block: str) -> None:
    document = read("a.html", f"{block}<h2>Next</h2><p>x</p>")[0]
    assert [heading.title for heading in headings(document.text, "markdown")] == ["Next"]
    assert document.title == "Next"


def test_html_headings_keep_what_looks_like_tags(read: Read) -> None:
    document = read("a.html", "<h1>List&lt;E> and <code>&lt;select></code></h1>")[0]
    assert document.title == "List<E> and <select>"


@pytest.mark.parametrize("number", ["½", "²", "-1", "", "9" * 5000, "1000"])
def test_html_numbers_that_are_none(read: Read, number: str) -> None:
    items = f"<ol start='{number}'><li>a<li>b</ol>"
    table = f"<table><tr><td colspan='{number}'>x<th colspan='{number}'>y</table>"
    lines = read("a.html", items + table)[0].text.split("\n")
    first = int(number) if number == "1000" else 1
    assert lines[:2] == [f"{first}. a", f"{first + 1}. b"]
    assert lines[-1] == "| x | y |"


def test_html_pictures_are_words_of_their_own(read: Read) -> None:
    page = "<p>one<img alt=two>three</p><a><img alt=Home>Products</a>, <img alt=x>. y<img alt=''>z"
    text = read("a.html", page)[0].text
    assert " ".join(text.split()) == "one two three Home Products, x. yz"


def test_html_list_items_are_numbered_from_their_start(read: Read) -> None:
    page = "<ol start=9><li>a<li><p>b</p><p>c</p><ul><li>d</ul></ol>"
    assert read("a.html", page)[0].text == "9. a\n10. b\n\n    c\n\n    - d"


def test_html_drawings_do_not_name_the_page(read: Read) -> None:
    page = "<svg><title>Menu</title></svg><h1>Big</h1>"
    assert read("a.html", page)[0].title == "Big"


def test_html_controls_in_running_text(read: Read) -> None:
    page = "<p>Press (<button>OK</button>), <label>then</label> <output>wait</output>.</p>"
    assert read("a.html", page)[0].text == "Press (OK), then wait."


def test_html_keeps_words_with_inline_elements_whole(read: Read) -> None:
    page = (
        "<p><b>un</b>believable <span>l</span>ong H<sub>2</sub>O <a href='#'>li</a>nk fo<wbr>o</p>"
    )
    assert read("a.html", page)[0].text == "**un**believable long H2O link foo"


def test_html_loses_invisible_characters_within_words(read: Read) -> None:
    page = "<title>Do&shy;nau</title><p>Die Donau&shy;dampf&#8203;schiff&#8288;fahrt</p>"
    document = read("a.html", page)[0]
    assert (document.title, document.text) == ("Donau", "Die Donaudampfschifffahrt")
    assert read("a.html", "<p>ភាសា\u200bខ្មែរ</p>")[0].text == "ភាសា\u200bខ្មែរ"
    assert refusal(read, "a.html", "<p>&shy;</p>") == "empty"


def test_html_without_title_is_called_by_its_heading(read: Read) -> None:
    assert read("a.htm", "<p>x</p><h1>Big</h1>")[0].title == "Big"


def test_html_is_read_in_the_encoding_it_declares(read: Read, notes: Notes) -> None:
    page = '<meta http-equiv="Content-Type" content="text/html; charset={}"><p>Привет мир</p>'
    for charset in ("koi8-r", "windows-1251", "ISO-8859-5"):
        assert read("a.html", page.format(charset).encode(charset))[0].text == "Привет мир"
    assert read("a.html", page.format("koi8-r").encode())[0].text == "Привет мир"
    assert notes == []
    euro = b'<meta charset="iso-8859-1"><p>5\x80</p>'
    assert read("a.html", euro)[0].text == "5€"


@pytest.mark.parametrize("charset", ["no-such", "unicode_escape", "zlib", "idna", "utf-16", "é"])
def test_html_that_declares_nonsense(read: Read, charset: str) -> None:
    page = f'<meta charset="{charset}"><p>caf'.encode() + b"\xe9 au lait</p>"
    assert read("a.html", page)[0].text.startswith("caf")


def test_html_of_other_kinds_raises_no_warning(read: Read) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read("a.xhtml", '<?xml version="1.0"?><root><p>x</p></root>')[0].text == "x"
        assert read("a.html", "https://example.org/page")[0].text == "https://example.org/page"
        assert read("a.html", "no_markup.txt")[0].text == "no_markup.txt"


def test_html_refused(read: Read) -> None:
    assert refusal(read, "a.html", "<div>" * 5000 + "x") == "HTML nested too deeply"
    assert refusal(read, "a.html", "<script>x</script><title>t</title>") == "empty"


# --- PDF -----------------------------------------------------------------------------------------


def test_pdf_pages_are_joined_by_form_feeds(read: Read) -> None:
    pdf = make_pdf([["First line.", "Second line."], [], ["Third page."]])
    assert read("a.pdf", pdf) == [
        Document(
            id="d",
            text="First line.\nSecond line.\n\f\n\n\f\nThird page.",
            metadata={"pages": 3},
        )
    ]


def test_pdf_words_broken_by_a_hyphen_are_joined(read: Read) -> None:
    pdf = make_pdf([["It is inter-", "national."]], title="Named")
    [document] = read("a.pdf", pdf)
    assert (document.text, document.title) == ("It is international.", "Named")


def test_pdf_refused(read: Read, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("password_aes256.pdf", "password_rc4.pdf"):
        assert refusal(read, "a.pdf", (DATA / name).read_bytes()) == "password-protected PDF"
    assert refusal(read, "a.pdf", make_pdf([[]])) == "PDF without text (scanned pages?)"
    assert refusal(read, "a.pdf", make_pdf([[FOX]])[:200]) == "damaged PDF, or none"
    assert refusal(read, "a.pdf", b"text") == "damaged PDF, or none"
    bomb = make_pdf([[FOX]], bomb=2**20)
    assert refusal(read, "a.pdf", bomb, 2**16) == "a page unpacks to more than 65536 bytes"
    many = make_pdf([["x" * 100]] * 20)
    assert refusal(read, "a.pdf", many + bytes(10), len(many) // 4) == (
        f"larger than {len(many) // 4} bytes"
    )
    assert capfd.readouterr().err == ""


# --- Word ----------------------------------------------------------------------------------------


def test_docx_becomes_markdown(read: Read, tmp_path: Path) -> None:
    from docx import Document as WordDocument

    word = WordDocument()
    word.add_heading("The report", 0)
    word.add_heading("Part", 1)
    word.add_paragraph("Plain ").add_run("bold").bold = True
    word.add_heading("Deep", 3)
    word.add_paragraph("one", style="List Bullet")
    word.add_paragraph("two", style="List Bullet")
    word.add_paragraph("first", style="List Number")
    table = word.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["a", "b|c", "", "d\ne"], strict=True):
        cell.text = text
    word.add_paragraph("End\twith tab\nand break")
    path = tmp_path / "saved.docx"
    word.save(path)
    expected = """# The report

# Part

Plain bold

### Deep

- one
- two
1. first

| a | b\\|c |
| --- | --- |
|  | d e |

End\twith tab
and break"""
    assert read("a.docx", path.read_bytes()) == [
        Document(id="d", text=expected, title="The report", format="markdown")
    ]


def test_docx_links_insertions_and_content_controls_are_read(read: Read, tmp_path: Path) -> None:
    from docx import Document as WordDocument
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    word = WordDocument()
    word.core_properties.title = "Named"
    for inner in (
        "<w:p><w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink><w:ins><w:r><w:t> in</w:t></w:r>"
        "</w:ins><w:del><w:r><w:delText> out</w:delText></w:r></w:del><w:moveFrom><w:r><w:t> gone"
        "</w:t></w:r></w:moveFrom></w:p>",
        "<w:p><w:pPr><w:numPr><w:ilvl w:val='1'/><w:numId w:val='1'/></w:numPr></w:pPr>"
        "<w:r><w:t>item</w:t></w:r></w:p>",
    ):
        block = f"<w:sdt {nsdecls('w')}><w:sdtContent>{inner}</w:sdtContent></w:sdt>"
        word.element.body.insert(0, parse_xml(block))
    path = tmp_path / "saved.docx"
    word.save(path)
    [document] = read("a.docx", path.read_bytes())
    assert (document.text, document.title) == ("  - item\n\nlink in", "Named")


def docx_of(*blocks: str) -> bytes:
    """A Word file whose body is these blocks."""
    from docx import Document as WordDocument
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    word = WordDocument()
    for number, block in enumerate(blocks):
        names = (
            f"<w:sdtContent {nsdecls('w')} xmlns:v='urn:schemas-microsoft-com:vml' "
            "xmlns:mc='http://schemas.openxmlformats.org/markup-compatibility/2006'>"
        )
        word.element.body.insert(number, parse_xml(f"{names}{block}</w:sdtContent>"))
    saved = io.BytesIO()
    word.save(saved)
    return saved.getvalue()


def rezipped(data: bytes, old: str, new: str) -> bytes:
    """A Word file with a name in its XML replaced."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(old.encode(), new.encode()))
    return changed.getvalue()


def docx_paragraph(text: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def test_docx_rows_and_cells_of_content_controls_are_read(read: Read) -> None:
    def control(inner: str) -> str:
        return f"<w:sdt><w:sdtPr/><w:sdtContent>{inner}</w:sdtContent></w:sdt>"

    a, b, c, d = (f"<w:tc>{docx_paragraph(text)}</w:tc>" for text in "abcd")
    table = f"<w:tbl><w:tr>{a}{control(b)}</w:tr>{control(f'<w:tr>{c}{d}</w:tr>')}</w:tbl>"
    [document] = read("a.docx", docx_of(table))
    assert document.text == "| a | b |\n| --- | --- |\n| c | d |"


def test_docx_text_boxes_come_once_and_as_paragraphs(read: Read) -> None:
    box = f"<w:txbxContent>{docx_paragraph('one')}{docx_paragraph('two')}</w:txbxContent>"
    drawn = (
        f"<w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing>{box}</w:drawing>"
        f"</mc:Choice><mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict></mc:Fallback>"
        "</mc:AlternateContent></w:r>"
    )
    anchor = docx_paragraph("text").replace("</w:p>", f"{drawn}</w:p>")
    table = f"<w:tbl><w:tr><w:tc>{anchor}</w:tc></w:tr></w:tbl>"
    assert read("a.docx", docx_of(anchor))[0].text == "text\n\none\n\ntwo"
    assert read("a.docx", docx_of(table))[0].text == "| text one two |\n| --- |"


def test_docx_text_is_not_taken_for_markdown(read: Read) -> None:
    title = docx_paragraph("List&lt;E&gt;", "<w:pStyle w:val='Heading1'/>")
    data = docx_of(docx_paragraph("# comment"), docx_paragraph("```"), title)
    [document] = read("a.docx", data)
    assert [found.title for found in headings(document.text, "markdown")] == ["List<E>"]


def test_docx_numbering_that_is_taken_back(read: Read) -> None:
    numbers = "<w:numPr><w:ilvl w:val='0'/><w:numId w:val='{}'/></w:numPr>"
    data = docx_of(*(docx_paragraph("x", numbers.format(identity)) for identity in (1, 0)))
    assert read("a.docx", data)[0].text == "- x\n\nx"


def test_docx_in_the_strict_form(read: Read) -> None:
    usual, strict = "schemas.openxmlformats.org/{}/2006/", "purl.oclc.org/ooxml/{}/"
    data = docx_of(docx_paragraph("x", "<w:pStyle w:val='Heading1'/>"))
    for kind in ("wordprocessingml", "officeDocument", "drawingml"):
        data = rezipped(data, usual.format(kind), strict.format(kind))
    [document] = read("a.docx", data)
    assert (document.text, document.title) == ("# x", "x")


def test_docx_refused(read: Read) -> None:
    good = make_docx(("Normal", FOX))
    assert read("a.docx", good)[0].text == FOX
    assert refusal(read, "a.docx", b"text") == "not a Word file"
    assert refusal(read, "a.docx", b"\xd0\xcf\x11\xe0" + bytes(600)).startswith(
        "password-protected"
    )
    assert refusal(read, "a.docx", good[:2000]).startswith("damaged Word file: ")
    assert refusal(read, "a.docx", make_docx()) == "empty"


def test_docx_bombs_are_refused_by_what_they_unpack_to(read: Read) -> None:
    bomb = zip_bomb_docx(2**20)
    limit = 2**19
    assert len(bomb) < limit
    assert refusal(read, "a.docx", bomb, limit) == "unpacks to more than 524288 bytes"


# --- mail ----------------------------------------------------------------------------------------


def make_mail(html: str = "", **headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = "Größe der Türen"
    mail["From"] = "Ann Öz <ann@a.example>"
    mail["Date"] = "Mon, 02 Mar 2020 10:00:00 +0100"
    for name, value in headers.items():
        mail[name] = value
    if html:
        mail.set_content(html, subtype="html", charset="iso-8859-1")
    else:
        mail.set_content("Grüße,\nsee below", charset="iso-8859-1")
    return mail


def test_mail_is_its_text_with_the_subject_as_title(read: Read, notes: Notes) -> None:
    mail = make_mail(To="b@b.example, c@c.example")
    mail.add_alternative("<p>the same in HTML</p>", subtype="html")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="plän.pdf")
    [document] = read("a.eml", bytes(mail).replace(b"\n", b"\r\n"))
    assert document.text == "Grüße,\nsee below\n"
    assert (document.title, document.format) == ("Größe der Türen", "text")
    assert document.metadata == {
        "from": "Ann Öz <ann@a.example>",
        "to": "b@b.example, c@c.example",
        "date": "2020-03-02T10:00:00+01:00",
        "attachments": ["plän.pdf"],
    }
    assert notes == []


def test_mail_without_plain_text_is_its_html(read: Read) -> None:
    [document] = read("a.eml", bytes(make_mail("<h1>Türen</h1><p>breit <b>genug</b></p>")))
    assert document.text == "# Türen\n\nbreit **genug**"
    assert (document.title, document.format) == ("Größe der Türen", "markdown")


@pytest.mark.parametrize("header", ["To: :@", "To: a:b@c:;d", "Date: soon", "Cc: =?x?q?=ff?="])
def test_mail_with_an_odd_header_keeps_the_rest(read: Read, header: str) -> None:
    data = f"Subject: one\n{header}\nContent-Type: text/plain; charset=none\n\nbody\n"
    [document] = read("a.eml", data)
    assert (document.title, document.text) == ("one", "body\n")


def test_what_is_no_mail_is_told(read: Read) -> None:
    with pytest.raises(ReadError, match="not a message of electronic mail"):
        read("a.eml", "just some text\n\nand more")
    with pytest.raises(ReadError, match="empty"):
        read("a.eml", "Subject: nothing in it\n\n")


# --- notebooks -----------------------------------------------------------------------------------


def test_notebooks_of_both_formats(read: Read) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": "x = '''```'''", "outputs": [{"text": "printed"}]},
        {"cell_type": "code", "source": []},
        {"cell_type": "code", "source": None},
        {"cell_type": "raw", "source": "raw"},
    ]
    four = {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4}
    text = "# Title\ntext\n\n````python\nx = '''```'''\n````\n\nraw"
    expected = [Document(id="d", text=text, title="Title", format="markdown")]
    assert read("a.ipynb", json.dumps(four)) == expected
    old = [
        {"cell_type": "heading", "level": 1, "source": "Title"},
        {"cell_type": "code", "language": "python", "input": ["x = 1\n", "y"]},
    ]
    three = {"worksheets": [{"cells": old}], "metadata": {}, "nbformat": 3}
    [document] = read("a.ipynb", json.dumps(three))
    assert (document.text, document.title) == ("# Title\n\n```python\nx = 1\ny\n```", "Title")


@pytest.mark.parametrize(
    "data",
    ["x", "{}", "[]", '{"cells": 1}', '{"cells": [{"source": "x"}]}', '{"cells": [1]}', "[" * 5000],
)
def test_notebooks_refused(read: Read, data: str) -> None:
    assert refusal(read, "a.ipynb", data) == "not a Jupyter notebook"


# --- all of them ---------------------------------------------------------------------------------


def test_awkward_files(tmp_path: Path) -> None:
    expected = build_awkward(tmp_path)
    for name, reason in expected.items():
        path = tmp_path / name
        if not path.is_file() or path.suffix == ".png" or name.startswith("."):
            continue
        found, error = [], ""
        try:
            found = list(read_file(path, "d", note=lambda *_note: None))
        except ReadError as caught:
            error = str(caught)
        assert (reason in error) if reason else (found and not error), (name, error)


SUFFIXES = [
    "md",
    "rst",
    "html",
    "pdf",
    "docx",
    "ipynb",
    "eml",
    "csv",
    "jsonl",
    "txt",
    "json",
    "csv.gz",
]


@given(st.binary(max_size=300), st.sampled_from(SUFFIXES))
@example(b"PK\x03\x04" + bytes(100), "docx")
@example(b"%PDF-1.4\n1 0 obj\n<< /Fl >>stream\n\x78\x9c", "pdf")
@example(b"<" * 200, "html")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_format_raises_anything_but_read_error(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    with suppress(ReadError):
        list(read_file(path, "d", note=lambda *_note: None))


@given(st.data(), st.sampled_from(["pdf", "docx", "eml"]))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)
def test_damage_anywhere_raises_nothing_but_read_error(
    tmp_path: Path, data: st.DataObject, suffix: str
) -> None:
    good = bytearray(GOOD[suffix])
    for place in data.draw(st.lists(st.integers(0, len(good) - 1), max_size=5)):
        good[place] = data.draw(st.integers(0, 255))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(good)
    with suppress(ReadError):
        list(read_file(path, "d", note=lambda *_note: None))


GOOD = {
    "pdf": make_pdf([[FOX], [FOX]]),
    "docx": make_docx(("Title", FOX), ("List Bullet", FOX)),
    "eml": bytes(make_mail("<p>breit</p>", To="b@b.example, c@c.example")),
}
