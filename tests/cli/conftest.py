"""The command line run in this process, over a tiny real model."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedsearch.cli.main import main
from tests.encoder.tiny import make_tiny_model
from tests.support import write

Cli = Callable[..., "Outcome"]
PROGRAM = [sys.executable, "-c", "import sys; from embedsearch.cli import main; sys.exit(main())"]
"""The program as its own process."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout; an error when there is anything else."""
        return json.loads(self.out)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def other(tmp_path_factory) -> Path:
    """A model of the same dimension with other weights."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path) -> Cli:
    """Runs a command in an empty folder; its outcome."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    return run


PAGES = {
    "docs/login.md": "# Log in\n\nHow do I log in to my account when I forgot the password?\n\n"
    "## Reset\n\nThe reset link is sent by email.",
    "docs/bread.md": "# Bread\n\nPreheat the oven, then bake the bread for an hour.",
    "docs/deep/rocket.txt": "The rocket launched into space and the satellite orbits the moon.",
    "docs/music.jsonl": '{"_id": "song 1", "title": "Guitar", "text": "Listen to the band play", '
    '"metadata": {"lang": "en", "year": 1999}}\n'
    '{"_id": "song 2", "text": "An album by the artist", '
    '"metadata": {"lang": "de", "year": "1999"}}\n'
    "{broken\n",
    "docs/image.png": b"\x89PNG",
}


@pytest.fixture(scope="session")
def indexed(tmp_path_factory, tiny) -> Path:
    """A folder with `docs` and a collection of them in `.embedsearch`."""
    home = tmp_path_factory.mktemp("indexed")
    for name, text in PAGES.items():
        write(home / name, text)
    assert (
        main(
            ["index", str(home / "docs"), "--db", str(home / ".embedsearch"), "--model", str(tiny)]
        )
        == 0
    )
    return home


@pytest.fixture
def home(cli, tmp_path, indexed) -> Path:
    """A copy of that, which is the working directory."""
    shutil.copytree(indexed, tmp_path, dirs_exist_ok=True, copy_function=shutil.copy2)
    return tmp_path
