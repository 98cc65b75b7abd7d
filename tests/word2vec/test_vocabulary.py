"""Tables of probabilities against their definitions; a text as ids."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.word2vec import corpus
from embedsearch.word2vec.corpus import END, Scan, make_corpus
from embedsearch.word2vec.vocabulary import keep_thresholds, noise_tables

COUNTS = st.lists(st.integers(1, 10**6), min_size=1, max_size=50)


@given(COUNTS, st.sampled_from([-0.5, 0.0, 0.5, 0.75, 1.0]))
def test_the_alias_tables_hold_the_noise_distribution(counts, exponent):
    threshold, alias = noise_tables(np.array(counts), exponent)
    own = threshold / 2.0**32
    found = own.copy()
    np.add.at(found, alias, 1 - own)
    expected = np.array(counts, float) ** exponent
    np.testing.assert_allclose(found / len(counts), expected / expected.sum(), atol=1e-8)


@pytest.mark.parametrize(("exponent", "drawn"), [(1e3, 1), (-1e3, 2), (1e300, 1), (-1e300, 2)])
def test_a_huge_exponent_draws_one_word_alone(exponent, drawn):
    threshold, alias = noise_tables(np.array([70, 900, 3, 200]), exponent)
    certain = threshold / 2.0**32 > 0.5
    assert certain.tolist() == [place == drawn for place in range(4)]
    assert np.where(certain, np.arange(4), alias).tolist() == [drawn] * 4


@given(COUNTS, st.sampled_from([1e-5, 1e-3, 0.1]))
def test_frequent_words_are_thinned_out(counts, sample):
    kept = keep_thresholds(np.array(counts), sample) / 2.0**32
    share = np.array(counts) / sum(counts)
    np.testing.assert_allclose(
        kept, np.minimum(np.sqrt(sample / share) + sample / share, 1), atol=1e-8
    )
    assert (keep_thresholds(np.array(counts), 0) == 2**32 - 1).all()


TEXT = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=9), min_size=1, max_size=15)


@given(TEXT, st.integers(1, 4), st.sampled_from([None, 2, 5]), st.sampled_from([5, 1 << 20]))
def test_a_text_as_ids(tmp_path_factory, text, min_count, max_vocab, flush):
    counts = Counter(word for row in text for word in row)
    first = list(dict.fromkeys(word for row in text for word in row))
    order = sorted(first, key=lambda word: -counts[word])
    keys = [word for word in order if counts[word] >= min_count][:max_vocab]
    kept = [[keys.index(word) for word in row if word in keys] for row in text]
    path = tmp_path_factory.mktemp("ids") / "ids"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "FLUSH_IDS", flush)
        scan = Scan(text, path)
        if not any(len(row) > 1 for row in kept):
            with pytest.raises(ValueError, match=r"min_count|no words"):
                make_corpus(scan, min_count=min_count, max_vocab=max_vocab)
            return
        found = make_corpus(scan, min_count=min_count, max_vocab=max_vocab)
    assert found.vocabulary.keys == keys
    assert found.vocabulary.counts.tolist() == [counts[key] for key in keys]
    assert found.words == sum(counts.values())
    expected = [number for row in kept for number in [*row, END]]
    assert found.read(0, found.size).tolist() == expected
    assert found.read(2, 3).tolist() == expected[2:5]
