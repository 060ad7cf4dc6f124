"""Pictures in rows and columns."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_dreambooth.sampling.grid import BACKGROUND, draw_grid

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]


def pictures(count: int, size: tuple[int, int] = (64, 64)) -> list[Image.Image]:
    return [Image.new("RGB", size, COLOURS[number % len(COLOURS)]) for number in range(count)]


def test_pictures_stand_row_by_row() -> None:
    sheet = draw_grid(pictures(5), 3)
    assert sheet.size == (3 * 64 + 2, 2 * 64 + 1)
    found = [sheet.getpixel((32 + 65 * (n % 3), 32 + 65 * (n // 3))) for n in range(6)]
    assert found == [*COLOURS, BACKGROUND]
    assert sheet.getpixel((64, 10)) == BACKGROUND


@given(st.integers(1, 12), st.integers(0, 5))
@settings(deadline=None, max_examples=30)
def test_every_picture_is_whole(count: int, num_columns: int) -> None:
    sheet = np.asarray(draw_grid(pictures(count), num_columns))
    for colour in COLOURS[: min(count, 5)]:
        number = sum(COLOURS[n % 5] == colour for n in range(count))
        assert (sheet == colour).all(axis=2).sum() == number * 64 * 64


def test_labels_take_room_and_leave_the_pictures_alone() -> None:
    plain = draw_grid(pictures(4, (128, 128)), 2)
    labelled = draw_grid(
        pictures(4, (128, 128)), columns=["strength 0.5", "strength 1"], rows=["a cat", "a dog"]
    )
    left, top = (big - small for big, small in zip(labelled.size, plain.size, strict=True))
    assert left > 0 and top > 0
    assert np.array_equal(np.asarray(labelled)[top:, left:], np.asarray(plain))
    ink = [(np.asarray(labelled)[:top, left + x : left + x + 128] < 100).any() for x in (0, 130)]
    assert all(ink)


def test_long_labels_are_wrapped_and_cut() -> None:
    heights = [
        draw_grid(pictures(1, (128, 128)), columns=["word " * count]).height for count in (1, 8, 24, 80, 160)
    ]
    assert all(low <= high for low, high in pairwise(heights))
    assert heights[-1] == heights[-2] < 128 * 2


@pytest.mark.parametrize("text", ["猫のいる部屋、赤い円", "🙂", "", "line\nbreak"])
def test_any_text_can_stand_beside(text: str) -> None:
    assert draw_grid(pictures(2), columns=[text, text], rows=[text]).width > 128


def test_smaller_pictures_stand_in_the_middle() -> None:
    sheet = draw_grid([*pictures(1), Image.new("RGB", (32, 16), (9, 9, 9))], 2)
    assert sheet.getpixel((65 + 32, 32)) == (9, 9, 9)
    assert sheet.getpixel((65 + 4, 4)) == BACKGROUND
