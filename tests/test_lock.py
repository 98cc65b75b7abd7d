"""The writer's lock: one at a time, and not for want of what is only a courtesy."""

from __future__ import annotations

import errno
import os

import pytest

from embedsearch.errors import LockedError, StorageError
from embedsearch.lock import LOCK_NAME, OWNER_NAME, try_lock, writer_lock

fcntl = pytest.importorskip("fcntl")


def test_a_second_writer_is_told_of_the_first(tmp_path):
    with writer_lock(tmp_path):
        assert (tmp_path / OWNER_NAME).read_text() == str(os.getpid())
        with pytest.raises(LockedError, match="another thread"), writer_lock(tmp_path):
            pass
        assert (tmp_path / OWNER_NAME).exists()
    assert not (tmp_path / OWNER_NAME).exists()
    with writer_lock(tmp_path):
        pass


def test_the_lock_is_had_where_its_owner_cannot_be_noted(tmp_path):
    """As on a full disk, where deleting must be possible."""
    (tmp_path / OWNER_NAME).mkdir()
    with writer_lock(tmp_path):
        assert try_lock(tmp_path / LOCK_NAME) is None
    with writer_lock(tmp_path):
        pass


@pytest.mark.parametrize("refusal", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, refusal):
    """Not given a lock of another kind, which a killed process would leave behind."""

    def flock(*_):
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StorageError, match=r"has no locks \(.*put the folder on a disk"):
        writer_lock(tmp_path).__enter__()


def test_another_failure_is_what_it_is(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output error") as caught:
        try_lock(tmp_path / LOCK_NAME)
    assert not isinstance(caught.value, StorageError)
