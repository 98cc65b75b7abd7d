"""Analogies against gensim, Spearman against SciPy, files that cannot be read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from embedsearch.errors import InputError, NotFoundError
from embedsearch.word2vec import KeyedVectors
from embedsearch.word2vec.gold import rate_pairs, read_gold, solve_analogies, spearman

WORDS = [f"w{i}" for i in range(60)]


@pytest.fixture(scope="module")
def vectors() -> KeyedVectors:
    random = np.random.default_rng(0)
    places = random.normal(size=(20, 6))
    shifts = random.normal(size=(3, 6)) * 2
    noise = random.normal(size=(60, 6)) * 0.35
    matrix = np.concatenate([places + shift for shift in shifts]) + noise
    return KeyedVectors(WORDS, matrix.astype(np.float32))


def questions_file(path, sections):
    lines = []
    for name, questions in sections.items():
        lines += [f": {name}", *(" ".join(question) for question in questions)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_analogies_are_gensims(tmp_path, vectors):
    sections = {
        "one": [
            (f"w{a}", f"w{a + 20}", f"w{b}", f"w{b + 20}")
            for a in range(20)
            for b in range(20)
            if a != b
        ],
        "two": [("W1", "w41", "w2", "W42"), ("w1", "missing", "w2", "w3")],
    }
    path = questions_file(tmp_path / "questions.txt", sections)
    found = solve_analogies(vectors, read_gold(path).analogies)
    score, theirs = vectors.to_gensim().evaluate_word_analogies(str(path))
    for ours, their in zip(found.sections, theirs, strict=False):
        assert ours.name == their["section"]
        assert ours.correct == len(their["correct"])
        assert ours.covered == len(their["correct"]) + len(their["incorrect"])
    assert found.total.accuracy == pytest.approx(score)
    assert 0 < found.total.accuracy < 1
    assert found.total.questions == 382
    assert found.sections[1].covered == 1


def test_keys_that_differ_in_case_count_as_one_as_gensim_has_them(tmp_path):
    random = np.random.default_rng(3)
    keys, rows = [], []
    for word in WORDS:
        place = random.normal(size=6)
        for key in (word, word.upper())[: random.integers(1, 3)]:
            keys.append(key)
            rows.append(place + random.normal(size=6) * 0.2)
    vectors = KeyedVectors(keys, np.array(rows, np.float32))
    questions = []
    for _ in range(400):
        a, b, c = random.choice(WORDS, 3, replace=False).tolist()
        near = vectors.most_similar([b, c], [a], topn=12)
        answer = next(key.lower() for key, _ in near if key.lower() not in (a, b, c))
        questions.append((a, b.upper(), c, answer if random.random() < 0.8 else a))
    path = questions_file(tmp_path / "questions.txt", {"one": questions})
    found = solve_analogies(vectors, read_gold(path).analogies)
    score, _ = vectors.to_gensim().evaluate_word_analogies(str(path))
    assert found.total.covered == 400
    assert found.total.accuracy == pytest.approx(score)
    assert 0.7 < score < 0.9


def test_rated_pairs_are_scipys(tmp_path, vectors):
    random = np.random.default_rng(1)
    pairs = [
        (f"W{a}", f"w{b}", float(random.integers(0, 8))) for a, b in random.integers(0, 60, (80, 2))
    ]
    path = tmp_path / "pairs.txt"
    lines = [f"{a}\t{b}\t{score}" for a, b, score in pairs]
    path.write_text("# a remark\n" + "\n".join([*lines, "x y 3"]) + "\n", encoding="utf-8")
    found = rate_pairs(vectors, read_gold(path).pairs)
    cosines = [vectors.similarity(a.lower(), b) for a, b, _ in pairs]
    expected = spearmanr(cosines, [score for _, _, score in pairs]).statistic
    assert found.spearman == pytest.approx(expected)
    assert (found.pairs, found.covered) == (81, 80)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=30))
def test_spearman_with_ties(pairs):
    one, other = zip(*pairs, strict=True)
    found = spearman(one, other)
    if len(set(one)) < 2 or len(set(other)) < 2:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(one, other).statistic)


def test_nothing_covered(vectors):
    found = rate_pairs(vectors, [("x", "y", 1.0)])
    assert (found.spearman, found.covered) == (None, 0)
    total = solve_analogies(vectors, {"s": [("x", "y", "z", "q")]}).total
    assert (total.accuracy, total.covered, total.questions) == (0, 0, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither"),
        (": empty\n", "neither"),
        (": s\na b c\n", ":2: an analogy has four words, not 3"),
        ("a b\n", ":1: a rated pair"),
        ("a b c\n", ":1: a rated pair"),
        ("a b 1\nc d nan\n", ":2: the score is nan"),
        (b"a b \xff\n", "not UTF-8"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / "gold.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        read_gold(path)


def test_no_file(tmp_path):
    with pytest.raises(NotFoundError):
        read_gold(tmp_path / "none.txt")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "pairs"), [("EN-WS-353-ALL", 353), ("EN-MEN-TR-3k", 3000), ("EN-SIMLEX-999", 999)]
)
def test_the_public_similarity_sets_are_read(public_set, name, pairs):
    assert len(read_gold(public_set("word_similarity") / f"{name}.txt").pairs) == pairs


@pytest.mark.data
def test_the_public_analogies_are_read(public_set):
    sections = read_gold(public_set("word_analogy") / "questions-words.txt").analogies
    assert sum(map(len, sections.values())) == 19544
    assert len(sections) == 14
