"""Vectors of words and items: training, neighbours, files."""

from embedsearch.word2vec.config import Word2VecConfig
from embedsearch.word2vec.keyed_vectors import KeyedVectors
from embedsearch.word2vec.text import read_sequences
from embedsearch.word2vec.training import train_word2vec

__all__ = ["KeyedVectors", "Word2VecConfig", "read_sequences", "train_word2vec"]
