"""Files that arrive through the page: whole, in one folder, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs.uploads import ACCEPTED, FOLDER, arrive, checked_name, folder_of


def test_parts_become_one_file(tmp_path: Path) -> None:
    first = arrive(tmp_path, "", "a b.PNG", b"abc", 0, is_last=False)
    assert not first.path.exists()
    # A part that comes twice counts once.
    arrive(tmp_path, first.id, "a b.PNG", b"def", 3, is_last=False)
    arrive(tmp_path, first.id, "a b.PNG", b"def", 3, is_last=False)
    last = arrive(tmp_path, first.id, "a b.PNG", b"g", 6, is_last=True)
    assert last.path == tmp_path / FOLDER / first.id / "a b.PNG"
    assert last.path.read_bytes() == b"abcdefg"
    assert [path.name for path in last.folder.iterdir()] == ["a b.PNG"]


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    first = arrive(tmp_path, "", "a.png", b"abc", 0, is_last=False)
    with pytest.raises(UserError, match="part of the file is missing"):
        arrive(tmp_path, first.id, "a.png", b"x", 7, is_last=True)


@pytest.mark.parametrize("name", ["a.exe", "a", ".png", "", "a.png.py", "/", "..", "a.safetensors"])
def test_other_kinds_are_refused(name: str) -> None:
    with pytest.raises(UserError):
        checked_name(name)


@pytest.mark.parametrize(
    "upload", ["..", "../x", "a", "20260101-000000-ABCDEF00", "20260101-000000-0000000g"]
)
def test_other_ids_are_refused(tmp_path: Path, upload: str) -> None:
    with pytest.raises(UserError):
        folder_of(tmp_path, upload)


@given(st.text(max_size=200), st.sampled_from(sorted(ACCEPTED)))
def test_a_name_never_leads_anywhere(text: str, ending: str) -> None:
    try:
        found = checked_name(text + ending)
    except UserError:
        return
    assert Path(found).name == found
    assert not set(found) & set('<>:"/\\|?*\x00')
    assert Path(found).suffix.lower() in ACCEPTED
