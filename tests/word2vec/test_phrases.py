"""Which pairs are joined, by gensim's scorer, and how a text is rewritten."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from gensim.models.phrases import original_scorer
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.word2vec import Word2VecConfig, corpus, train_word2vec
from embedsearch.word2vec.corpus import END, Scan, read_ids
from embedsearch.word2vec.phrases import join_phrases

TEXT = st.lists(st.lists(st.sampled_from("abcdef"), max_size=12), min_size=1, max_size=20)


def joined(text, path, min_count, threshold):
    """The rewritten text and the counts by key."""
    scan = Scan(text, path)
    join_phrases(scan, min_count, threshold)
    rows, row = [], []
    for number in read_ids(path, 0, scan.size):
        if number == END:
            rows.append(row)
            row = []
        else:
            row.append(scan.keys[number])
    assert not row
    return rows, dict(zip(scan.keys, scan.counts.tolist(), strict=True))


def expected(text, min_count, threshold):
    words = Counter(word for row in text for word in row)
    pairs = Counter(pair for row in text for pair in pairwise(row))
    total = sum(words.values())
    phrases = {
        (a, b)
        for (a, b), count in pairs.items()
        if words[a] >= min_count
        and words[b] >= min_count
        and original_scorer(words[a], words[b], count, total, min_count, total) > threshold
    }
    rows = []
    for row in text:
        out, at = [], 0
        while at < len(row):
            pair = tuple(row[at : at + 2])
            out.append("_".join(pair) if pair in phrases else row[at])
            at += 2 if pair in phrases else 1
        rows.append(out)
    return rows


@given(TEXT, st.integers(1, 3), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_texts_are_rewritten_from_the_left(tmp_path_factory, text, min_count, threshold):
    path = tmp_path_factory.mktemp("phrases") / "ids"
    rows, counts = joined(text, path, min_count, threshold)
    assert rows == expected(text, min_count, threshold)
    found = Counter(word for row in rows for word in row)
    assert {key: count for key, count in counts.items() if count} == found


def test_a_phrase_that_is_a_word_already_is_that_word(tmp_path):
    text = [["new", "york"]] * 9 + [["new_york", "is", "big"]]
    _, counts = joined(text, tmp_path / "ids", 1, 0.5)
    assert counts["new_york"] == 10


def test_phrases_get_vectors():
    random = np.random.default_rng(0)
    filler = [f"w{i}" for i in range(30)]
    text = [
        [*random.choice(filler, 3), "new", "york", *random.choice(filler, 3)] for _ in range(300)
    ]
    config = Word2VecConfig(
        vector_size=8, min_count=5, epochs=1, phrases=True, phrase_threshold=5.0
    )
    found = train_word2vec(text, config)
    assert "new_york" in found
    assert "new" not in found
    assert found.counts[found.key_to_index["new_york"]] == 300


def test_chunks_do_not_matter_but_for_pairs_across_them(tmp_path, monkeypatch):
    from embedsearch.word2vec import phrases

    text = [["a", "b", "c"]] * 40 + [["c", "a"]] * 10
    whole = joined(text, tmp_path / "one", 1, 0.5)
    for module in (corpus, phrases):
        monkeypatch.setattr(module, "FLUSH_IDS", 4)  # sequences of 3 and an end
    assert joined(text[:40], tmp_path / "two", 1, 0.5)[0] == expected(text[:40], 1, 0.5)
    assert whole[0] == expected(text, 1, 0.5)
