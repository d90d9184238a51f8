"""One supervisor per state directory."""

import os

import pytest

from proa.errors import StoreLocked, UsageError
from proa.local.lock import StateLock, held


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path):
    first = StateLock(tmp_path)
    first.acquire()
    with pytest.raises(StoreLocked) as refused:
        StateLock(tmp_path).acquire()
    assert refused.value.detail == f"{tmp_path} is in use by process {os.getpid()}"
    first.release()


def test_the_lock_can_be_taken_again_after_its_release(tmp_path):
    for _ in range(2):
        lock = StateLock(tmp_path)
        lock.acquire()
        lock.release()
    assert held(tmp_path) is False


def test_whether_it_is_held_can_be_asked_without_taking_it(tmp_path):
    lock = StateLock(tmp_path / "state")
    assert held(tmp_path / "state") is False
    lock.acquire()
    assert (held(tmp_path / "state"), held(tmp_path / "state")) == (True, True)
    lock.release()
    assert held(tmp_path / "state") is False


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot hold the state: Not a directory"):
        StateLock(tmp_path / "file" / "state").acquire()
