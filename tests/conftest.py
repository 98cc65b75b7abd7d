"""What all tests share: a clean environment, the public sets, skipping what cannot run here."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The user's own settings must not reach the tests, nor the processes they start.
for name in (
    "EMBEDSEARCH_DB",
    "EMBEDSEARCH_DEBUG",
    "EMBEDSEARCH_LLM",
    "EMBEDSEARCH_LLM_KEY",
    "COLUMNS",
    "FORCE_COLOR",
    "NO_COLOR",
):
    os.environ.pop(name, None)

# … nor their cache: what one test leaves there must not help or harm another run.
os.environ["EMBEDSEARCH_CACHE"] = tempfile.mkdtemp(prefix="embedsearch-cache-")
atexit.register(shutil.rmtree, os.environ["EMBEDSEARCH_CACHE"], ignore_errors=True)

# Tests in parallel processes share the cores; torch, FAISS and NumPy would each take all of them.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# How long an example takes says something about the machine, not about the code.
settings.register_profile(
    "embedsearch", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("embedsearch")


def pytest_configure() -> None:
    folder = os.environ.get("EMBEDSEARCH_DATA")
    if not folder:
        os.environ.pop("EMBEDSEARCH_DATA", None)
    elif not Path(folder).is_dir():
        raise pytest.UsageError(f"EMBEDSEARCH_DATA={folder} is not a folder")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("data") and "EMBEDSEARCH_DATA" not in os.environ:
        pytest.skip("EMBEDSEARCH_DATA is not set")
    if item.get_closest_marker("gpu"):
        from embedsearch.device import best_device

        if best_device() != "cuda":
            pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def public_set() -> Callable[[str], Path]:
    """The folder of a public set by its name, for tests marked `data`; skips where it is absent."""

    def find(name: str) -> Path:
        folder = Path(os.environ["EMBEDSEARCH_DATA"]) / name
        if not folder.exists():
            pytest.skip(f"EMBEDSEARCH_DATA has no {name}")
        return folder

    return find
