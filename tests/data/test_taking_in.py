"""Zips and dropped files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.base.errors import Cancelled, FileError
from lib_dreambooth.data.sources.taking_in import safe_name, safe_parts, take_in_files, unpack_zip
from tests.data.drawn_files import save_gradient


def make_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as zipped:
        for name, data in members.items():
            zipped.writestr(name, data)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_pictures_and_captions_come_out_with_their_folders(tmp_path: Path) -> None:
    members = {"10_a/x.png": b"picture", "10_a/x.txt": b"caption", "run.exe": b"no", "__MACOSX/._x.png": b"m"}
    archive = make_zip(tmp_path / "set.zip", members)
    folder, findings = unpack_zip(archive, tmp_path / "in")
    assert tree(folder)["10_a/x.png"] == b"picture" and tree(folder)["10_a/x.txt"] == b"caption"
    assert "run.exe" not in tree(folder) and findings == []


def test_the_same_zip_is_unpacked_once(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "set.zip", {"x.png": b"1"})
    folder, _ = unpack_zip(archive, tmp_path / "in")
    (folder / "x.txt").write_text("mine", encoding="utf-8")
    again, _ = unpack_zip(archive, tmp_path / "in")
    assert again == folder and (folder / "x.txt").read_text(encoding="utf-8") == "mine"
    other, _ = unpack_zip(make_zip(tmp_path / "set.zip", {"x.png": b"2"}), tmp_path / "in")
    assert other != folder


@pytest.mark.parametrize(
    "name",
    ["../evil.png", "/evil.png", "..\\..\\evil.png", "C:\\evil.png", "a/../../evil.png", "a/./evil.png"],
)
def test_nothing_leaves_the_folder(tmp_path: Path, name: str) -> None:
    archive = make_zip(tmp_path / "set.zip", {name: b"x"})
    folder, _ = unpack_zip(archive, tmp_path / "deep" / "in")
    assert len(tree(folder)) == 1
    everything = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert everything == {archive, *folder.rglob("*.png")}


def test_names_that_fall_together_are_numbered(tmp_path: Path) -> None:
    folder, _ = unpack_zip(
        make_zip(tmp_path / "s.zip", {"a.png": b"1", "A.png": b"2", "./a.png": b"3"}), tmp_path
    )
    assert sorted(tree(folder).values()) == [b"1", b"2", b"3"]


def test_japanese_names_from_old_windows_are_read(tmp_path: Path) -> None:
    archive = tmp_path / "s.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        info = zipfile.ZipInfo("x")
        info.filename = "りほ.png".encode("cp932").decode("cp437")
        zipped.writestr(info, b"1")
    data = archive.read_bytes()
    raw = "りほ.png".encode("cp932")
    written = info.filename.encode("utf-8")
    # Python marks the name as UTF-8; old Windows did not, so mark and name are put back.
    assert written in data
    folder, _ = unpack_zip(_as_old_windows(tmp_path / "old.zip", raw), tmp_path / "in")
    assert list(tree(folder)) == ["りほ.png"]


def _as_old_windows(path: Path, name: bytes) -> Path:
    placeholder = b"n" * (len(name) - 4) + b".png"
    make_zip(path, {placeholder.decode(): b"1"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(placeholder, name))
    return path


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "bomb.zip", {"a.png": bytes(50_000_000)})
    with pytest.raises(FileError, match="thousandfold"):
        unpack_zip(archive, tmp_path / "in")
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 nothing", b"no zip at all"])
def test_what_is_no_zip_gets_a_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(FileError, match="this zip cannot be used"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "in")


def test_a_zip_without_pictures_and_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no pictures"):
        unpack_zip(make_zip(tmp_path / "a.zip", {"a.txt": b"x"}), tmp_path / "in")
    with pytest.raises(FileError, match="this zip cannot be used"):
        unpack_zip(tmp_path / "none.zip", tmp_path / "in")


def test_a_damaged_member_is_left_out_and_named(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a.png": b"A" * 1000, "b.png": b"B" * 1000}, zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"A" * 1000, b"A" * 999 + b"x"))
    folder, findings = unpack_zip(archive, tmp_path / "in")
    assert list(tree(folder)) == ["b.png"]
    assert [f.code for f in findings] == ["zip-member-damaged"] and "a.png" in findings[0].what


def test_stopping_leaves_nothing_behind(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a.png": b"1", "b.png": b"2"})
    calls = iter(range(10))

    def stop() -> None:
        if next(calls) == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        unpack_zip(archive, tmp_path / "in", stop)
    assert list((tmp_path / "in").iterdir()) == []


def test_dropped_files_are_copied_under_their_names(tmp_path: Path) -> None:
    one = save_gradient(tmp_path / "x" / "a.png")
    two = save_gradient(tmp_path / "y" / "a.png", 10, 10)
    (tmp_path / "a.txt").write_text("caption", encoding="utf-8")
    (tmp_path / "virus.exe").write_bytes(b"")
    files = [one, two, tmp_path / "a.txt", tmp_path / "virus.exe", tmp_path / "gone.png"]
    folder, findings = take_in_files(files, tmp_path / "in")
    assert set(tree(folder)) == {"a.png", "a (2).png", "a.txt"}
    assert one.exists() and findings[0].code == "dropped-left-out" and len(findings[0].paths) == 2


@given(st.text())
def test_any_name_becomes_one_that_every_system_takes(name: str) -> None:
    safe = safe_name(name)
    assert safe not in ("", ".", "..") and not safe.endswith((" ", "."))
    assert not set('<>:"/\\|?*') & set(safe) and all(ord(c) >= 32 for c in safe)
    assert len(safe.encode("utf-8")) <= 200
    assert all(part not in ("", ".", "..") for part in safe_parts(name))
