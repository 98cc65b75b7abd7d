"""Songs: `train songs`, `recommend`, `evaluate songs`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from embedsearch.cli.interruption import resumable
from embedsearch.cli.main import DONE, NOTHING_FOUND
from embedsearch.cli.options import Json
from embedsearch.cli.output import print_json, remark
from embedsearch.cli.terminal import TerminalProgress, plain
from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.errors import InputError
from embedsearch.songs.catalogue import Song
from embedsearch.songs.config import SongConfig
from embedsearch.songs.evaluation import NAMES, SongsEvaluation, evaluate_songs
from embedsearch.songs.explaining import Explanation
from embedsearch.songs.plot import check_picture, draw_comparison
from embedsearch.songs.reading import read_playlists
from embedsearch.songs.recommender import SongRecommender
from embedsearch.songs.training import CHECKPOINT, train_songs
from embedsearch.text.words import counted

_SHOWN = 3
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_COLUMNS = ("hit_rate", "recall", "ndcg", "mrr", "coverage", "popularity", "diversity")


def register(app: typer.Typer, train: typer.Typer, evaluate: typer.Typer) -> None:
    """`train` and `evaluate` are the groups of these names."""
    train.command(name="songs")(train_)
    app.command()(recommend)
    evaluate.command(name="songs")(evaluate_)


def train_(
    playlists: Annotated[
        Path,
        typer.Argument(
            metavar="PLAYLISTS", help="In the Cornell layout, or sessions as CSV or JSON lines."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to be made.")],
    songs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Titles and artists: id TAB title TAB artist."),
    ] = None,
    albums: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Albums of songs: id TAB album.")
    ] = None,
    tags: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tags of songs, with a tag_hash.txt beside it."),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(metavar="M", help="The sentence encoder that reads titles; none for none."),
    ] = DEFAULT_MODEL,
    tune: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Look for better settings so long first: 90s, 10m, 1h."),
    ] = None,
    vector_size: Annotated[
        int, typer.Option(metavar="N", help="Floats in a vector.")
    ] = SongConfig.vector_size,
    window: Annotated[
        int, typer.Option(metavar="N", help="The farthest song that counts as context.")
    ] = SongConfig.window,
    negative: Annotated[
        int, typer.Option(metavar="N", help="Noise songs for each song.")
    ] = SongConfig.negative,
    epochs: Annotated[
        int, typer.Option(metavar="N", help="Passes over the playlists.")
    ] = SongConfig.epochs,
    min_count: Annotated[
        int, typer.Option(metavar="N", help="Leave out songs in fewer playlists.")
    ] = SongConfig.min_count,
    seed: Annotated[int, typer.Option(metavar="N")] = SongConfig.seed,
    workers: Annotated[
        int, typer.Option(metavar="N", help="Threads; 0 for all cores.")
    ] = SongConfig.workers,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic", help="The same vectors for a seed, bit for bit; one core."),
    ] = SongConfig.deterministic,
    device: Annotated[
        str, typer.Option(metavar="D", help="auto, cpu, cuda or cuda:N.")
    ] = SongConfig.device,
    as_json: Json = False,
) -> int:
    """Learn from playlists which songs go together.

    DIR is what `embedsearch recommend` takes. Playlists are read in the order of time. An
    interrupted run goes on after its last epoch when the same command is given again.

    Example: embedsearch train songs train.txt --songs song_hash.txt --out radio
    """
    config = SongConfig(
        vector_size=vector_size,
        window=window,
        negative=negative,
        epochs=epochs,
        min_count=min_count,
        seed=seed,
        workers=workers,
        deterministic=deterministic,
        device=device,
    )
    seconds = _seconds(tune) if tune is not None else None
    reader = None
    if encoder != "none":
        from embedsearch.encoder import SentenceEncoder

        reader = SentenceEncoder.load(encoder)
    with resumable(out / CHECKPOINT), TerminalProgress() as progress:
        report = train_songs(
            playlists,
            out,
            config,
            songs=songs,
            albums=albums,
            tags=tags,
            encoder=reader,
            tune_seconds=seconds,
            progress=progress,
        )
    if as_json:
        print_json(asdict(report))
    else:
        print(
            f"{plain(report.out)}: {counted(report.songs, 'song')} of "
            f"{counted(report.playlists, 'playlist')}, {report.titles:,} with a title, "
            f"in {report.seconds:,.1f} s"
        )
        if report.tuning is not None:
            print(f"chosen: {report.tuning['chosen']['changed'] or 'the settings as given'}")
    return DONE


def recommend(
    model: Annotated[
        Path, typer.Option("--model", metavar="DIR", help="A folder that `train songs` made.")
    ],
    seeds: Annotated[
        list[str] | None,
        typer.Argument(metavar="SONG...", help="Ids, or titles and artists as you know them."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS", help="Songs like this, beside SONGs or alone: 'rainy sunday piano'."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="How many songs.")] = 10,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="SONG", help="Not this song; may be repeated.")
    ] = None,
    diversity: Annotated[
        float, typer.Option(metavar="X", help="From 0 to 1: put off songs that resemble others.")
    ] = 0.0,
    why: Annotated[
        bool, typer.Option("--why", help="Tell which of the songs given led to each.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Recommend songs that go with others, or with a description.

    Example: embedsearch recommend --model my-songs "window seat" "fog over the peir" -k 5 --why
    """
    if why and not seeds:
        raise InputError("--why tells which songs led to each: give songs")
    recommender = SongRecommender.load(model)
    ids = _meant(recommender, seeds or ())
    unwanted = _meant(recommender, exclude or ())
    found = recommender.recommend(ids, k, text=text, exclude=unwanted, diversity=diversity)
    reasons = [
        recommender.explain(ids, each.id, text=text, exclude=unwanted)
        for each in (found if why else ())
    ]
    if as_json:
        entries = [asdict(each) for each in found]
        for entry, reason in zip(entries, reasons, strict=False):
            entry["why"] = asdict(reason)
        print_json(entries)
    else:
        for at, each in enumerate(found):
            label = recommender.catalogue.get_song(each.id).label
            print(f"{each.rank:>3}. {each.score:.3f}  {plain(label)}  [{plain(each.id)}]")
            if reasons:
                print(f"      {_because(recommender, reasons[at])}")
    return DONE if found else NOTHING_FOUND


def evaluate_(
    model: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `train songs` made.")],
    playlists: Annotated[
        Path, typer.Argument(metavar="TEST_PLAYLISTS", help="Later playlists, in any layout.")
    ],
    k: Annotated[int, typer.Option("-k", "--k", help="How many songs are recommended.")] = 10,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"One of {', '.join(NAMES)}; may be repeated."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the comparison, as .svg.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Compare recommenders on playlists that were not trained on.

    The first half of each playlist is given, the second is to be found; then all but the last
    song, and the last is to be found. Every song of the training is a candidate.

    Example: embedsearch evaluate songs my-songs test.txt
    """
    if picture is not None:
        check_picture(picture)
    recommender = SongRecommender.load(model)
    with TerminalProgress() as progress:
        given = read_playlists(playlists, progress=progress)
        found = evaluate_songs(recommender, given, k=k, names=only or NAMES, progress=progress)
    for reason in dict.fromkeys(found.missing.values()):
        remark(reason)
    if as_json:
        print_json(found.as_json())
    elif found.results:
        _print_evaluation(found, k)
    if picture is not None and found.results:
        draw_comparison(found, k, picture)
        remark(f"the comparison is drawn in {picture}")
    return DONE if found.results else NOTHING_FOUND


def _seconds(typed: str) -> float:
    """`90s`, `10m` or `1h` in seconds. Raises InputError."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smh]?)", typed.strip())
    if found is None:
        raise InputError(f"a time is a number with s, m or h, such as 10m, not {typed!r}")
    return float(found[1]) * _UNITS[found[2]]


def _meant(recommender: SongRecommender, names: Sequence[str]) -> list[str]:
    """Ids of the songs that were typed; remarks tell which they are, and what else is called so."""
    called: dict[str, list[Song]] = {name.strip().casefold(): [] for name in names}
    for song in recommender.catalogue.values() if called else ():
        called.get(song.title.casefold(), []).append(song)
    ids = []
    for typed in names:
        song = recommender.find(typed)
        if typed != song.label:
            remark(f"{typed!r} is {song.id} ({song.label})")
        others = [each for each in called[typed.strip().casefold()] if each.id != song.id]
        if typed == song.id and others:
            shown = ", ".join(f"{each.id} ({each.label})" for each in others[:_SHOWN])
            more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
            remark(f"{typed!r} is a title as well, type the id to mean that song: {shown}{more}")
        ids.append(song.id)
    return ids


def _because(recommender: SongRecommender, reason: Explanation) -> str:
    seeds = ", ".join(
        f"{plain(recommender.catalogue.get_song(seed).label)} {share:.0%}"
        for seed, share in reason.seeds[:3]
    )
    seeds += f", the text {reason.text:.0%}" if reason.text else ""
    if not reason.playlists:
        return f"from {seeds}; no playlist has them together"
    names = ", ".join(plain(each.name) for each in reason.playlists)
    return f"from {seeds}; together in playlists {names}"


def _print_evaluation(found: SongsEvaluation, k: int) -> None:
    unknown = counted(found.unknown, "unknown song")
    print(f"{counted(found.playlists, 'playlist')}, {unknown} left out, k = {k}")
    for task, title in (("continuation", "second half from the first"), ("next_song", "next song")):
        print(f"\n{title:<27}" + "".join(f"{name:>11}" for name in _COLUMNS))
        for name, result in found.results.items():
            measures: Any = getattr(result, task)
            cells = "".join(f"{getattr(measures, column):>11.4f}" for column in _COLUMNS)
            print(f"{name:<27}{cells}")
