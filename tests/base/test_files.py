"""Files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_dreambooth.base import files
from lib_dreambooth.base.errors import FileError


def test_a_failed_file_leaves_no_new_folders(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with pytest.raises(ZeroDivisionError):
        with files.replacing(tmp_path / "old" / "new" / "newer" / "a.txt") as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise ZeroDivisionError
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_new_folders_that_hold_something_stay(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        with files.folder_made(tmp_path / "new" / "newer"):
            (tmp_path / "new" / "somebody.txt").write_text("else", encoding="utf-8")
            raise ZeroDivisionError
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "somebody.txt"]


def test_a_failed_file_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with pytest.raises(ZeroDivisionError):
        with files.replacing(path) as temporary:
            temporary.write_text("new", encoding="utf-8")
            raise ZeroDivisionError
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "code"), [("file/in/it.txt", "not-a-folder"), ("x" * 300 + "/a.txt", "path-too-long")]
)
def test_folders_that_cannot_be_made(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    with pytest.raises(FileError) as caught:
        files.write_text(tmp_path / name, "text")
    assert (caught.value.code, caught.value.where) == (code, str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
