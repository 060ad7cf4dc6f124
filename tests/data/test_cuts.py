"""Scaling over a bucket, crops, and what SDXL is told."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.data.buckets.cuts import (
    Cut,
    CutSettings,
    cover,
    cut_for,
    lost_share,
    parse_face_box,
    possible_cuts,
    size_ids,
)
from tests.data.made_items import made_item

SIZES = st.tuples(st.integers(1, 20_000), st.integers(1, 20_000))
BUCKETS = st.tuples(st.integers(1, 32).map(lambda n: n * 64), st.integers(1, 32).map(lambda n: n * 64))
SETTINGS = st.builds(
    CutSettings,
    crop=st.sampled_from(["centre", "random", "upper", "face"]),
    num_crops=st.integers(0, 5),
    face_zoom=st.sampled_from([(0.0, 0.0), (2.0, 4.0), (0.5, 1.0), (0.0, 3.0)]),
    flip=st.booleans(),
)


@given(SIZES, BUCKETS)
def test_a_scaled_picture_just_covers_its_bucket(size: tuple[int, int], bucket: tuple[int, int]) -> None:
    width, height = cover(size, bucket)
    assert width >= bucket[0] and height >= bucket[1]
    assert width == bucket[0] or height == bucket[1]
    if width > bucket[0]:
        assert abs(width - size[0] * bucket[1] / size[1]) <= 0.5 + 1e-9
    if height > bucket[1]:
        assert abs(height - size[1] * bucket[0] / size[0]) <= 0.5 + 1e-9


@given(SIZES, BUCKETS, SETTINGS, st.integers(0, 50), st.integers(0, 3), st.data())
def test_a_cut_lies_inside_the_picture_and_is_one_of_the_possible_ones(
    size: tuple[int, int],
    bucket: tuple[int, int],
    settings: CutSettings,
    visit: int,
    seed: int,
    data: st.DataObject,
) -> None:
    face = None
    if data.draw(st.booleans()):
        left, top = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
        face = left, top, data.draw(st.integers(left + 1, size[0])), data.draw(st.integers(top + 1, size[1]))
    item = made_item(1, size=size, face=face)
    cut = cut_for(item, bucket, visit, settings, seed)
    left, top, right, bottom = cut.box
    assert min(left, top) >= 0 and right <= cut.scaled[0] and bottom <= cut.scaled[1]
    assert (right - left, bottom - top) == bucket
    possible = possible_cuts(item, bucket, settings, seed)
    assert cut in possible or possible == ()
    assert 0 <= lost_share(cut) < 1


def test_every_possible_cut_occurs() -> None:
    item, settings = made_item(1, size=(900, 512)), CutSettings("random", 4, flip=True)
    possible = possible_cuts(item, (512, 512), settings, 7)
    assert len(possible) == 8
    seen = Counter(cut_for(item, (512, 512), visit, settings, 7) for visit in range(400))
    assert set(seen) == set(possible)
    # Chi-square with 7 degrees of freedom, 0.1 % point.
    assert sum((count - 50) ** 2 / 50 for count in seen.values()) < 24.3


def test_fresh_random_crops_spread_over_the_whole_picture() -> None:
    item, settings = made_item(1, size=(612, 512)), CutSettings("random", 0)
    lefts = Counter(cut_for(item, (512, 512), visit, settings, 3).left // 21 for visit in range(2000))
    assert cut_for(item, (512, 512), 5, settings, 3) != cut_for(item, (512, 512), 6, settings, 3)
    # Places 0 to 100 in five classes of 21, 21, 21, 21 and 17.
    expected = {
        0: 2000 * 21 / 101,
        1: 2000 * 21 / 101,
        2: 2000 * 21 / 101,
        3: 2000 * 21 / 101,
        4: 2000 * 17 / 101,
    }
    assert sum((lefts[k] - want) ** 2 / want for k, want in expected.items()) < 18.5


@pytest.mark.parametrize(("crop", "corner"), [("centre", (0, 128)), ("upper", (0, 0)), ("face", (0, 0))])
def test_where_each_mode_cuts_a_tall_picture(crop: str, corner: tuple[int, int]) -> None:
    cut = cut_for(made_item(1, size=(512, 768)), (512, 512), 0, CutSettings(crop), 0)  # type: ignore[arg-type]
    assert (cut.left, cut.top) == corner


def test_a_known_face_is_kept_in_the_middle() -> None:
    item = made_item(1, size=(1000, 2000), face=(400, 1400, 600, 1600))
    cut = cut_for(item, (500, 500), 0, CutSettings("face"), 0)
    assert cut.scaled == (500, 1000)
    assert (cut.left, cut.top) == (0, 500)


def test_face_zoom_makes_the_crop_that_many_faces_large() -> None:
    item = made_item(1, size=(4000, 4000), face=(1900, 1900, 2100, 2100))
    settings = CutSettings("face", 50, (2.0, 4.0))
    cuts = possible_cuts(item, (512, 512), settings, 0)
    # The face measures 200; at full size the crop is 512, so it is 2.56 faces, and never enlarged beyond.
    faces = [512 / (200 * cut.scaled[0] / 4000) for cut in cuts]
    assert min(faces) == pytest.approx(2.56, abs=0.1) and max(faces) == pytest.approx(4.0, abs=0.1)
    assert all(0 < 2000 * cut.scaled[0] / 4000 - cut.left < 512 for cut in cuts)


@pytest.mark.parametrize(
    ("size", "bucket", "true", "kohya"),
    [((1000, 1200), (1024, 1024), (102, 0), (0, 85)), ((2000, 3000), (832, 1216), (16, 0), (0, 10))],
)
def test_sdxl_is_told_the_true_crop_and_kohyas_on_request(
    size: tuple[int, int], bucket: tuple[int, int], true: tuple[int, int], kohya: tuple[int, int]
) -> None:
    cut = cut_for(made_item(1, size=size), bucket, 0, CutSettings(), 0)
    assert size_ids(cut, size) == (size[1], size[0], *true, bucket[1], bucket[0])
    assert size_ids(cut, size, kohya_formula=True)[2:4] == kohya


def test_a_mirrored_crop_is_told_where_it_is_in_the_mirrored_picture() -> None:
    item = made_item(1, size=(1000, 500))
    plain = Cut((500, 500), (1000, 500), 100, 0)
    straight, flipped = possible_cuts(item, (500, 500), CutSettings("random", 1, flip=True), 0)
    assert (straight.flipped, flipped.flipped) == (False, True)
    assert flipped.left == 1000 - 500 - straight.left
    assert size_ids(plain, (1000, 500)) == (500, 1000, 0, 100, 500, 500)


@pytest.mark.parametrize(
    ("stem", "box"),
    [("a_100_200_40_60", (80, 170, 120, 230)), ("a_b_100_200_40_60", (80, 170, 120, 230)), ("a_1_2_3", None),
     ("a_10_10_40_40", (0, 0, 30, 30)), ("a_9000_9000_4_4", None), ("a_x_2_3_4", None), ("photo", None),
     ("a_100_200_0_0", None)],
)  # fmt: skip
def test_a_face_box_in_the_name(stem: str, box: tuple[int, int, int, int] | None) -> None:
    assert parse_face_box(stem, (500, 600)) == box
