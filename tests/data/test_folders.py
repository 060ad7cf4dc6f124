"""Folders as users keep them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.sources.folders import Listing, list_folder, numbered
from lib_dreambooth.data.sources.masks import mask_beside, mask_by_name


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def found(listing: Listing) -> list[tuple[str, int, str]]:
    return sorted((Path(f.path).name, s.repeats, s.name) for s in listing.subsets for f in s.pictures)


@pytest.mark.parametrize(
    ("name", "auto", "kohya"),
    [("36_riho", (36, "riho"), (36, "riho")), ("10_name class", (10, "name class"), (10, "name class")),
     ("1_", (1, ""), (1, "")), ("riho", None, None), ("_x", None, None), ("0_x", None, None),
     ("-3_x", None, None), ("12", None, (12, "")), ("3_a_b", (3, "a_b"), (3, "a_b")),
     ("20230101_trip", None, None),
     ("99999999999999_x", None, None), ("3.5_x", None, None), ("１０_x", (10, "x"), (10, "x"))],
)  # fmt: skip
def test_repeats_in_a_folders_name(
    name: str, auto: tuple[int, str] | None, kohya: tuple[int, str] | None
) -> None:
    assert numbered(name, "auto") == auto
    assert numbered(name, "repeats") == kohya
    assert numbered(name, "plain") is None and numbered(name, "ignore") is None


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = touch(tmp_path / "train", "loose.png", "note.txt", ".hidden.png")
    touch(top / "36_riho", "a.png", "a.txt", "b.JPG")
    touch(top / "16_kk_dancer", "c.webp")
    touch(top / "extra", "d.png")
    touch(top / "extra" / "2_deep", "e.png")
    touch(top / ".thumbnails", "f.png")
    touch(top / "__MACOSX", "g.png")
    return top


def test_auto_reads_everything_with_the_nearest_number(tree: Path) -> None:
    assert found(list_folder(tree)) == [
        ("a.png", 36, "riho"), ("b.JPG", 36, "riho"), ("c.webp", 16, "kk_dancer"), ("d.png", 1, ""),
        ("e.png", 2, "deep"), ("loose.png", 1, ""),
    ]  # fmt: skip


def test_plain_takes_names_for_names(tree: Path) -> None:
    assert {row[1:] for row in found(list_folder(tree, "plain"))} == {(1, "")}
    assert len(found(list_folder(tree, "plain"))) == 6


def test_ignore_reads_the_folder_alone(tree: Path) -> None:
    assert found(list_folder(tree, "ignore")) == [("loose.png", 1, "")]
    assert found(list_folder(tree / "36_riho", "ignore")) == [("a.png", 1, ""), ("b.JPG", 1, "")]


def test_repeats_only_leaves_out_what_kohya_leaves_out_and_says_so(tree: Path) -> None:
    listing = list_folder(tree, "repeats")
    assert [row[0] for row in found(listing)] == ["a.png", "b.JPG", "c.webp"]
    assert [f.code for f in listing.findings] == ["folders-without-repeats"]
    assert "2 pictures" in listing.findings[0].what


@pytest.mark.parametrize("mode", ["auto", "repeats"])
def test_the_numbered_folder_itself_may_be_given(tree: Path, mode: str) -> None:
    assert found(list_folder(tree / "36_riho", mode)) == [("a.png", 36, "riho"), ("b.JPG", 36, "riho")]  # type: ignore[arg-type]


def test_folders_that_are_someone_elses_are_left_out(tree: Path) -> None:
    assert len(found(list_folder(tree, "auto", [tree / "extra"]))) == 4


def test_masks_are_no_pictures(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a.jpg", "a-mask.png", "b.png", "b-masklabel.png", "lone-mask.png", "-mask.png")
    listing = list_folder(folder)
    assert [row[0] for row in found(listing)] == ["-mask.png", "a.jpg", "b.png", "lone-mask.png"]
    pictures = {file.name: file for file in listing.subsets[0].pictures}
    masks = listing.subsets[0].masks
    assert sorted(masks) == ["a-mask.png", "b-masklabel.png"]
    assert mask_beside(pictures["a.jpg"], masks) == masks["a-mask.png"]
    assert mask_beside(pictures["b.png"], masks) == masks["b-masklabel.png"]
    assert mask_beside(pictures["lone-mask.png"], masks) is None
    elsewhere = {"a.png": pictures["b.png"], "b-mask.webp": pictures["a.jpg"]}
    assert mask_by_name(pictures["a.jpg"], elsewhere) == pictures["b.png"]
    assert mask_by_name(pictures["b.png"], elsewhere) == pictures["a.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_are_followed_and_loops_end(tree: Path, tmp_path: Path) -> None:
    other = touch(tmp_path / "other", "linked.png")
    (tree / "link").symlink_to(other)
    (other / "back").symlink_to(tree)
    (tree / "self.png").symlink_to(tree / "self.png")
    (tree / "nowhere.png").symlink_to(tree / "missing.png")
    listing = list_folder(tree)
    names = [row[0] for row in found(listing)]
    assert sorted(names) == ["a.png", "b.JPG", "c.webp", "d.png", "e.png", "linked.png", "loose.png"]
    assert sorted(Path(f.paths[0]).name for f in listing.findings) == ["nowhere.png", "self.png"]


def test_a_folder_that_refuses_is_reported_and_the_rest_is_read(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_scandir = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "extra":
            raise PermissionError(13, "Permission denied")
        return true_scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    listing = list_folder(tree)
    assert len(found(listing)) == 4
    assert [(f.code, Path(f.paths[0]).name) for f in listing.findings] == [("folder-unreadable", "extra")]
    with pytest.raises(FileError, match="cannot be read"):
        list_folder(tree / "extra")
    monkeypatch.undo()  # the folder itself goes by scandir too


def test_no_folder_and_a_file_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no such folder"):
        list_folder(tmp_path / "nothing")
    file = tmp_path / "a.png"
    file.write_bytes(b"")
    with pytest.raises(FileError, match="is a file, not a folder"):
        list_folder(file)


def test_odd_names_are_read(tmp_path: Path) -> None:
    names = [
        "りほ.png",
        "🐕.png",
        "x" * 200 + ".png",
        "a,b'c\"d.png" if os.name != "nt" else "a,b.png",
        "é.png",
    ]
    assert len(found(list_folder(touch(tmp_path, *names)))) == len(names)


def test_kinds_that_are_not_read_are_named(tmp_path: Path) -> None:
    for name in ("a.png", "b.HEIC", "c.psd", "notes.md", "c.txt", "movie.mp4"):
        (tmp_path / name).write_bytes(b"x")
    listing = list_folder(tmp_path)
    assert [file.name for file in listing.subsets[0].pictures] == ["a.png"]
    (finding,) = listing.findings
    assert finding.code == "picture-kind-unread" and "heic, mp4, psd" in finding.what
    assert [Path(path).name for path in finding.paths] == ["b.HEIC", "c.psd", "movie.mp4"]
