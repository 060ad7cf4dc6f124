"""Encodings: what people's editors write, what crashes leave, and the way back."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.data.captions.decode import (
    NUL_BYTES,
    UNDECODABLE,
    UNSURE,
    Decoded,
    decode,
    encode,
    needs_a_guess,
)
from lib_dreambooth.data.captions.legacy import guess_legacy
from lib_dreambooth.data.captions.read import decode_together

JAPANESE = [
    "赤い髪の女の子が椅子に座っている", "少女, 長い髪, 青い目, 制服", "猫", "白い猫が座る",
    "リホ、笑顔、屋外", "戦車と騎士", "葉月", "魔法少女まどか", "1girl, 和服, solo",
]  # fmt: skip
SIMPLIFIED = [
    "红色头发的女孩坐在椅子上", "少女, 长发, 蓝眼睛, 校服", "白色的猫坐着", "黑发, 红裙",
    "一个女孩站在海边, 微笑", "洛天依", "初音未来, 双马尾", "1girl, 旗袍, solo",
]  # fmt: skip
TRADITIONAL = [
    "紅色頭髮的女孩坐在椅子上", "少女, 長髮, 藍眼睛, 校服", "貓", "白色的貓坐著", "黑髮, 紅裙",
    "一個女孩站在海邊, 微笑",
]  # fmt: skip
KOREAN = [
    "빨간 머리의 소녀가 의자에 앉아 있다", "소녀, 긴 머리, 파란 눈, 교복", "고양이", "흰 고양이가 앉아 있다",
    "검은 머리, 빨간 치마",
]  # fmt: skip
WESTERN = ["café au lait", "über alles, fräulein", "un garçon à la mer", "señorita, año nuevo", "Malmö"]
ENGLISH = ["1girl, solo, long hair", "a photo of sks dog", "x"]
LEGACY_CASES = [
    (encoding, text)
    for encoding, texts in {
        "cp932": JAPANESE,
        "gb18030": SIMPLIFIED,
        "cp950": TRADITIONAL,
        "cp949": KOREAN,
        "cp1252": WESTERN,
    }.items()
    for text in texts
]


@pytest.mark.parametrize(("encoding", "text"), LEGACY_CASES)
def test_single_legacy_captions_are_told_apart(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize("text", JAPANESE + SIMPLIFIED + TRADITIONAL + KOREAN + WESTERN + ENGLISH)
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", codecs.BOM_UTF32_BE),
    ],
)
def test_unicode_with_and_without_mark_comes_back_and_is_written_alike(
    text: str, encoding: str, mark: bytes
) -> None:
    data = mark + text.encode(encoding)
    decoded = decode(data)
    assert decoded == Decoded(text, encoding, mark, ())
    assert encode(decoded.text, decoded) == (data, encoding)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text", [t for t in JAPANESE + SIMPLIFIED + KOREAN + WESTERN + ENGLISH if len(t) > 1]
)
def test_utf16_without_a_mark(encoding: str, text: str) -> None:
    decoded = decode(text.encode(encoding))
    assert (decoded.text, decoded.problems) == (text, ())


@pytest.mark.parametrize(
    ("data", "text", "problems"),
    [
        (b"", "", ()),
        (b"\0\0\0\0", "", (NUL_BYTES,)),
        (b"1girl, so\0lo, long hair ", "1girl, solo, long hair ", (NUL_BYTES,)),
        (b"ab\0cdef1", "abcdef1", (NUL_BYTES,)),
        ("café, \0x".encode(), "café, x", (NUL_BYTES,)),
        (b"\xff\xfe", "", ()),
        (b"\xff\xfea", "", (UNDECODABLE,)),
        (b"1girl\x81", "1girl", (UNSURE, UNDECODABLE)),
        ("少女, 長い髪".encode("cp932")[:-1], "少女, 長い", (UNDECODABLE,)),
        ("長い髪".encode("utf-8-sig")[:-1], "長い", (UNDECODABLE,)),
    ],
)
def test_damage_is_named_and_the_rest_is_used(data: bytes, text: str, problems: tuple[str, ...]) -> None:
    decoded = decode(data)
    assert (decoded.text, decoded.problems) == (text, problems)


def test_a_folder_settles_what_one_word_cannot() -> None:
    """GB18030 猫 is also valid UTF-8, and 2 bytes of hangul are also hanzi."""
    assert decode("猫".encode("gb18030")).text == "è"
    raw = {f"{i}.txt": text.encode("gb18030") for i, text in enumerate(["猫", *SIMPLIFIED])}
    assert [d.text for d in decode_together(raw).values()] == ["猫", *SIMPLIFIED]
    assert (
        decode_together({"a": "1girl, solo".encode("utf-16"), "b": "猫".encode("cp932")})["a"].text
        == "1girl, solo"
    )


@pytest.mark.parametrize(
    ("encoding", "texts"),
    [("cp932", JAPANESE), ("gb18030", SIMPLIFIED), ("cp950", TRADITIONAL), ("cp949", KOREAN)],
)
def test_files_of_one_folder_vote(encoding: str, texts: list[str]) -> None:
    name, how_ordinary = guess_legacy([text.encode(encoding) for text in texts])
    assert name == encoding
    assert how_ordinary > 0.8


def test_a_character_that_the_old_encoding_lacks_turns_the_file_into_utf8() -> None:
    decoded = decode("少女, 長い髪".encode("cp932"))
    assert encode("少女🎀", decoded) == ("少女🎀".encode(), "utf-8")
    assert encode("少女, 猫", decoded) == ("少女, 猫".encode("cp932"), "cp932")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    decoded = decode(data)
    assert "\0" not in decoded.text
    assert needs_a_guess(data) in (True, False)


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=80).filter(lambda text: "\0" not in text and "\ufeff" not in text),
    st.sampled_from(["utf-8-sig", "utf-16"]),
)
def test_any_text_with_a_mark_comes_back(text: str, encoding: str) -> None:
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError:
        return
    decoded = decode(data)
    assert decoded.text == text
    assert encode(text, decoded)[0] == data


def test_a_common_word_that_is_also_utf8_is_read_as_its_folder() -> None:
    texts = {"a": "猫耳, 白发, 一个女孩", "b": "微笑"}
    found = decode_together({name: text.encode("gb18030") for name, text in texts.items()})
    assert {name: decoded.text for name, decoded in found.items()} == texts
    russian = decode_together({"a": "猫耳, 白发".encode("gb18030"), "b": "кот и собака".encode()})
    assert russian["b"].text == "кот и собака"


def test_a_file_from_elsewhere_is_not_read_as_the_rest_of_its_folder() -> None:
    chinese = {str(k): "博丽灵梦, 微笑, 学校背景".encode("gb18030") for k in range(3)}
    found = decode_together({**chinese, "x": "霊夢, 笑顔, 学校".encode("cp932")})
    assert found["x"].text == "霊夢, 笑顔, 学校" and found["0"].text == "博丽灵梦, 微笑, 学校背景"
