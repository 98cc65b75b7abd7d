"""The word2vec formats: there and back, with gensim, and files that are not what they say."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest
from gensim.models import KeyedVectors as GensimVectors
from hypothesis import example, given
from hypothesis import strategies as st

from embedsearch.errors import IndexFileError, InputError, NotFoundError
from embedsearch.word2vec import KeyedVectors

KEYS = ["the", "new_york", "日本", "d'été", "a-b", "7"]


@pytest.fixture
def found() -> KeyedVectors:
    random = np.random.default_rng(3)
    return KeyedVectors(KEYS, random.normal(size=(len(KEYS), 9)).astype(np.float32))


@pytest.mark.parametrize("binary", [True, False])
def test_files_go_to_gensim_and_come_back(tmp_path, found, binary):
    path = tmp_path / "ours"
    found.save_word2vec_format(path, binary=binary)
    theirs = GensimVectors.load_word2vec_format(path, binary=binary)
    assert theirs.index_to_key == KEYS
    np.testing.assert_array_equal(theirs.vectors, found.vectors)
    theirs.save_word2vec_format(tmp_path / "theirs", binary=binary)
    for known in (None, binary):
        again = KeyedVectors.load_word2vec_format(tmp_path / "theirs", binary=known)
        assert again.keys == KEYS
        np.testing.assert_array_equal(again.vectors, found.vectors)


@pytest.mark.parametrize("binary", [True, False])
def test_packed_files_and_a_limit(tmp_path, found, binary):
    path = tmp_path / "vectors"
    found.save_word2vec_format(path, binary=binary)
    packed = tmp_path / "vectors.gz"
    packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    assert KeyedVectors.load_word2vec_format(packed).keys == KEYS
    assert KeyedVectors.load_word2vec_format(packed, limit=2).keys == KEYS[:2]
    assert KeyedVectors.load_word2vec_format(path, limit=99).keys == KEYS


@given(st.data())
def test_any_key_and_number_comes_back(tmp_path_factory, data):
    word = st.text(st.characters(exclude_categories=["Cs", "Z", "C"]), min_size=1, max_size=8)
    keys = data.draw(st.lists(word, min_size=1, max_size=6, unique=True))
    number = st.floats(allow_nan=False, allow_infinity=False, width=32)
    rows = [data.draw(st.lists(number, min_size=2, max_size=2)) for _ in keys]
    found = KeyedVectors(keys, np.array(rows, np.float32))
    path = tmp_path_factory.mktemp("any") / "file"
    for binary in (True, False):
        found.save_word2vec_format(path, binary=binary)
        again = KeyedVectors.load_word2vec_format(path, binary=binary)
        assert again.keys == keys
        np.testing.assert_array_equal(again.vectors, found.vectors)


def test_a_file_of_fasttext_with_blanks_at_the_end_and_a_key_that_stands_twice(tmp_path):
    path = tmp_path / "wiki.vec"
    path.write_bytes(b"3 2\na 1 2 \nb 3 4 \na 5 6 \n")
    found = KeyedVectors.load_word2vec_format(path)
    assert found.keys == ["a", "b"]
    assert found.vectors.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("limit", [None, 2, 9])
def test_a_file_of_glove_has_no_first_line(tmp_path, found, packed, limit):
    found.save_word2vec_format(tmp_path / "ours")
    rows = (tmp_path / "ours").read_bytes().partition(b"\n")[2] + b". . . " + b"1 " * 8 + b"1"
    path = tmp_path / "glove.txt"
    path.write_bytes(gzip.compress(rows, mtime=0) if packed else rows)
    theirs = GensimVectors.load_word2vec_format(
        tmp_path / "ours", binary=False, limit=limit and min(limit, len(KEYS))
    )
    ours = KeyedVectors.load_word2vec_format(path, limit=limit)
    assert ours.keys == [*theirs.index_to_key, *([] if limit == 2 else [". . ."])]
    np.testing.assert_array_equal(ours.vectors[: len(theirs)], theirs.vectors)


def test_more_vectors_of_glove_than_are_made_room_for(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("".join(f"w{i} {i} {-i}\n" for i in range(10_000)))
    found = KeyedVectors.load_word2vec_format(path)
    assert len(found) == 10_000
    assert found["w9999"].tolist() == [9999, -9999]


@pytest.mark.parametrize(
    "data",
    [
        b"2 3\nnew york 0.5 0.25 3\nb 1 2 3\n",
        b"\xef\xbb\xbf2 3\nnew york 0.5 0.25 3\nb 1 2 3\n",
        b"2 3\r\nnew york 0.5 0.25 3\r\nb 1 2 3\r\n",
    ],
)
def test_text_is_known_by_its_numbers_whatever_its_first_key(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    found = KeyedVectors.load_word2vec_format(tmp_path / "file")
    assert found.keys == ["new york", "b"]
    assert found.vectors.tolist() == [[0.5, 0.25, 3], [1, 2, 3]]


def test_numbers_between_tabs(tmp_path):
    (tmp_path / "file").write_bytes(b"2 3\na\t0.5\t0.25\t3\nb\t1\t2\t3\n")
    found = KeyedVectors.load_word2vec_format(tmp_path / "file")
    assert found.keys == ["a", "b"]
    assert found.vectors.tolist() == [[0.5, 0.25, 3], [1, 2, 3]]


@example([b"0\t" + b"\0" * 14])
@example([b"7 \x0a\x07" * 4])
@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=4))
def test_binary_is_told_from_text_whatever_its_bytes(tmp_path_factory, rows):
    matrix = np.nan_to_num(np.frombuffer(b"".join(rows), "<f4").reshape(-1, 4))
    found = KeyedVectors([f"w{i}" for i in range(len(rows))], matrix.astype(np.float32))
    path = tmp_path_factory.mktemp("any") / "file"
    found.save_word2vec_format(path, binary=True)
    again = KeyedVectors.load_word2vec_format(path)
    assert again.keys == found.keys
    np.testing.assert_array_equal(again.vectors, found.vectors)


@pytest.mark.parametrize("binary", [True, False])
def test_a_name_that_ends_in_gz_is_packed_as_gensim_expects(tmp_path, found, binary):
    paths = [tmp_path / "one.gz", tmp_path / "two.gz"]
    for path in paths:
        found.save_word2vec_format(path, binary=binary)
    theirs = GensimVectors.load_word2vec_format(str(paths[0]), binary=binary)
    assert theirs.index_to_key == KEYS
    np.testing.assert_array_equal(theirs.vectors, found.vectors)
    assert KeyedVectors.load_word2vec_format(paths[0]).keys == KEYS
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_name_that_no_file_can_have(tmp_path):
    for load in (KeyedVectors.load_word2vec_format, KeyedVectors.load):
        with pytest.raises(IndexFileError, match="File name too long"):
            load(tmp_path / ("a" * 300))


def test_a_key_with_white_space_cannot_be_written(tmp_path):
    found = KeyedVectors(["two words"], np.ones((1, 2), np.float32))
    with pytest.raises(InputError, match="two words"):
        found.save_word2vec_format(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


ROWS = b"a 1 2\nb 3 4\n"
BINARY = b"".join(
    k + b" " + np.array(v, "<f4").tobytes() for k, v in ((b"a", [1, 2]), (b"b", [3, 4]))
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins neither with a line"),
        (b"the quick brown\n", "begins neither with a line"),
        (b"the 0.1\n", "begins neither with a line"),
        (b"the 0.1 0.2\na 1\n", "line 2: 1 numbers where there should be 2"),
        (b"the 0.1 0.2\na 1 inf\n", "line 2: the vector of 'a' has inf"),
        (b"0 2\n", "0 vectors"),
        (b"2 0\n" + ROWS, "of 0 numbers"),
        (b"-2 2\n" + ROWS, "-2 vectors"),
        (b"2 99999999\n" + ROWS, "99999999 numbers"),
        (b"3 2\n" + ROWS, r"do not fit into its 16 bytes"),
        (b"3 2\na 1.25 2\nb 3 4.5\n", "line 4: the file ends here"),
        (b"900000000000 2\n" + ROWS, "do not fit"),
        (b"1 2\n" + ROWS, "goes on after the 1 vectors"),
        (b"2 3\na 1.25 2.25\nb 3.25 4.5 6.25\n", "2 numbers where there should be 3"),
        (b"2 2\na 1 2\nb 3 x\n", "line 3: could not convert"),
        (b"2 2\na 1 2\nb 3 nan\n", "the vector of 'b' has nan"),
        (b"2 2\na 1 2\nb inf 3\n", "the vector of 'b' has inf"),
        (b"2 2\na 1 2\n\xff 3 4\n", r"line 3: the key b'\\xff' is not UTF-8.*unicode_errors"),
        (b"2 2\n" + BINARY[:-1], "cut short"),
        (b"3 2\n" + BINARY, "do not fit|vector 3: the file ends here"),
        (b"1 2\n" + BINARY, "goes on after"),
        (b"2 2\n" + BINARY[:12] + np.array([np.nan, 1], "<f4").tobytes(), "vector of 'b' has nan"),
        (pickle.dumps({"vectors": 1}), "from_gensim"),
        (b"\xba\x16\x4f\x2f\x0c\0\0\0", r"\.vec"),
        (gzip.compress(b"2 2\n" + ROWS, mtime=0)[:-6], "gzip"),
        (gzip.compress(b"900000000000 2\n" + ROWS, mtime=0), "line 4: the file ends here"),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path, data, message):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(IndexFileError, match=message) as caught:
        KeyedVectors.load_word2vec_format(path)
    assert str(path) in str(caught.value)


def test_no_file_and_a_wrong_limit(tmp_path, found):
    with pytest.raises(NotFoundError):
        KeyedVectors.load_word2vec_format(tmp_path / "none")
    found.save_word2vec_format(tmp_path / "file")
    with pytest.raises(InputError, match="limit"):
        KeyedVectors.load_word2vec_format(tmp_path / "file", limit=0)
