"""Co-occurrence, vectors and measures against what they are by definition."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.errors import InputError
from embedsearch.songs import Catalogue, Song, SongConfig
from embedsearch.songs.artists import PRIOR, Artists
from embedsearch.songs.baselines import item_knn, popularity
from embedsearch.songs.cooccurrence import Cooccurrence
from embedsearch.songs.debuts import OF_ALL, SPANS, WIDTH, Debuts
from embedsearch.songs.debuts import PRIOR as BY_CHANCE
from embedsearch.songs.measures import measure
from embedsearch.songs.query import Query, seed_weights
from embedsearch.songs.ranking import Ranker, diversify, top
from embedsearch.songs.regression import Regression
from embedsearch.songs.vectors import SongVectors, sigmoid, unit

LISTS = [[0, 1, 2], [1, 2, 3], [2, 4], [3, 0], [5, 1, 0, 2]]
COUNT = 7
lists_of_rows = st.lists(
    st.lists(st.integers(0, COUNT - 1), min_size=2, max_size=6, unique=True), min_size=1, max_size=9
)


def by_hand(lists, seeds, weights, config):
    """The score of every song, by the formula, one playlist after the other."""
    frequency = [max(1, sum(song in each for each in lists)) for song in range(COUNT)]
    found = np.zeros(COUNT)
    for each in lists:
        like = sum(
            weight * frequency[seed] ** -config.seed_exponent
            for seed, weight in zip(seeds, weights, strict=True)
            if seed in each
        )
        like = (like * len(each) ** -config.length_exponent) ** config.sharpness if like else 0
        for song in each:
            found[song] += like * frequency[song] ** -config.popularity_exponent
    return found


@given(
    lists_of_rows,
    st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=3, unique=True),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0.5, 3),
)
def test_cooccurrence_is_its_formula(lists, seeds, exponent, other, sharpness):
    config = SongConfig(
        seed_exponent=exponent,
        popularity_exponent=other,
        length_exponent=exponent,
        sharpness=sharpness,
    )
    weights = seed_weights(len(seeds), 1.0)
    playlists = Cooccurrence.of(lists, COUNT)
    rows, scores = playlists.scores(playlists.likeness(seeds, weights, config), config)
    expected = by_hand(lists, seeds, weights, config)
    assert rows.tolist() == np.flatnonzero(expected).tolist()
    np.testing.assert_allclose(scores, expected[rows], rtol=1e-4)


@given(lists_of_rows, st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=3, unique=True))
def test_item_knn_is_the_sum_of_cosines(lists, seeds):
    matrix = np.array([[song in each for song in range(COUNT)] for each in lists], float)
    norms = np.maximum(np.linalg.norm(matrix, axis=0), 1e-12)
    cosines = matrix.T @ matrix / np.outer(norms, norms)
    expected = cosines[:, seeds].sum(axis=1)
    expected[seeds] = -np.inf
    found = item_knn(Cooccurrence.of(lists, COUNT))(seeds, COUNT)
    assert len(found) == COUNT - len(seeds)
    np.testing.assert_allclose(expected[found], np.sort(expected)[::-1][: len(found)], atol=1e-6)


def test_popularity():
    recommend = popularity(Cooccurrence.of(LISTS, COUNT))
    assert recommend([2], 3).tolist() == [0, 1, 3]  # 3 and 4 plays; equal ones by row


def test_recency_weights():
    np.testing.assert_allclose(seed_weights(3, 2.0), np.exp([-2, -1, 0]), rtol=1e-6)
    assert seed_weights(1, 5.0).tolist() == [1.0]
    assert seed_weights(0, 1.0).tolist() == []


def test_affinity_is_the_product_of_both_ways():
    random = np.random.default_rng(0)
    inputs, outputs = random.standard_normal((2, 40, 8)).astype(np.float32)
    vectors = SongVectors(inputs, outputs)
    expected = [
        1
        / (1 + math.exp(-float(outputs[t] @ inputs[3])))
        / (1 + math.exp(-float(inputs[t] @ outputs[3])))
        for t in range(40)
    ]
    found = vectors.scores(inputs[[3]], outputs[[3]], np.ones(1, np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_sigmoid_does_not_overflow():
    found = sigmoid(np.array([-1e30, -100, 0, 100, 1e30], np.float32))
    np.testing.assert_allclose(found, [0, 0, 0.5, 1, 1], atol=1e-12)


def test_nearest_is_by_cosine():
    random = np.random.default_rng(1)
    inputs = random.standard_normal((50, 8)).astype(np.float32) * random.random((50, 1)) * 9
    vectors = SongVectors(inputs.astype(np.float32), inputs.astype(np.float32))
    cosines = unit(inputs) @ unit(inputs[[7]])[0]
    rows, scores = vectors.nearest(inputs[7], 5)
    assert rows.tolist() == np.argsort(-cosines)[:5].tolist()
    np.testing.assert_allclose(scores, np.sort(cosines)[::-1][:5], rtol=1e-5)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 30))
def test_top(values, k):
    scores = np.array(values, np.float32)
    rows = np.arange(100, 100 + len(values))
    found, best = top(rows, scores, k)
    order = sorted(range(len(values)), key=lambda at: (-values[at], at))[:k]
    assert found.tolist() == [100 + at for at in order]
    assert best.tolist() == [values[at] for at in order]


def test_diversity_puts_off_what_resembles():
    units = unit(np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1]], np.float32))
    rows, scores = np.arange(4), np.array([1, 0.9, 0.8, 0.1], np.float32)
    assert diversify(rows, scores, units, 3, 0.0)[0].tolist() == [0, 1, 2]
    assert diversify(rows, scores, units, 3, 0.5)[0].tolist() == [0, 2, 1]


@given(lists_of_rows, st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=3, unique=True))
def test_regression_is_the_primal_one(lists, seeds):
    """With all playlists the scores are those of EASE's inverse of the songs' Gram matrix."""
    matrix = np.array([[song in each for song in range(COUNT)] for each in lists], float)
    weights = seed_weights(len(seeds), 1.0)
    wanted = np.zeros(COUNT)
    wanted[seeds] = weights
    gram = matrix.T @ matrix
    expected = np.linalg.solve(gram + 3.0 * np.eye(COUNT), gram @ wanted)
    everything = np.ones(len(lists), np.float32)
    found = Regression(Cooccurrence.of(lists, COUNT), everything, 100, 3.0)
    rows = np.arange(COUNT)
    np.testing.assert_allclose(found.scores(seeds, weights, rows), expected, atol=1e-5)
    for row in range(COUNT):
        shares = found.shares(seeds, weights, row)
        assert shares.sum() == pytest.approx(expected[row], abs=1e-5)


def test_regression_takes_the_nearest_playlists():
    playlists = Cooccurrence.of(LISTS, COUNT)
    likeness = np.array([0.1, 0.9, 0, 0, 0.8], np.float32)
    two = Regression(playlists, likeness, 2, 1.0).scores([2], np.ones(1), np.arange(COUNT))
    assert two[4] == 0  # in the third playlist only
    assert two[3] > 0


def test_no_song_comes_twice_under_two_ids():
    random = np.random.default_rng(4)
    inputs, outputs = random.standard_normal((2, COUNT, 4)).astype(np.float32)
    vectors, playlists = SongVectors(inputs, outputs), Cooccurrence.of(LISTS, COUNT)
    plain = Ranker(SongConfig(), vectors, playlists).best
    query = Ranker(SongConfig(), vectors, playlists).query([0])
    assert set(plain(query, COUNT, [0])[0].tolist()) == {1, 2, 3, 4, 5, 6}
    ranker = Ranker(SongConfig(), vectors, playlists, lambda row: {5: 0, 3: 1}.get(row, row))
    found = ranker.best(query, COUNT, [0])[0].tolist()
    first = next(row for row in plain(query, COUNT, [0])[0].tolist() if row in (1, 3))
    assert set(found) == {first, 2, 4, 6}


ARTISTS = [(0,), (1,), (0, 2), (), (1,), (2,), (0,)]


@given(
    st.lists(st.lists(st.integers(0, 3), unique=True).map(tuple), min_size=COUNT, max_size=COUNT),
    st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=4, unique=True),
)
def test_shares_of_artists_are_those_of_the_seeds(of, seeds):
    weights = seed_weights(len(seeds), 1.0)
    artists = Artists(of, {})
    asked = [of[seed] for seed in seeds]
    found = artists.shares(asked, weights)
    every = weights.sum() * (1 + PRIOR / len(seeds))
    for row, own in enumerate(of):
        sums = [sum(weights[[artist in of[seed] for seed in seeds]]) for artist in own]
        assert found[row] == pytest.approx(max(sums, default=0) / every, rel=1e-5)
        common = [bool(set(own) & set(of[seed])) for seed in seeds]
        assert artists.common(asked, row).tolist() == common


@given(
    lists_of_rows,
    st.lists(st.lists(st.integers(0, 3), unique=True).map(tuple), min_size=COUNT, max_size=COUNT),
)
def test_playlists_of_artists_are_counted(lists, of):
    found = Artists(of, {}).playlists(Cooccurrence.of(lists, COUNT))
    for row, own in enumerate(of):
        counts = [sum(any(artist in of[song] for song in each) for each in lists) for artist in own]
        assert found[row] == max([1, *counts])


def test_artists_by_name():
    songs = [
        Song(id="a", artist="Queen, David Bowie"),
        Song(id="b", artist="david bowie"),
        Song(id="c", title="Untitled"),
    ]
    found = Artists.named(["b", "x", "c", "a"], Catalogue(songs))
    assert found.of == [(0,), (), (), (1, 0)]


@given(lists_of_rows)
def test_ages_are_shares_of_the_playlists_since(lists):
    first, last = Cooccurrence.of(lists, COUNT).ages
    for row in range(COUNT):
        there = [number for number, each in enumerate(lists, 1) if row in each]
        assert first[row] == pytest.approx(1 - min(there, default=0) / len(lists))
        assert last[row] == pytest.approx(1 - max(there, default=0) / len(lists))


def debut_by_hand(lists, seeds, rows, shared, weight):
    """The factor of every row, by the formula, one song after the other."""

    def span(row):
        debut = next((at for at, each in enumerate(lists) if row in each), -1)
        return min((len(lists) - 1 - debut) * SPANS // len(lists), SPANS - 1)

    def near(one, other):
        every = sum(math.exp(-abs(span(one) - at) / WIDTH) for at in range(SPANS))
        return math.exp(-abs(span(one) - span(other)) / WIDTH) / every

    plays = [song for each in lists for song in each]

    def expected(row):
        of_all = sum(near(song, row) for song in plays) / len(plays)
        likely = sum(score * near(song, row) for song, score in zip(rows, shared, strict=True))
        return OF_ALL * of_all + (1 - OF_ALL) * likely / sum(shared)

    def log_ratio(row, others):
        prior = BY_CHANCE * expected(row)
        found = sum(near(seed, row) for seed in others)
        return math.log((found + prior) / (len(others) * expected(row) + prior))

    agreements = [log_ratio(seed, [other for other in seeds if other != seed]) for seed in seeds]
    exponent = weight * max(0, sum(agreements) / len(seeds))
    return [math.exp(exponent * log_ratio(row, seeds)) for row in rows]


@given(
    lists_of_rows,
    st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=4, unique=True),
    st.lists(st.floats(0.125, 1, width=16), min_size=COUNT, max_size=COUNT),
)
def test_debuts_are_their_formula(lists, seeds, shared):
    rows = np.arange(COUNT)
    found = Debuts(Cooccurrence.of(lists, COUNT)).factors(
        seeds, rows, np.array(shared, np.float32), 0.7
    )
    np.testing.assert_allclose(found, debut_by_hand(lists, seeds, rows, shared, 0.7), rtol=1e-3)


def test_songs_that_came_up_when_the_seeds_did_come_first():
    """Twenty playlists of three new songs, and a last one with a song of each of them."""
    weeks = [[3 * week, 3 * week + 1, 3 * week + 2] for week in range(20)]
    playlists = Cooccurrence.of([*weeks, [each[2] for each in weeks]], 60)
    rows = np.arange(2, 60, 3)
    even = np.ones(len(rows), np.float32)
    found = Debuts(playlists).factors([30, 31, 33, 34], rows, even, 0.3)
    assert set(rows[np.argsort(-found)[:2]].tolist()) == {32, 35}
    assert found.max() > 1 > found.min()
    for seeds in ([30], [0, 16, 30, 46]):  # nothing to agree with, no agreement
        assert (Debuts(playlists).factors(seeds, rows, even, 0.3) == 1).all()


def test_time_tells_nothing_where_all_songs_came_up_at_once():
    playlists = Cooccurrence.of([list(range(COUNT)), [0, 1], [2, 3]], COUNT)
    rows, even = np.arange(COUNT), np.ones(COUNT, np.float32)
    np.testing.assert_allclose(Debuts(playlists).factors([0, 1], rows, even, 1.0), 1, rtol=1e-5)


def test_the_blend_adds_its_sides_scaled_and_multiplies():
    random = np.random.default_rng(2)
    inputs, outputs = random.standard_normal((2, COUNT, 4)).astype(np.float32)
    config = SongConfig(
        vector_weight=3.0,
        regression_weight=2.0,
        candidates=10,
        penalty=2.0,
        artist_weight=2.5,
        freshness=0.6,
        novelty=0.3,
        fame=0.2,
        debut_weight=0.8,
    )
    vectors, playlists = SongVectors(inputs, outputs), Cooccurrence.of(LISTS, COUNT)
    artists = Artists(ARTISTS, {})
    ranker = Ranker(config, vectors, playlists, artists=artists)
    seeds = [0, 3]
    query = ranker.query(seeds)
    shared = by_hand(LISTS, seeds, query.weights, config)
    alike = ranker.vectors.scores(inputs[seeds], outputs[seeds], query.weights)
    likeness = ranker.playlists.likeness(seeds, query.weights, config)
    regressed = ranker.regression(likeness).scores(seeds, query.weights, np.arange(COUNT))
    others = [row for row in range(COUNT) if row not in seeds]
    expected = sum(
        weight * part[others] / part[others].max()
        for weight, part in ((1, shared), (2, regressed), (3, alike))
    )
    first, last = playlists.ages
    standing = np.exp(-0.6 * last - 0.3 * first) * artists.playlists(playlists) ** 0.2
    shares = artists.shares([ARTISTS[seed] for seed in seeds], query.weights)
    factor = np.exp(2.5 * shares) * standing / standing.max()
    expected *= factor[others]
    expected *= debut_by_hand(LISTS, seeds, others, shared[others], 0.8)
    rows, scores = ranker.best(query, COUNT, seeds)
    assert sorted(rows.tolist()) == others
    np.testing.assert_allclose(scores, np.sort(expected)[::-1], rtol=1e-4)
    unknown = Ranker(config, vectors, playlists).score(query, seeds)
    assert (unknown.artist == 1).all()
    timeless = ranker.with_config(replace(config, debut_weight=0.0)).score(query, seeds)
    assert (timeless.debut == 1).all()


def test_what_no_playlist_has_takes_its_share_of_the_weight():
    random = np.random.default_rng(3)
    inputs, outputs = random.standard_normal((2, COUNT, 4)).astype(np.float32)
    config = SongConfig(candidates=10, regression_weight=0.3, vector_weight=0.2)
    ranker = Ranker(
        config,
        SongVectors(inputs, outputs),
        Cooccurrence.of(LISTS, COUNT),
        artists=Artists(ARTISTS, {}),
    )
    text = random.standard_normal((2, 1, 4)).astype(np.float32) / 100  # short, as mapped ones are
    heard, weights = ranker.query([0, 3]), np.array([1.0, 2.0, 1.0], np.float32)
    query = Query(
        rows=(0, 3, -1),
        weights=weights,
        inputs=np.concatenate((heard.inputs, text[0])),
        outputs=np.concatenate((heard.outputs, text[1])),
        artists=(*heard.artists, (2,)),
    )
    found = ranker.score(query, [0, 3])
    assert found.shared.max() == pytest.approx(0.75)
    assert found.regression.max() == pytest.approx(0.75 * 0.3)
    assert found.vectors.max() == pytest.approx(0.75 * 0.2)
    assert found.described.max() == pytest.approx(0.25 * 1.5)
    alike = ranker.vectors.affinity(text[0], text[1], found.rows)[:, 0]
    np.testing.assert_allclose(found.described, 0.375 * alike / alike.max(), rtol=1e-5)
    shares = ranker.artists.shares([*heard.artists, (2,)], weights)[found.rows]
    np.testing.assert_allclose(found.artist, np.exp(config.artist_weight * shares), rtol=1e-5)
    assert (ranker.score(heard, [0, 3]).described == 0).all()


def test_releases_of_one_song_do_not_use_up_the_candidates():
    lists = [[0, *range(1, 40)], [0, *range(40, 60)]]
    vectors = np.random.default_rng(4).standard_normal((2, 60, 4)).astype(np.float32)
    ranker = Ranker(
        SongConfig(candidates=10),
        SongVectors(*vectors),
        Cooccurrence.of(lists, 60),
        identity=lambda row: min(row, 50),  # 50 to 59 are releases of one song
    )
    found = ranker.best(ranker.query([0]), 45, [0])[0].tolist()
    assert len(found) == 45
    assert sum(row >= 50 for row in found) <= 1
    everything = ranker.best(ranker.query([0]), 60, [0], {7})[0].tolist()
    assert len(everything) == 49  # 60 less the seed, the one barred, and nine releases
    assert 7 not in everything


def test_measures_by_hand():
    found = [[4, 1, 2], [0, 5, 6], []]
    wanted = [frozenset({1, 2, 9}), frozenset({3}), frozenset({1})]
    units = unit(np.eye(10, 4, dtype=np.float32) + 0.0)
    result = measure(found, wanted, 3, np.arange(10), units)
    gains = 1 / math.log2(3) + 1 / math.log2(4)
    best = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert result.hit_rate == pytest.approx(1 / 3)
    assert result.recall == pytest.approx(2 / 3 / 3)
    assert result.ndcg == pytest.approx(gains / best / 3)
    assert result.mrr == pytest.approx(1 / 2 / 3)
    assert result.coverage == pytest.approx(6 / 10)
    assert result.popularity == pytest.approx((7 / 3 + 11 / 3) / 2 / 9)
    assert result.as_json()["ndcg@3"] == result.ndcg


def test_diversity_is_one_minus_the_mean_cosine():
    units = unit(np.random.default_rng(3).standard_normal((5, 6)).astype(np.float32))
    result = measure([[0, 1, 2]], [frozenset({0})], 3, np.ones(5, np.int64), units)
    pairs = [float(units[a] @ units[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert result.diversity == pytest.approx(1 - sum(pairs) / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sharpness", 0.0),
        ("vector_weight", -1.0),
        ("recency", float("nan")),
        ("candidates", 1),
        ("neighbours", 2.5),
        ("penalty", 0.0),
        ("regression_weight", -1.0),
        ("epochs", 0),
        ("alpha", 2.0),
        ("device", "abacus"),
        ("popularity_exponent", "high"),
        ("artist_weight", -0.1),
        ("freshness", float("inf")),
        ("novelty", None),
        ("fame", 3.0),
        ("debut_weight", -0.1),
    ],
)
def test_settings_are_checked(name, value):
    with pytest.raises(InputError, match=f"{name}|learning rates"):
        SongConfig(**{name: value})
