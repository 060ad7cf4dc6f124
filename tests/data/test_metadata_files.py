"""kohya's metadata files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.sources.folders import list_folder
from lib_dreambooth.data.sources.metadata import match_pictures, read_metadata


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def matched(path: Path, folder: Path) -> tuple[dict[str, str], list[str]]:
    files = [f for s in list_folder(folder, "plain").subsets for f in s.pictures]
    captions, findings = match_pictures(read_metadata(path), folder, files, path)
    return {Path(p).relative_to(folder).as_posix(): c.text for p, c in captions.items()}, [
        f.code for f in findings
    ]


def test_json_by_name_path_and_full_path(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", "a.png", "sub/b.jpg", "c.webp", "sub/d.png", "left.png")
    meta = tmp_path / "meta.json"
    meta.write_text(
        json.dumps(
            {
                "a": {"caption": "a cat", "tags": "cat, sitting"},
                "sub/b.jpg": {"tags": "dog"},
                str(folder / "c.webp"): {"caption": "bird", "image_size": [1, 2]},
                "sub\\d.png": {"caption": "fish"},
                "gone.png": {"caption": "x"},
            }
        ),
        encoding="utf-8",
    )
    captions, codes = matched(meta, folder)
    assert captions == {
        "a.png": "a cat, cat, sitting",
        "sub/b.jpg": "dog",
        "c.webp": "bird",
        "sub/d.png": "fish",
    }
    assert codes == ["metadata-pictures-missing", "pictures-not-in-metadata"]


def test_jsonl_has_an_object_a_line(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", "a.png", "b.png")
    meta = tmp_path / "meta.jsonl"
    rows = [{"image_path": "a.png", "caption": "one"}, {"image_path": "b.png", "image_size": [3, 4]}]
    meta.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    assert matched(meta, folder) == ({"a.png": "one", "b.png": ""}, [])


def test_entries_of_wrong_types_are_named(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", "a.png", "b.png", "c.png")
    meta = tmp_path / "meta.json"
    meta.write_text('{"a": {"caption": 5}, "b": 7, "c": null, "": {"caption": "x"}}', encoding="utf-8")
    captions, codes = matched(meta, folder)
    assert captions == {"a.png": "", "b.png": "", "c.png": ""}
    assert codes.count("metadata-entry") == 4


@pytest.mark.parametrize("text", ["", "[]", "5", '{"a"', "null", "[" * 100_000])
def test_what_is_no_metadata_gets_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match="is not a metadata file"):
        read_metadata(tmp_path / "m.json")


def test_a_jsonl_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"image_path": "a"}\n[1]\n', encoding="utf-8")
    with pytest.raises(FileError, match="line 2 is not an object"):
        read_metadata(tmp_path / "m.jsonl")


def test_a_missing_metadata_file_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        read_metadata(tmp_path / "m.json")


def test_a_name_that_two_folders_have_is_not_guessed(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", "x/a.png", "y/a.png")
    meta = tmp_path / "meta.json"
    meta.write_text('{"a": {"caption": "which"}}', encoding="utf-8")
    assert matched(meta, folder)[0] == {}
