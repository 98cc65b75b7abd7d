"""Songs by id, title and artist: what a person typed is looked up, ambiguity is shown.

Words are found through an inverted index; a word that is not there stands for those with most of
its trigrams in common, nearest by edit similarity (the ratio of Ratcliff and Obershelp, difflib).
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from embedsearch.errors import InputError, NotFoundError

_WORD = re.compile(r"[^\W_]+")
_APOSTROPHE = re.compile(r"['’`´]")
_SPARE = re.compile(r"\s*(?:[(\[].*|\s-\s.*|\b(?:feat|ft|featuring)\b\.?.*)$", re.IGNORECASE)
_PART = re.compile(
    r"\b(?:part|pt|no|nr|op|act|vol|chapter|movement)\b\.?\s*\w|^\W*(?:[ivx]+|\d{1,2})[.:]",
    re.IGNORECASE,
)
"""What tells a part of a work from its others, where a release would name itself."""
_CLOSE = 0.7
"""Of the ratio: 1 for the same word; `beyonse` and `beyonce` have 0.86."""
_SPELLINGS = 4
_CANDIDATES = 60
_SURE = 0.999
_LIKELY = 0.8
_MARGIN = 0.1
"""How much better a misspelt name must fit one song than any other to be taken for it."""
_POSSIBLE, _CLEAR = 0.6, 0.4
"""The same for one that fits less: a word of it resembles none."""
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Song:
    """A song, or any other item; all but the id may be empty."""

    id: str
    title: str = ""
    artist: str = ""
    album: str = ""
    tags: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What people call it: `Title — Artist`, else the id."""
        return " — ".join(part for part in (self.title, self.artist) if part) or self.id

    @property
    def text(self) -> str:
        """All that is known, for a sentence encoder; empty where only the id is."""
        parts = [self.title]
        parts.append(f"by {self.artist}" if self.artist else "")
        parts.append(f"from {self.album}" if self.album and self.album != self.title else "")
        parts.append(", ".join(self.tags))
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class Match:
    """A song that a typed text may mean; `score` is 1 where every word is there as typed."""

    song: Song
    score: float


class Catalogue(Mapping[str, Song]):
    """Songs by id. Iteration is in the order given; the first of two with one id counts."""

    def __init__(self, songs: Iterable[Song] = ()) -> None:
        self._songs: dict[str, Song] = {}
        for song in songs:
            self._songs.setdefault(song.id, song)

    def __getitem__(self, song_id: str) -> Song:
        return self._songs[song_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._songs)

    def __len__(self) -> int:
        return len(self._songs)

    def get_song(self, song_id: str) -> Song:
        """The song of an id, with nothing but the id where no more is known."""
        return self._songs.get(song_id) or Song(id=song_id)

    def find(self, typed: str, limit: int = 10) -> list[Match]:
        """Songs that a text may mean, best first: by the words of title and artist.

        Every word counts by its rarity; a misspelt one is taken for those that it resembles. A
        song whose title is the whole text leads those that have more words.
        """
        words = words_of(typed)
        scores: dict[int, float] = defaultdict(float)
        weights = []
        for word in dict.fromkeys(words):
            spellings = self._spellings(word)
            weight = max((self._rarity(known) for known in spellings), default=self._rarity(""))
            weights.append(weight)
            best: dict[int, float] = {}
            for known, likeness in spellings.items():
                for place in self._index[known]:
                    best[place] = max(best.get(place, 0.0), likeness)
            for place, likeness in best.items():
                scores[place] += weight * likeness
        total = sum(weights) or 1.0
        asked = " ".join(words)
        ordered = sorted(
            scores, key=lambda place: (-round(scores[place], 9), self._excess(place, asked), place)
        )
        return [
            Match(song=self._list[place], score=scores[place] / total) for place in ordered[:limit]
        ]

    def resolve(self, typed: str, standing: Callable[[Song], int] = lambda _: 0) -> Song:
        """The one song that a text means: an id, a title, or title and artist in any order.

        Several entries with the same title and first artist (re-releases) count as one song, of
        which the one of the highest `standing` is taken, the first of equal ones. A misspelt name
        is taken where it fits one song clearly better than any other.

        Raises NotFoundError where nothing is near, or with what is near; InputError where several
        songs fit, with a choice of them: nothing is guessed.
        """
        if typed in self._songs:
            return self._songs[typed]
        matches = self.find(typed, _CANDIDATES)
        asked = " ".join(words_of(typed))
        if asked:
            whole = [match.song for match in matches if asked in _names(match.song)]
            whole = whole or [match.song for match in matches if match.score >= _SURE]
        else:  # signs alone, as some titles are
            whole = [song for song in self._list if song.title and song.title == typed.strip()]
        if not whole and not matches:
            raise NotFoundError(f"no song is called anything like {typed!r}")
        if not whole:
            likely = _likely(typed, matches)
            own = identity_of(likely)
            whole = [match.song for match in matches if identity_of(match.song) == own]
        if len({identity_of(song) for song in whole}) > 1:
            raise InputError(f"{typed!r} may mean several songs, say which by id: {_choice(whole)}")
        return max(whole, key=standing)

    @cached_property
    def _list(self) -> list[Song]:
        return list(self._songs.values())

    @cached_property
    def _index(self) -> dict[str, list[int]]:
        index: dict[str, list[int]] = defaultdict(list)
        for place, song in enumerate(self._list):
            for word in dict.fromkeys(words_of(f"{song.title} {song.artist}")):
                index[word].append(place)
        return dict(index)

    @cached_property
    def _trigrams(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for word in self._index:
            for gram in _grams(word):
                found[gram].append(word)
        return dict(found)

    def _rarity(self, word: str) -> float:
        return math.log(1 + (len(self._songs) + 1) / (1 + len(self._index.get(word, ()))))

    def _spellings(self, word: str) -> dict[str, float]:
        """Words of the catalogue that a typed word may stand for, with how near they are."""
        if word in self._index:
            return {word: 1.0}
        shared: dict[str, int] = defaultdict(int)
        for gram in _grams(word):
            for known in self._trigrams.get(gram, ()):
                shared[known] += 1
        likely = sorted(shared, key=lambda known: (-shared[known], abs(len(known) - len(word))))
        ratios = {
            known: difflib.SequenceMatcher(None, word, known, autojunk=False).ratio()
            for known in likely[:_CANDIDATES]
        }
        near = sorted(
            (known for known in ratios if ratios[known] >= _CLOSE), key=lambda w: -ratios[w]
        )
        return {known: ratios[known] for known in near[:_SPELLINGS]}

    def _excess(self, place: int, asked: str) -> int:
        """How many letters a song's name has beyond what was asked for; 0 for a whole title."""
        song = self._list[place]
        return 0 if asked in _names(song) else len(song.title) + len(song.artist) - len(asked)


def words_of(text: str) -> list[str]:
    """Words without case, accents and apostrophes."""
    folded = unicodedata.normalize("NFKD", _APOSTROPHE.sub("", text).casefold())
    if not folded.isascii():
        folded = "".join(sign for sign in folded if not unicodedata.combining(sign))
    return _WORD.findall(folded)


def _norm(text: str) -> str:
    return " ".join(words_of(text))


def _plain_title(song: Song) -> str:
    """The title without what releases add to it: `(Remastered 2009)`, ` - Radio Edit`, `feat.`;
    `(Part 2)` and ` - II. Andante` stay, and so does a title of signs alone."""
    spare = _SPARE.search(song.title)
    if spare is None or _PART.search(spare[0].strip(" -([")):
        return _norm(song.title) or song.title
    return _norm(song.title[: spare.start()]) or _norm(song.title) or song.title


def _names(song: Song) -> set[str]:
    """Texts by which a song is named in full."""
    title, artist = _norm(song.title), _norm(song.artist)
    first = _norm(song.artist.split(",")[0])
    found = {title, _plain_title(song)}
    for name in (title, _plain_title(song)):
        for who in (artist, first):
            found |= {f"{name} {who}", f"{who} {name}", f"{name} by {who}"}
    return found - {""}


def identity_of(song: Song) -> tuple[str, ...]:
    """Title and first artist without what releases add, the same for re-releases of a song; the id
    where either is not known."""
    if not song.title or not song.artist:
        return (song.id,)
    first = song.artist.split(",")[0]
    return _plain_title(song), _norm(first) or first.strip()


def _likely(typed: str, matches: Sequence[Match]) -> Song:
    best = matches[0]
    own = identity_of(best.song)
    rival = max((m.score for m in matches if identity_of(m.song) != own), default=0.0)
    for least, margin in ((_LIKELY, _MARGIN), (_POSSIBLE, _CLEAR)):
        if best.score >= least and best.score - rival >= margin:
            return best.song
    near = _choice([match.song for match in matches])
    raise NotFoundError(f"no song is called {typed!r}; near it: {near}")


def _choice(songs: Sequence[Song]) -> str:
    shown = ", ".join(f"{song.id} ({song.label})" for song in songs[:_SHOWN])
    more = len(songs) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _grams(word: str) -> set[str]:
    padded = f" {word} "
    return {padded[at : at + 3] for at in range(len(padded) - 2)}
