"""Repositories of the Hugging Face hub: the one place that fetches from it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from embedsearch.errors import ModelError, NotFoundError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a repository, `gpt2` or `owner/name`."""
    return _HUB_ID.fullmatch(name) is not None


def cached(repo: str) -> Path | None:
    """A repository's folder in the hub client's cache; None if nothing of it was ever downloaded.

    What an interrupted download left is a folder too: see if what is needed is in it. The cache is
    read as its documentation lays it out, without importing the client:
    https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    """
    home = _hub_cache() / f"models--{repo.replace('/', '--')}"
    try:
        commit = (home / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return home / "snapshots" / commit


def _hub_cache() -> Path:
    environment = os.environ
    if named := environment.get("HF_HUB_CACHE"):
        return Path(named).expanduser()
    caches = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(environment.get("HF_HOME") or f"{caches}/huggingface").expanduser() / "hub"


def fetch(
    repo: str, *, called: str, allow: Sequence[str], ignore: Sequence[str] = (), by_hand: str
) -> Path:
    """A repository's folder in huggingface_hub's cache; what is not there yet is fetched.

    `called` is what the
    user asked for (`the model 'x'`) and `by_hand` the way out without the hub, both for messages.
    Raises NotFoundError where there is no such repository, ModelError where fetching fails.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    quiet = are_progress_bars_disabled()
    if not quiet:
        disable_progress_bars()
    try:
        return Path(
            snapshot_download(repo, allow_patterns=list(allow), ignore_patterns=list(ignore))
        )
    except RepositoryNotFoundError:
        raise NotFoundError(
            f"{called} is neither a folder here nor a public repository {repo!r} on the "
            f"hub; {by_hand}"
        ) from None
    except Exception as error:  # the hub client lets the errors of its HTTP library through
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ModelError(
            f"{called} is not a folder here, and fetching {repo!r} from the hub failed: "
            f"{reason}; {by_hand}"
        ) from None
    finally:
        if not quiet:
            enable_progress_bars()
