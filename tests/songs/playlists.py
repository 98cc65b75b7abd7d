"""Playlists of moods: songs of a mood go together, and nothing else is to be learned."""

from __future__ import annotations

import random

from embedsearch.songs import Song, SongConfig

MOODS = ("piano", "rock", "jazz")
SONGS = 12
SMALL = SongConfig(vector_size=16, epochs=30, negative=5, alpha=0.05, workers=1, device="cpu")


def song_id(mood: str, number: int) -> str:
    return f"{mood}-{number}"


def playlists(count: int = 90, seed: int = 0) -> list[list[str]]:
    draw = random.Random(seed)
    return [
        [song_id(MOODS[at % 3], number) for number in draw.sample(range(SONGS), 6)]
        for at in range(count)
    ]


def songs() -> list[Song]:
    return [
        Song(
            id=song_id(mood, number),
            title=f"{mood} tune {number}",
            artist=f"The {mood} players",
            tags=(mood,),
        )
        for mood in MOODS
        for number in range(SONGS)
    ]


def mood_of(song: str) -> str:
    return song.split("-")[0]
