from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from lib_dreambooth.base import hashing
from lib_dreambooth.base.hashing import remember_sha256, remembered_sha256_of, sha256_ahead, sha256_of


def test_a_file_is_read_once_as_long_as_it_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / "file", []
    path.write_bytes(b"one")
    monkeypatch.setattr(hashing, "sha256_of", lambda path: read.append(path) or sha256_of(path))
    assert remembered_sha256_of(path) == remembered_sha256_of(path) == hashlib.sha256(b"one").hexdigest()
    assert len(read) == 1
    path.write_bytes(b"other")
    assert remembered_sha256_of(path) == hashlib.sha256(b"other").hexdigest()
    assert len(read) == 2


def test_what_was_written_down_counts_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    remember_sha256(path, "written down")
    assert remembered_sha256_of(path) == "written down"
    path.write_bytes(b"other")
    assert remembered_sha256_of(path) == hashlib.sha256(b"other").hexdigest()


def test_a_file_that_a_thread_is_reading_is_not_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read, may_go_on = tmp_path / "file", [], threading.Event()
    path.write_bytes(b"one")

    def slow(path: Path) -> str:
        read.append(path)
        assert may_go_on.wait(10)
        return sha256_of(path)

    monkeypatch.setattr(hashing, "sha256_of", slow)
    thread = sha256_ahead(path)
    while not read:
        thread.join(0.01)
    threading.Timer(0.05, may_go_on.set).start()
    assert remembered_sha256_of(path) == hashlib.sha256(b"one").hexdigest()
    assert len(read) == 1


def test_a_file_that_is_not_there_is_told_to_who_asks(tmp_path: Path) -> None:
    sha256_ahead(tmp_path / "file").join()
    with pytest.raises(FileNotFoundError):
        remembered_sha256_of(tmp_path / "file")
