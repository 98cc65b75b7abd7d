"""What is kept in the user's cache folder: never stale, never half there, never needed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from embedsearch.encoder import SentenceEncoder, cache
from embedsearch.encoder.cache import cache_folder, remembered, write_atomically
from embedsearch.encoder.fingerprint import fingerprint
from tests.encoder.tiny import edit_json, make_tiny_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("EMBEDSEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def settled(tmp_path) -> Path:
    """A file that was written a while ago."""
    path = tmp_path / "file"
    path.write_text("content")
    return path


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(cache, "SETTLED_SECONDS", -1.0)


class Counted:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        return f"value {self.calls}"


def test_it_is_computed_once(settled):
    compute = Counted()
    assert [remembered("x", [settled], compute) for _ in range(3)] == ["value 1"] * 3
    assert remembered("y", [settled], compute) == "value 2"


def test_a_file_that_changed_is_looked_at_again(settled):
    compute = Counted()
    remembered("x", [settled], compute)
    settled.write_text("CONTENT")
    assert remembered("x", [settled], compute) == "value 2"
    before = settled.stat()
    settled.write_text("Content")  # of the same size, and its time set back
    os.utime(settled, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert remembered("x", [settled], compute) == "value 3"


def test_a_file_of_this_moment_is_not_remembered(settled, monkeypatch):
    monkeypatch.setattr(cache, "SETTLED_SECONDS", 60.0)
    compute = Counted()
    assert [remembered("x", [settled], compute) for _ in range(2)] == ["value 1", "value 2"]


def test_a_missing_file_is_not_remembered(tmp_path):
    compute = Counted()
    assert [remembered("x", [tmp_path / "no"], compute) for _ in range(2)] == ["value 1", "value 2"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"other\nwrong check", b"x" * 5000])
def test_a_damaged_entry_is_computed_again(settled, own_cache, content):
    compute = Counted()
    remembered("x", [settled], compute)
    (entry,) = (own_cache / "hashes").iterdir()
    entry.write_bytes(content)
    assert remembered("x", [settled], compute) == "value 2"
    assert remembered("x", [settled], compute) == "value 2"


def test_a_cache_that_cannot_be_written_is_done_without(settled, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file where the folder should be")
    monkeypatch.setenv("EMBEDSEARCH_CACHE", str(tmp_path / "taken"))
    compute = Counted()
    assert remembered("x", [settled], compute) == "value 1"
    assert not write_atomically(tmp_path / "taken" / "a", [b"x"])
    encoder = SentenceEncoder.load(make_tiny_model(tmp_path / "m"), device="cpu", engine="openvino")
    assert encoder.encode_query(["cat"]).shape == (1, 32)


def test_a_failed_write_leaves_nothing(own_cache):
    def blocks():
        yield b"half"
        raise OSError(28, "No space left on device")

    assert not write_atomically(own_cache / "a" / "b", blocks())
    assert list((own_cache / "a").iterdir()) == []


def test_where_it_is_unless_told(monkeypatch):
    monkeypatch.delenv("EMBEDSEARCH_CACHE")
    assert cache_folder().name == "embedsearch"
    monkeypatch.setenv("EMBEDSEARCH_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"


def test_the_fingerprint_follows_every_file(tmp_path):
    folder = make_tiny_model(tmp_path / "m")
    first = fingerprint(folder)
    assert fingerprint(folder) == first
    edit_json(folder / "config_sentence_transformers.json", prompts={"query": "q: "})
    assert fingerprint(folder) != first
    make_tiny_model(folder, seed=1)
    assert fingerprint(folder) not in (first, fingerprint(make_tiny_model(tmp_path / "n")))


# Compiled models


def embed(folder: Path, texts: list[str]) -> np.ndarray:
    return SentenceEncoder.load(folder, device="cpu", engine="openvino").encode_document(texts)


def compiled_files(own_cache: Path) -> list[Path]:
    return sorted((own_cache / "compiled").iterdir())


TEXTS = ["the cat sat", "a dog ran after the ball in the garden"]


def test_a_model_is_compiled_once(tmp_path, own_cache, monkeypatch):
    folder = make_tiny_model(tmp_path / "m")
    first = embed(folder, TEXTS)
    assert len(compiled_files(own_cache)) == 1

    def build(model):
        raise AssertionError("built again")

    monkeypatch.setattr("embedsearch.encoder.openvino_engine.build_graph", build)
    np.testing.assert_array_equal(embed(folder, TEXTS), first)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "head"])
def test_a_damaged_file_is_compiled_again(tmp_path, own_cache, damage, caplog):
    folder = make_tiny_model(tmp_path / "m")
    first = embed(folder, TEXTS)
    (path,) = compiled_files(own_cache)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    kept = {"cut": content[: len(content) // 2], "empty": b"", "head": content[:3]}
    path.write_bytes(kept.get(damage, content))
    np.testing.assert_array_equal(embed(folder, TEXTS), first)
    assert ("is damaged and is made anew" in caplog.text) == (damage != "empty")
    caplog.clear()
    np.testing.assert_array_equal(embed(folder, TEXTS), first)
    assert caplog.text == ""


def test_another_version_or_cpu_or_model_compiles_its_own(tmp_path, own_cache, monkeypatch):
    folder = make_tiny_model(tmp_path / "m")
    embed(folder, TEXTS)
    monkeypatch.setattr("embedsearch.encoder.compiled.VERSION", 99)
    embed(folder, TEXTS)
    assert len(compiled_files(own_cache)) == 2
    embed(make_tiny_model(tmp_path / "n", seed=1), TEXTS)
    assert len(compiled_files(own_cache)) == 3


def test_only_the_latest_are_kept(tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr("embedsearch.encoder.compiled.KEPT", 2)
    folders = [make_tiny_model(tmp_path / f"{seed}", seed=seed) for seed in range(3)]
    embed(folders[0], TEXTS)
    embed(folders[1], TEXTS)
    (first, second) = compiled_files(own_cache)
    time.sleep(0.01)
    embed(folders[0], TEXTS)  # used again, so it is not the one to go
    embed(folders[2], TEXTS)
    kept = compiled_files(own_cache)
    assert len(kept) == 2
    assert len({first, second} & set(kept)) == 1


def test_two_processes_compile_at_once(tmp_path, own_cache):
    folder = make_tiny_model(tmp_path / "m")
    code = (
        "from embedsearch import SentenceEncoder as E\n"
        f"e = E.load({str(folder)!r}, device='cpu', engine='openvino')\n"
        f"print(e.encode_document({TEXTS!r}).tobytes().hex())"
    )
    command = [sys.executable, "-c", code]
    running = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    answers = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(answers) == 1
    assert len(compiled_files(own_cache)) == 1
    assert bytes.fromhex(answers.pop().strip()) == embed(folder, TEXTS).tobytes()
