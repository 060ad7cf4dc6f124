"""Bucket sizes and the bucket of a picture."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.data.buckets.sizes import BucketSettings, bucket_of, bucket_sizes, nearest_shape

SIDES = st.integers(1, 20_000)
RESOLUTIONS = st.integers(1, 32).map(lambda n: n * 64)
SETTINGS = st.builds(
    BucketSettings,
    resolution=st.tuples(RESOLUTIONS, RESOLUTIONS),
    min_side=st.integers(0, 1024),
    max_side=st.integers(0, 4096),
    step=st.sampled_from([8, 32, 64, 128]),
    upscale=st.booleans(),
    rule=st.sampled_from(["nearest", "kohya"]),
)


@pytest.mark.parametrize(
    ("side", "longest", "step", "count"),
    [(512, 1024, 64, 17), (768, 1024, 64, 19), (1024, 1024, 64, 25), (1024, 2048, 64, 41),
     (1024, 1536, 64, 29), (1024, 2048, 32, 81)],
)  # fmt: skip
def test_the_number_of_buckets_is_that_of_kohyas_scripts(
    side: int, longest: int, step: int, count: int
) -> None:
    assert len(bucket_sizes(BucketSettings((side, side), True, 256, longest, step))) == count


def test_sdxl_gets_tall_buckets_of_nearly_its_whole_area() -> None:
    sizes = bucket_sizes(BucketSettings((1024, 1024)))
    assert {(640, 1600), (704, 1472), (768, 1344), (832, 1216), (896, 1152), (960, 1088)} <= set(sizes)
    assert max(map(max, sizes)) == 2048
    assert min(w * h for w, h in sizes) >= 0.9 * 1024 * 1024


@given(SETTINGS)
def test_every_bucket_lies_inside_the_bounds(settings: BucketSettings) -> None:
    low, high = settings.limits
    sizes = bucket_sizes(settings)
    assert sizes == sorted(set(sizes))
    for width, height in sizes:
        assert width % settings.step == 0 and height % settings.step == 0
        assert low <= min(width, height) and max(width, height) <= high
    area = settings.resolution[0] * settings.resolution[1]
    if len(sizes) > 1:
        assert all(width * height <= area for width, height in sizes)


@given(st.tuples(SIDES, SIDES), SETTINGS)
def test_every_picture_has_a_bucket_of_the_nearest_shape(
    size: tuple[int, int], settings: BucketSettings
) -> None:
    sizes = bucket_sizes(settings)
    bucket = bucket_of(size, settings)
    if not settings.upscale:
        assert min(bucket) >= settings.step
        assert max(bucket) <= max(settings.limits[1], settings.step)
        assert bucket[0] % settings.step == 0 and bucket[1] % settings.step == 0
        # Nothing is enlarged but what is narrower than a step.
        for own, side in zip(size, bucket, strict=True):
            assert side <= max(own, settings.step)
        return
    assert bucket in sizes
    if size in sizes:
        assert bucket == size
    elif settings.rule == "nearest":
        own = math.log(size[0] / size[1])
        best = min(abs(math.log(w / h) - own) for w, h in sizes)
        assert abs(math.log(bucket[0] / bucket[1]) - own) == best


@given(st.tuples(SIDES, SIDES))
def test_turning_a_picture_turns_its_bucket(size: tuple[int, int]) -> None:
    settings = BucketSettings((768, 768))
    width, height = bucket_of(size, settings)
    turned = bucket_of((size[1], size[0]), settings)
    # Two buckets may be equally near; then their shapes are mirror images all the same.
    own = abs(math.log(size[0] / size[1]) - math.log(width / height))
    assert math.isclose(abs(math.log(size[1] / size[0]) - math.log(turned[0] / turned[1])), own, abs_tol=1e-9)


def test_kohyas_rule_cuts_tall_pictures_more() -> None:
    sizes = bucket_sizes(BucketSettings((512, 512), True, 256, 1024, 64))
    # 0.5 wide: plain quotients are close together for tall shapes, so the wrong neighbour can win.
    assert nearest_shape((475, 1000), sizes, "nearest") == (320, 704)
    assert nearest_shape((475, 1000), sizes, "kohya") == (320, 704)
    differing = [
        (width, 1000)
        for width in range(250, 1000)
        if nearest_shape((width, 1000), sizes, "nearest") != nearest_shape((width, 1000), sizes, "kohya")
    ]
    assert differing


@pytest.mark.parametrize(
    ("size", "bucket"),
    [((1023, 1023), (960, 960)), ((1050, 1080), (960, 960)), ((300, 300), (256, 256)),
     ((800, 600), (768, 576)), ((50, 600), (64, 576)), ((100, 5000), (64, 1024))],
)  # fmt: skip
def test_without_enlarging_pictures_keep_their_own_size(
    size: tuple[int, int], bucket: tuple[int, int]
) -> None:
    settings = BucketSettings((1024, 1024), True, 256, 1024, 64, upscale=False)
    assert bucket_of(size, settings) == bucket


def test_without_buckets_everything_has_the_resolution() -> None:
    assert bucket_of((100, 3000), BucketSettings((512, 768), enabled=False)) == (512, 768)
