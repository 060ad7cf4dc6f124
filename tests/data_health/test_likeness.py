"""Duplicates: found however they were saved, not found where pictures only resemble each other."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from lib_dreambooth.data.health import likeness
from lib_dreambooth.data.health.likeness import Likeness, groups, likeness_of, similar_pairs
from lib_dreambooth.data.health.measures import measure
from tests.data_health.drawn import person, pixels, texture


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(io.BytesIO(data.getvalue()))


def noisy(image: Image.Image) -> Image.Image:
    rng = np.random.Generator(np.random.PCG64(0))
    return Image.fromarray(np.clip(pixels(image) + rng.normal(0, 6, (256, 256, 3)), 0, 255).astype(np.uint8))


CHANGES = {
    "saved again": lambda image: jpeg(image, 40),
    "smaller": lambda image: image.resize((150, 150)),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "noisy": noisy,
    "slightly cut": lambda image: image.crop((5, 5, 251, 251)).resize((256, 256)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", [texture, person])
def test_copies_are_found(kind, change: str) -> None:
    image = kind(1)
    likes = [likeness_of(image), likeness_of(kind(2)), likeness_of(CHANGES[change](image).convert("RGB"))]
    assert list(similar_pairs(likes)) == [(0, 2, False)]


@pytest.mark.parametrize("kind", [texture, person])
def test_mirror_images_are_found_and_called_so(kind) -> None:
    image = kind(1)
    likes = [likeness_of(image), likeness_of(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))]
    assert list(similar_pairs(likes)) == [(0, 1, True)]


def test_different_pictures_are_not_pairs() -> None:
    likes = [likeness_of(kind(seed)) for kind in (texture, person) for seed in range(10)]
    assert list(similar_pairs(likes)) == []


def disc(colour: tuple[int, int, int], ground: tuple[int, int, int], x: int, y: int) -> Image.Image:
    rows, columns = np.mgrid[0:96, 0:96]
    inside = (rows - y) ** 2 + (columns - x) ** 2 < 400
    return Image.fromarray(np.where(inside[:, :, None], colour, ground).astype(np.uint8))


def test_one_shape_in_other_colours_and_places_is_not_the_same_picture() -> None:
    red, blue, white, green = (220, 30, 30), (30, 30, 220), (250, 250, 250), (30, 160, 30)
    drawn = [
        disc(colour, ground, x, y)
        for colour in (red, blue, green)
        for ground in (white, (20, 20, 20), (240, 200, 60))
        for x, y in ((48, 48), (30, 40), (66, 60))
    ]
    assert list(similar_pairs([likeness_of(image) for image in drawn])) == []


def test_flat_pictures_have_no_likeness() -> None:
    assert likeness_of(Image.new("RGB", (50, 50), (3, 4, 5))) is None
    assert list(similar_pairs([None, None, likeness_of(texture(1))])) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 5), (2000, 30)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    likeness_of(Image.new("RGB", size, (9, 9, 9)))
    likeness_of(texture(1).resize(size))


def test_groups_hang_together() -> None:
    assert groups([(4, 2), (7, 9), (2, 1), (9, 8)]) == [[1, 2, 4], [7, 8, 9]]
    assert groups([]) == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda p: p[0] != p[1])))
def test_groups_do_not_depend_on_order(pairs: list[tuple[int, int]]) -> None:
    assert groups(pairs) == groups([(b, a) for a, b in reversed(pairs)])


def made_up(count: int) -> list[Likeness | None]:
    rng = np.random.Generator(np.random.PCG64(3))
    hashes = rng.integers(0, 2**63, (count, 2), dtype=np.int64)
    tiny = rng.integers(0, 255, (count, 16, 16, 3), dtype=np.uint8)
    found: list[Likeness | None] = [
        Likeness(int(h) * 2, int(m) * 2, t) for (h, m), t in zip(hashes, tiny, strict=True)
    ]
    # Every hundredth picture has a copy whose hash differs in three bits.
    for i in range(0, count, 100):
        one = found[i]
        assert one is not None
        found[i + 1] = Likeness(one.hash ^ 0b10000100001000000, one.mirrored, one.tiny)
    return found


def test_thousands_of_frames_of_one_scene_are_not_millions_of_pairs() -> None:
    like = likeness_of(texture(1))
    pairs = list(similar_pairs([like] * 3000))
    assert len(pairs) == 2999
    assert len(groups((a, b) for a, b, _ in pairs)) == 1


def test_thousands_of_pictures_are_not_compared_each_with_each(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    plain = likeness._sharing_a_band

    def sharing(*given: Any) -> list[int]:
        found = plain(*given)
        compared.extend(found)
        return found

    monkeypatch.setattr(likeness, "_sharing_a_band", sharing)
    pairs = list(similar_pairs(made_up(2000)))
    assert [(a, b) for a, b, _ in pairs] == [(i, i + 1) for i in range(0, 2000, 100)]
    # Each with each, twice over for mirrored ones, would be eight million.
    assert len(compared) < 40_000


def test_a_fine_pattern_is_not_one_flat_colour() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (640, 512, 3), dtype=np.uint8)
    checks = np.indices((512, 512)).sum(0) // 2 % 2 * 255
    pattern = np.repeat(checks[:, :, None], 3, axis=2).astype(np.uint8)
    assert not measure(Image.fromarray(noise)).is_flat and not measure(Image.fromarray(pattern)).is_flat
    assert measure(Image.new("RGB", (512, 512), (9, 99, 200))).is_flat
