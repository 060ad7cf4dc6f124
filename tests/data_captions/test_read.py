"""Captions beside pictures, in files of every kind and state."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from lib_dreambooth.data.captions import read
from lib_dreambooth.data.captions.compose import prepare
from lib_dreambooth.data.captions.read import caption_lines, find_captions, read_captions
from lib_dreambooth.data.captions.records import (
    NotACaption,
    caption_from_json,
    caption_from_name,
    caption_from_record,
    without_face_box,
)
from lib_dreambooth.data.item import NO_CAPTION, CaptionText, Finding
from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.concept import Concept


def one(picture: Path, **options: object) -> tuple[CaptionText, list[Finding]]:
    captions, findings = read_captions([str(picture)], **options)  # type: ignore[arg-type]
    assert len(captions) == 1
    return captions[0], findings


def test_the_first_extension_that_exists_wins(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    for extension in (".json", ".caption", ".txt"):
        file = picture.with_suffix(extension)
        text = '{"caption": "j"}' if extension == ".json" else extension
        file.write_bytes(text.encode())
        caption, findings = one(picture)
        assert caption == CaptionText("j" if extension == ".json" else text, extension[1:], str(file))  # type: ignore[arg-type]
        assert findings == []
        assert find_captions([picture]) == [file]
    assert one(picture, extensions=(".caption",))[0].text == ".caption"


@pytest.mark.parametrize("name", ["a.TXT", "A.txt", "a.png.txt", "a.txt"])
def test_names_are_found_as_people_write_them(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert one(tmp_path / "a.png")[0].text == "x"


def test_an_exact_name_comes_before_a_similar_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"small")
    try:
        (tmp_path / "A.txt").write_bytes(b"large")
    except OSError:  # pragma: no cover
        return
    if len(list(tmp_path.iterdir())) == 2:
        assert one(tmp_path / "a.png")[0].text == "small"
        assert one(tmp_path / "A.png")[0].text == "large"


def test_face_boxes_and_decomposed_names(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"face")
    assert one(tmp_path / "a_10_20_300_400.png")[0].text == "face"
    (tmp_path / (unicodedata.normalize("NFD", "がぎ") + ".txt")).write_bytes(b"kana")
    assert one(tmp_path / "がぎ.png")[0].text == "kana"


@pytest.mark.parametrize(
    ("stem", "text"),
    [
        ("0012-photo of sks dog", "photo of sks dog"),
        ("photo of sks dog (3)", "photo of sks dog"),
        ("2023-01-05 a red hat", "a red hat"),
        ("0001", ""),
        ("1girl, solo", "1girl, solo"),
        ("12_1girl", "1girl"),
        ("-x", "x"),
        (unicodedata.normalize("NFD", "がぎ🎀"), "がぎ🎀"),
        ("a" * 240, "a" * 240),
    ],
)
def test_captions_from_names(stem: str, text: str) -> None:
    assert caption_from_name(stem) == text
    expected = CaptionText(text, "name") if text else NO_CAPTION
    assert one(Path("nowhere") / f"{stem}.png")[0] == expected
    assert one(Path("nowhere") / f"{stem}.png", use_names=False)[0] == NO_CAPTION


def test_face_box_suffix() -> None:
    assert without_face_box("a_1_2_3_4") == "a"
    assert without_face_box("a_1_2_3") == "a_1_2_3"


@pytest.mark.parametrize(
    ("value", "caption"),
    [
        ("a b", "a b"),
        (["a", "b", ""], "a, b"),
        ({"caption": "A dog.", "tags": "x, y"}, "A dog., x, y"),
        ({"tags": ["x", "y"]}, "x, y"),
        ({"tags": {"x": 0.9, "y": 0.5}}, "x, y"),
        ({"caption": None, "tags": "x"}, "x"),
        ({"text": "t"}, "t"),
        ({"tag_string": "1girl long_hair"}, "1girl, long_hair"),
        ({"caption": "", "image_size": [1, 2]}, ""),
    ],
)
def test_records(value: object, caption: str) -> None:
    assert caption_from_record(value) == caption


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (3, "a number"),
        (None, "null"),
        (True, "true or false"),
        ({}, "none of the keys"),
        ({"width": 3}, "none of the keys"),
        ({"caption": 3}, "`caption` is a number"),
        ({"tags": ["a", 3]}, "`tags` holds a number"),
        ([["a"]], "the list holds a list"),
    ],
)
def test_wrong_types_are_said(value: object, why: str) -> None:
    with pytest.raises(NotACaption, match=why):
        caption_from_record(value)


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, "nonsense"])
def test_broken_json_is_said(text: str) -> None:
    with pytest.raises(NotACaption, match="not valid JSON"):
        caption_from_json(text)


def test_a_broken_json_is_a_finding_and_no_caption(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"caption": [1]}')
    caption, findings = one(tmp_path / "a.png")
    assert caption == NO_CAPTION
    assert [(f.code, f.paths) for f in findings] == [("caption-json", (str(tmp_path / "a.json"),))]
    assert "`caption` holds a number" in findings[0].what


def test_bad_bytes_are_findings_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"1girl, so\0lo")
    (tmp_path / "b.txt").write_bytes("猫".encode("gb18030"))
    (tmp_path / "c.txt").write_bytes("红色头发的女孩坐在椅子上".encode("gb18030"))
    (tmp_path / "d.txt").mkdir()
    (tmp_path / "e.txt").write_bytes(b"word, " * 200_000)
    captions, findings = read_captions([str(tmp_path / f"{name}.png") for name in "abcde"])
    assert [c.text for c in captions[:4]] == ["1girl, solo", "猫", "红色头发的女孩坐在椅子上", ""]
    assert len(captions[4].text) == read.LARGEST_CAPTION_BYTES
    assert sorted((f.code, Path(f.paths[0]).name) for f in findings) == [
        ("caption-nul-bytes", "a.txt"),
        ("caption-too-long", "e.txt"),
        ("caption-unreadable", "d.txt"),
    ]


def test_a_caption_deleted_while_reading_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    listing = read._listing(tmp_path)
    (tmp_path / "a.txt").unlink()
    monkeypatch.setattr(read, "_listing", lambda folder: listing)
    caption, findings = one(tmp_path / "a.png")
    assert (caption, [f.code for f in findings]) == (NO_CAPTION, ["caption-unreadable"])


def test_no_permission_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")

    def refuse(path: Path, *args: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    caption, findings = one(tmp_path / "a.png")
    assert (caption, [f.code for f in findings]) == (NO_CAPTION, ["caption-unreadable"])
    assert "Permission denied" in findings[0].what


def test_lines() -> None:
    assert caption_lines("a\r\n\r\n b\rc\u2028d\n\x1a") == ("a", "b", "c", "d")
    assert caption_lines("") == ()


def test_hostile_gaps_do_not_take_for_ever() -> None:
    gap = "\u3000" * 300_000
    assert caption_lines(f"a{gap}b") == ("a b",)
    captions = Captions(shuffle_names=True, names_separator="/", shuffle=True)
    (line,) = prepare(f"a{gap}b, {gap}c", captions, Concept(token="sks"))
    assert line.text == "sks, a b, c"


def test_many_pictures_list_their_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(50):
        (tmp_path / f"{i}.txt").write_bytes(str(i).encode())
    asked: list[Path] = []
    listing = read._listing
    monkeypatch.setattr(read, "_listing", lambda folder: asked.append(folder) or listing(folder))
    captions, findings = read_captions([str(tmp_path / f"{i}.png") for i in range(50)])
    assert [c.text for c in captions] == [str(i) for i in range(50)]
    assert (findings, asked) == ([], [tmp_path])
