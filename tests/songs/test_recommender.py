"""The whole: learning, recommending, explaining, songs never seen, saving."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import embedsearch
from embedsearch.errors import (
    FingerprintError,
    IndexFileError,
    InputError,
    LockedError,
    NotFoundError,
    StorageError,
)
from embedsearch.lock import writer_lock
from embedsearch.songs import Song, SongRecommender
from embedsearch.songs.playlists import collect
from embedsearch.songs.ranking import unit
from tests.fake_encoder import FakeEncoder
from tests.songs.playlists import MOODS, SMALL, mood_of, playlists, song_id, songs

UNSEEN = [
    Song(id="new", title="piano dream", artist="The piano players", tags=("piano",)),
    Song(id="tagged", title="rock tune", artist="Nobody", tags=("rock",)),
    Song(id="unknown"),
]

ALWAYS_THERE = ("config.json", "catalogue.json", "playlists.json", "playlists.safetensors")


@pytest.fixture(scope="module")
def recommender():
    return SongRecommender.fit(
        playlists(), SMALL, songs=[*songs(), *UNSEEN], encoder=FakeEncoder(dim=64)
    )


@pytest.fixture(scope="module")
def without_texts():
    return SongRecommender.fit(playlists(), SMALL)


@pytest.mark.parametrize("mood", MOODS)
def test_songs_of_a_mood_go_together(recommender, mood):
    seeds = [song_id(mood, number) for number in (0, 1, 2)]
    found = recommender.recommend(seeds, k=9)
    assert {each.id for each in found} == {song_id(mood, number) for number in range(3, 12)}
    assert [each.rank for each in found] == list(range(1, 10))
    assert [each.score for each in found] == sorted((e.score for e in found), reverse=True)
    assert (found[0].title, found[0].artist) == (
        f"{mood} tune {found[0].id.split('-')[1]}",
        f"The {mood} players",
    )
    near = recommender.similar(seeds[0], k=5)
    assert {mood_of(each.id) for each in near} == {mood}
    assert seeds[0] not in {each.id for each in near}
    vectors = unit(recommender.vectors.vectors)
    cosines = vectors @ vectors[recommender.vectors.index_of(seeds[0])]
    assert near[0].score == pytest.approx(float(np.sort(cosines)[-2]), rel=1e-5)


def test_titles_serve_as_ids(recommender):
    by_id = recommender.recommend([song_id("jazz", 4)])
    assert recommender.recommend(["jazz tune 4"]) == by_id
    with pytest.raises(NotFoundError, match="near it"):
        recommender.recommend(["jazz tunes 77"])


def test_exclude_and_order(recommender):
    seeds = [song_id("jazz", 0), song_id("jazz", 1)]
    first = recommender.recommend(seeds, k=3)
    rest = recommender.recommend(seeds, k=3, exclude=[first[0].id])
    assert first[0].id not in {each.id for each in rest}
    assert rest[0].id == first[1].id
    assert recommender.recommend([seeds[0], seeds[0]], k=3) == recommender.recommend(seeds[:1], k=3)


def test_every_song_can_be_asked_for(recommender):
    found = recommender.recommend([song_id("rock", 0)], k=1000)
    assert len(found) == len(recommender) - 1
    assert len({each.id for each in found}) == len(found)


def test_diversity_takes_from_other_moods(recommender):
    seeds = [song_id("rock", 0), song_id("jazz", 0)]
    plain = recommender.recommend(seeds, k=4)
    spread = recommender.recommend(seeds, k=4, diversity=0.7)
    assert spread[0] == plain[0]
    assert {mood_of(each.id) for each in spread[:2]} == {"rock", "jazz"}


def test_explanations_name_seeds_and_playlists(recommender):
    lists = playlists()
    seeds = [song_id("rock", 0), song_id("piano", 0), song_id("rock", 1)]
    best = next(e for e in recommender.recommend(seeds, k=9) if mood_of(e.id) == "rock")
    reason = recommender.explain(seeds, best.id)
    assert sum(share for _, share in reason.seeds) == pytest.approx(1)
    shares = dict(reason.seeds)
    assert shares[seeds[0]] + shares[seeds[2]] > 10 * shares[seeds[1]]
    assert parts_of(reason) == pytest.approx(best.score, rel=1e-5)
    assert reason.by_artist > 0
    assert (reason.text, reason.by_description) == (0, 0)
    assert 0 < reason.standing <= 1
    assert reason.debut > 0
    assert len(reason.playlists) == 3
    for each in reason.playlists:
        inside = lists[int(each.name) - 1]
        assert best.id in inside
        assert set(each.seeds) == set(seeds) & set(inside) != set()
    with pytest.raises(InputError, match="no seeds"):
        recommender.explain([], best.id)
    with pytest.raises(NotFoundError, match="not among"):
        recommender.explain(seeds, seeds[0])


def test_a_score_is_the_same_in_a_list_of_any_length():
    draw = random.Random(0)
    lists = [draw.sample([str(number) for number in range(300)], 5) for _ in range(200)]
    config = replace(SMALL, candidates=10, epochs=2, deterministic=True)
    recommender = SongRecommender.fit(lists, config, songs=[Song(id="0", artist="a")])
    for seeds in (lists[0][:1], lists[1][:3], lists[2][:2]):
        short = recommender.recommend(seeds, 5)
        whole = recommender.recommend(seeds, 290)
        scores = {each.id: each.score for each in whole}
        for each in short:
            assert scores[each.id] == pytest.approx(each.score, rel=1e-5)
        for each in whole[::20]:
            reason = recommender.explain(seeds, each.id)
            assert parts_of(reason) == pytest.approx(each.score, rel=1e-5)


def parts_of(reason):
    heard = reason.by_playlists + reason.by_regression + reason.by_vectors
    return heard + reason.by_description + reason.by_artist


def test_a_description_counts_beside_songs(recommender):
    seeds, text = [song_id("rock", 0), "tagged"], "some jazz tune players"
    rock = 11  # songs beside the seed
    plain = recommender.recommend(seeds[:1], k=rock + 4)
    found = recommender.recommend(seeds[:1], k=rock + 4, text=text)
    assert {mood_of(each.id) for each in plain[:rock]} == {"rock"}
    assert {mood_of(each.id) for each in plain[rock:]} != {"jazz"}
    assert {mood_of(each.id) for each in found} == {"rock", "jazz"}
    barred = [found[0].id]
    both = recommender.recommend(seeds, k=rock + 4, text=text, exclude=barred)
    for each in both:
        reason = recommender.explain(seeds, each.id, text=text, exclude=barred)
        assert parts_of(reason) == pytest.approx(each.score, rel=1e-5)
        assert sum(share for _, share in reason.seeds) + reason.text == pytest.approx(1)
    jazz = next(each for each in both if mood_of(each.id) == "jazz")
    reason = recommender.explain(seeds, jazz.id, text=text, exclude=barred)
    assert reason.text > 0.5
    assert reason.by_description > reason.by_playlists
    with pytest.raises(InputError, match="a list of songs"):
        recommender.explain("17", jazz.id)


def test_a_song_in_no_playlist_counts_beside_others(recommender):
    mixed = recommender.recommend(["new", song_id("rock", 0)], k=15)
    assert {mood_of(each.id) for each in mixed} == {"rock", "piano"}
    reason = recommender.explain(["new"], song_id("piano", 3))
    assert reason.by_artist > 0  # both are by the piano players


def test_releases_are_one_song_whether_played_or_not():
    releases = [
        Song(id="cold", title="Window Seat (Remastered)", artist="Odile"),
        Song(id="rare", title="Window Seat", artist="Odile"),
        Song(id="warm", title="Window Seat", artist="Odile"),
        Song(id="other", title="Garden", artist="Odile"),
    ]
    lists = [["warm", "other", "a", "b"]] * 3 + [["rare", "other"], ["a", "b", "other"]]
    made = SongRecommender.fit(lists, SMALL, songs=releases)
    assert made.find("window seat").id == "warm"
    assert made.find("Window Seat (Remastered)").id == "cold"
    same = {"cold", "rare", "warm"}
    assert not same & {each.id for each in made.recommend(["cold"])}
    assert not same & {each.id for each in made.recommend(["other"], exclude=["cold"])}


def test_ids_that_are_near_are_offered_beside_titles():
    lists = [["apple", "banana", "cherry"]] * 2
    made = SongRecommender.fit(lists, SMALL, songs=[Song(id="apple", title="Orchard")])
    with pytest.raises(NotFoundError, match="near it: banana"):
        made.find("bananna")


def test_songs_in_no_playlist(recommender):
    for seed, mood in (("new", "piano"), ("tagged", "rock")):
        found = recommender.recommend([seed], k=8)
        assert {mood_of(each.id) for each in found} == {mood}
        assert {mood_of(each.id) for each in recommender.similar(seed, k=8)} == {mood}
    mixed = recommender.recommend(["new", song_id("piano", 0)], k=8)
    assert {mood_of(each.id) for each in mixed} == {"piano"}
    reason = recommender.explain(["new"], song_id("piano", 3))
    assert (reason.seeds, reason.playlists) == ((("new", 1.0),), ())


def test_songs_like_a_description(recommender):
    found = recommender.recommend(text="some jazz tune players", k=8)
    assert {mood_of(each.id) for each in found} == {"jazz"}


def test_an_artist_alone_places_a_song(without_texts):
    described = SongRecommender(
        SMALL,
        without_texts.vectors,
        without_texts.playlists,
        without_texts.playlist_names,
        SongRecommender.fit(playlists(), SMALL, songs=[*songs(), *UNSEEN]).catalogue,
    )
    assert mood_of(described.similar("new", k=1)[0].id) == "piano"
    with pytest.raises(InputError, match="nothing is known of 'unknown'"):
        described.recommend(["unknown"])


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"seeds": []}, "at least one song"),
        ({"seeds": "rock-1"}, "a list of songs"),
        ({"seeds": ["rock-1"], "k": 0}, "k must be"),
        ({"seeds": ["rock-1"], "diversity": 1.5}, "diversity"),
        ({"seeds": ["rock-1"], "diversity": float("nan")}, "diversity"),
        ({"text": "  "}, "text must say something"),
        ({"text": 5}, "text must say something"),
        ({"seeds": [17]}, "an id or a title, a text, not 17"),
        ({"seeds": ["rock-1"], "exclude": "23"}, "exclude must be a list"),
    ],
)
def test_wrong_use(recommender, arguments, part):
    with pytest.raises(InputError, match=part):
        recommender.recommend(**arguments)


def test_without_titles_nothing_is_made_up(without_texts):
    with pytest.raises(NotFoundError, match="near it: rock-"):
        without_texts.recommend(["rock-l"])
    with pytest.raises(InputError, match="knows no texts"):
        without_texts.recommend(text="slow piano")
    with pytest.raises(InputError, match="titles are needed"):
        SongRecommender.fit(playlists(), SMALL, encoder=FakeEncoder())


@pytest.mark.parametrize("lists", [[], [[]], [["a"]], [["a", "a"], []]])
def test_nothing_to_learn(lists):
    with pytest.raises(InputError, match="nothing to learn"):
        SongRecommender.fit(lists, SMALL)


def test_one_seed_the_same_vectors():
    config = replace(SMALL, deterministic=True, epochs=2)
    one, other = (SongRecommender.fit(playlists(), config) for _ in range(2))
    assert one.vectors.vectors.tobytes() == other.vectors.vectors.tobytes()
    assert one.recommend(["rock-1"]) == other.recommend(["rock-1"])


def test_rare_songs_are_left_out():
    lists = [*playlists(), ["once", "rock-1"]]
    found = SongRecommender.fit(lists, replace(SMALL, min_count=2))
    assert "once" not in found
    assert len(found.playlists) == len(lists) - 1


def test_saved_and_loaded(recommender, tmp_path):
    recommender.save(tmp_path / "songs")
    loaded = SongRecommender.load(tmp_path / "songs", encoder=FakeEncoder(dim=64))
    seeds = ["rock tune 3", "new"]
    assert loaded.config == recommender.config
    assert loaded.recommend(seeds) == recommender.recommend(seeds)
    assert loaded.recommend(text="jazz") == recommender.recommend(text="jazz")
    assert loaded.explain(seeds, "rock-5") == recommender.explain(seeds, "rock-5")
    with pytest.raises(FingerprintError, match="fake"):
        SongRecommender.load(tmp_path / "songs", encoder=FakeEncoder(dim=64, seed=1))


def test_settings_that_an_older_folder_lacks_are_the_defaults(recommender, tmp_path):
    recommender.save(tmp_path)
    path = tmp_path / "config.json"
    settings = json.loads(path.read_text())
    del settings["songs"]["artist_weight"]
    path.write_text(json.dumps(settings))
    assert SongRecommender.load(tmp_path, encoder=FakeEncoder(dim=64)).config == recommender.config


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("config.json", b"{"),
        ("config.json", b'{"format": 99}'),
        ("config.json", b"[]"),
        ("catalogue.json", b'[{"id": 1}]'),
        ("playlists.safetensors", b"short"),
        ("text_map.safetensors", b"short"),
        ("vectors/vectors.safetensors", b""),
    ],
)
def test_damaged_folders(recommender, tmp_path, name, damage):
    recommender.save(tmp_path)
    (tmp_path / name).write_bytes(damage)
    with pytest.raises(IndexFileError):
        SongRecommender.load(tmp_path)


@pytest.mark.parametrize("name", [*ALWAYS_THERE, "text_map.safetensors"])
def test_missing_files(recommender, tmp_path, name):
    recommender.save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(NotFoundError):
        SongRecommender.load(tmp_path)


def _content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.*") if p.is_file()}


def test_no_file_of_another_saving_is_taken(tmp_path):
    """Two trainings on playlists of the same songs, with other titles and names."""
    for name, seed in (("one", 1), ("two", 2)):
        titled = [replace(song, title=f"{song.title} {seed}") for song in songs()]
        lists = playlists(seed=seed)
        found = SongRecommender.fit(
            collect(lists, names=[f"{seed}-{number}" for number in range(len(lists))]),
            replace(SMALL, seed=seed, epochs=1),
            songs=titled,
            encoder=FakeEncoder(dim=64),
        )
        found.vectors.keys.sort()  # so that the checksum of the keys tells nothing
        found.save(tmp_path / name)
    one, two = _content(tmp_path / "one"), _content(tmp_path / "two")
    names = [name for name in one if name != "writer.lock"]
    assert len(names) == 8
    for name in names:
        assert one[name] != two[name]
        (tmp_path / "one" / name).write_bytes(two[name])
        with pytest.raises(IndexFileError, match="saving was interrupted"):
            SongRecommender.load(tmp_path / "one")
        (tmp_path / "one" / name).write_bytes(one[name])
    SongRecommender.load(tmp_path / "one", encoder=FakeEncoder(dim=64))


class Killed(BaseException):
    """What no `except` catches."""


def _kill_after(steps, patch):
    """From then on nothing changes on the disk, whatever the program still tries."""
    left = iter([True] * steps)

    def mortal(act):
        def step(path, *arguments, **options):
            if not path.name.startswith("writer") and not next(left, False):
                raise Killed
            return act(path, *arguments, **options)

        return step

    for name in ("open", "replace", "unlink"):
        patch.setattr(Path, name, mortal(getattr(Path, name)))


def _seed_in(folder):
    """Of the recommender that is loaded; None where it is refused."""
    try:
        return SongRecommender.load(folder).config.seed
    except IndexFileError as error:
        assert "saving was interrupted" in str(error)  # noqa: PT017
        return None


def test_killed_at_any_instant_the_old_or_the_new_one_is_there_or_none(tmp_path, monkeypatch):
    config = replace(SMALL, epochs=1)
    old, new = (
        SongRecommender.fit(playlists(), replace(config, seed=seed), songs=songs(), encoder=encoder)
        for seed, encoder in ((1, FakeEncoder(dim=64)), (2, None))
    )
    outcomes = []
    for steps in range(40):
        folder, done = tmp_path / str(steps), False
        old.save(folder)
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            _kill_after(steps, patch)
            new.save(folder)
            done = True
        outcomes.append(_seed_in(folder))
        if outcomes[-1]:
            found = SongRecommender.load(folder).vectors.output
            np.testing.assert_array_equal(found, (old, new)[outcomes[-1] - 1].vectors.output)
        new.save(folder)
        assert _seed_in(folder) == 2
        assert not list(folder.rglob("*.partial"))
        if done:
            break
    assert done
    assert [seed for seed, _ in itertools.groupby(outcomes)] == [1, None, 2]


def test_a_full_disk_keeps_what_was_there_and_is_told(recommender, tmp_path, monkeypatch):
    recommender.save(tmp_path)
    before = _content(tmp_path)
    other = SongRecommender.fit([["a", "b"], ["b", "c"]], SMALL)
    opened = Path.open

    def full(path, mode="r", *arguments, **options):
        if "w" in mode and path.name.startswith("catalogue"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(StorageError, match="No space left on device; what was there before"):
            other.save(tmp_path)
    assert _content(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files")
def test_the_reason_is_told_where_a_matrix_does_not_fit(tmp_path):
    """The system's own refusal, with a limit for the size of files, of another process."""
    code = (
        "import resource; from embedsearch.songs import SongConfig, SongRecommender;"
        "found = SongRecommender.fit([[str(n), str(n + 1)] for n in range(200)],"
        " SongConfig(epochs=1, workers=1, device='cpu'));"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); found.save('lim')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(embedsearch.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "StorageError: cannot write lim: File too large" in done.stderr


def test_two_writers_at_once(recommender, tmp_path, monkeypatch):
    with writer_lock(tmp_path), monkeypatch.context() as patch:
        patch.setattr("embedsearch.word2vec.folder._PATIENCE_S", 0.0)
        with pytest.raises(LockedError, match="another thread of this process"):
            recommender.save(tmp_path)
    config = replace(SMALL, epochs=1)
    found = {
        seed: SongRecommender.fit(playlists(), replace(config, seed=seed)) for seed in range(1, 5)
    }
    with ThreadPoolExecutor(4) as pool:
        for saved in [pool.submit(each.save, tmp_path) for each in found.values()]:
            saved.result()
    last = SongRecommender.load(tmp_path)
    np.testing.assert_array_equal(last.vectors.output, found[last.config.seed].vectors.output)


def test_all_files_have_the_modes_of_the_user(recommender, tmp_path):
    before = os.umask(0o022)
    try:
        recommender.save(tmp_path)
    finally:
        os.umask(before)
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in _content(tmp_path)}
    assert {mode for name, mode in modes.items() if name != "writer.lock"} == {0o644}


@pytest.mark.parametrize("name", [*ALWAYS_THERE, "vectors/vectors.json"])
def test_a_file_that_may_not_be_read_is_no_damaged_one(recommender, tmp_path, monkeypatch, name):
    recommender.save(tmp_path)
    opened = Path.open

    def refuse(path, *arguments, **options):
        if path == tmp_path / name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(IndexFileError, match=r"cannot read .*Permission denied"):
        SongRecommender.load(tmp_path)


def test_files_of_two_recommenders_are_not_mixed(recommender, tmp_path):
    recommender.save(tmp_path / "one")
    SongRecommender.fit([["a", "b"], ["b", "c"]], SMALL).save(tmp_path / "two")
    for name in ("playlists.safetensors", "vectors/vectors.json"):
        target = tmp_path / "one" / name
        whole = target.read_bytes()
        target.write_bytes((tmp_path / "two" / name).read_bytes())
        with pytest.raises(IndexFileError):
            SongRecommender.load(tmp_path / "one")
        target.write_bytes(whole)
    settings = json.loads((tmp_path / "two" / "config.json").read_text())
    assert settings["text_map"] is None


def test_titles_of_signs_alone_are_found():
    songs = [Song(id="1", title="☆", artist="B"), Song(id="2", title="Garden", artist="B")]
    made = SongRecommender.fit([["1", "2", "3"]] * 2, SMALL, songs=songs)
    assert made.find("☆").id == "1"
    with pytest.raises(NotFoundError, match=r"no song is called anything like '♥'$"):
        made.find("♥")
