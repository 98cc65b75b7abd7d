"""Paths that people type."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import embedsearch as es
from embedsearch.answers.language_models import LanguageModelConfig, load_language_model
from embedsearch.collection.export import export_documents
from embedsearch.encoder.resolve import resolve_model
from embedsearch.errors import InputError
from embedsearch.evaluation.judged import read_judged
from embedsearch.evaluation.squad import read_squad
from embedsearch.songs.training import train_songs
from embedsearch.text.groups import read_groups
from embedsearch.text.paths import typed_path
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.words.queries import train_words


def test_a_path_is_what_was_typed_with_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert typed_path("~/notes") == tmp_path / "notes"
    assert typed_path("a/../b") == Path("a/../b")
    assert typed_path(tmp_path) == tmp_path
    assert typed_path("file.txt/below") == Path("file.txt/below")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("~nobody-is-called-so/x", "cannot be used"),
        ("a\0b", "null character"),
        ("half \ud800", "cannot be used"),
        ("a" * 5000, "too long"),
        ("~/" + "a/" * 5000, "too long"),
    ],
)
def test_what_no_file_can_be_called(wrong, told):
    takers = [
        typed_path,
        resolve_model,
        read_judged,
        read_squad,
        Tokenizer.load,
        es.open,
        lambda path: read_groups([path]),
        es.CausalLM.load,
        lambda path: load_language_model(LanguageModelConfig(llm=path)),
        lambda path: train_songs("lists.txt", path),
        lambda path: train_words(["text.txt"], path),
        lambda path: es.train_lm([], start=None, output=path),
    ]
    for take in takers:
        with pytest.raises(InputError, match=told) as caught:
            take(wrong)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("below", ["", "model"])
def test_links_that_lead_to_one_another(tmp_path, below):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "nowhere")

    def export(path):
        with es.open(tmp_path / "db") as collection:
            export_documents(collection, path)

    for take in (typed_path, es.open, Tokenizer.load, export):
        with pytest.raises(InputError, match="links that lead back to themselves"):
            take(tmp_path / "a" / below)
    assert typed_path(tmp_path / "c") == tmp_path / "c"  # what it leads to may be made


def test_a_folder_that_one_may_not_enter(monkeypatch):
    def lstat(_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "lstat", lstat)
    for take in (typed_path, resolve_model, Tokenizer.load, es.CausalLM.load):
        with pytest.raises(InputError, match="'closed/model' cannot be used: you may not enter"):
            take("closed/model")
