"""Song recommendations from playlists: learning, recommending, explaining, measuring."""

from embedsearch.songs.catalogue import Catalogue, Song
from embedsearch.songs.config import SongConfig
from embedsearch.songs.evaluation import evaluate_songs
from embedsearch.songs.explaining import Explanation
from embedsearch.songs.playlists import Playlists
from embedsearch.songs.reading import read_playlists
from embedsearch.songs.recommender import Recommendation, SongRecommender
from embedsearch.songs.song_files import read_songs

__all__ = [
    "Catalogue",
    "Explanation",
    "Playlists",
    "Recommendation",
    "Song",
    "SongConfig",
    "SongRecommender",
    "evaluate_songs",
    "read_playlists",
    "read_songs",
]
