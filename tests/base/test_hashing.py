from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lib_dreambooth.base import hashing
from lib_dreambooth.base.hashing import remembered_sha256_of, sha256_of


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
