"""What can be seen: blur, bars, frames and figures, and that clean pictures show none of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from lib_dreambooth.data.buckets.cuts import Cut
from lib_dreambooth.data.health.look import (
    Borders,
    figure_of,
    flat_borders,
    framing_seen,
    one_sided,
    sharpness,
)
from lib_dreambooth.data.health.measures import Fit, fitted, measure
from lib_dreambooth.data.health.pictures import LEAST_SHARPNESS
from tests.data_health.drawn import blurred, framed, letterboxed, person, texture


def small(image: Image.Image) -> np.ndarray:
    return np.asarray(fitted(image.convert("RGB"), 256))


def sharp(image: Image.Image) -> float:
    value = sharpness(np.asarray(image.convert("L")))
    assert value is not None
    return value


@pytest.mark.parametrize("kind", [texture, person])
def test_sharpness_falls_with_blur_and_parts_good_from_bad(kind) -> None:
    values = [sharp(blurred(kind(3), radius)) for radius in (0, 1, 2, 3, 5)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.8
    assert values[1] > LEAST_SHARPNESS > values[3]


@pytest.mark.parametrize("kind", [texture, person])
def test_sharpness_does_not_depend_on_contrast_or_compression(kind) -> None:
    image = kind(3)
    pale = Image.blend(image, Image.new("RGB", image.size, (255, 255, 255)), 0.6)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=40)
    assert sharp(pale) > 0.7
    assert sharp(Image.open(data)) > 0.7


def test_one_sharp_thing_before_a_blurred_ground_is_sharp() -> None:
    image = blurred(texture(1), 8)
    image.paste(person(2).crop((80, 20, 180, 235)), (80, 20))
    assert sharp(image) > 0.8


@pytest.mark.parametrize(
    "image", [Image.new("L", (99, 99), 7), Image.new("L", (1, 1)), Image.new("L", (3, 900))]
)
def test_without_edges_nothing_is_said(image: Image.Image) -> None:
    assert sharpness(np.asarray(image)) is None


def shares(borders: Borders, image: Image.Image) -> list[float]:
    height, width = small(image).shape[:2]
    return [borders.left / width, borders.top / height, borders.right / width, borders.bottom / height]


@pytest.mark.parametrize("quality", [None, 60])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (90, 20, 160)])
def test_bars_above_and_below_or_beside(colour: tuple[int, int, int], quality: int | None) -> None:
    image = letterboxed(texture(5), 0.12, colour)
    if quality:
        data = io.BytesIO()
        image.save(data, "JPEG", quality=quality)
        image = Image.open(data)
    assert shares(flat_borders(small(image)), image) == pytest.approx([0, 0.12, 0, 0.12], abs=0.035)
    turned = image.transpose(Image.Transpose.ROTATE_90)
    assert shares(flat_borders(small(turned)), turned) == pytest.approx([0.12, 0, 0.12, 0], abs=0.035)


def test_frames() -> None:
    image = framed(texture(5), 16)
    assert shares(flat_borders(small(image)), image) == pytest.approx([16 / 256] * 4, abs=0.01)


def square(size: int, colour: tuple[int, int, int] = (200, 30, 30)) -> Image.Image:
    image = Image.new("RGB", (256, 256), (30, 60, 200))
    image.paste(colour, (128 - size, 128 - size, 128 + size, 128 + size))
    return image


CLEAN = [
    texture(7),
    person(7),
    square(30),
    square(90),
    square(120),
    Image.new("RGB", (256, 256), (1, 2, 3)),
    Image.new("RGB", (8, 8)),
]


@pytest.mark.parametrize("image", CLEAN)
def test_plain_grounds_and_flat_shapes_are_no_borders(image: Image.Image) -> None:
    assert flat_borders(small(image)) == Borders()


def test_a_stripe_across_is_no_content_between_bars() -> None:
    image = Image.new("RGB", (256, 256), (30, 60, 200))
    image.paste((250, 250, 0), (0, 80, 256, 180))
    assert flat_borders(small(image)) == Borders()


@pytest.mark.parametrize(
    ("options", "side", "framing"),
    [
        ({}, None, "full"),
        ({"centre": 0.3}, None, "full"),
        ({"centre": 0.03}, "left", None),
        ({"centre": 0.97}, "right", None),
        ({"top": 0.4, "bottom": 1.4}, None, None),
        ({"top": -0.15, "bottom": 0.8}, "top", None),
    ],
)
def test_figures_before_a_plain_ground(
    options: dict[str, float], side: str | None, framing: str | None
) -> None:
    for seed in range(5):
        figure = figure_of(small(person(seed, **options)))  # type: ignore[arg-type]
        assert figure is not None
        assert (one_sided(figure), framing_seen(figure)) == (side, framing)


def test_a_figure_s_box() -> None:
    figure = figure_of(small(square(60)))
    assert figure is not None
    box = (figure.left, figure.top, figure.right, figure.bottom)
    assert box == pytest.approx((68 / 256, 68 / 256, 188 / 256, 188 / 256), abs=0.01)
    assert figure.cut == frozenset()


@pytest.mark.parametrize("image", [texture(2), Image.new("RGB", (99, 99)), square(127)])
def test_where_there_is_no_plain_ground_there_is_no_figure(image: Image.Image) -> None:
    assert figure_of(small(image)) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 3), (17, 16)])
def test_any_size_can_be_measured(size: tuple[int, int]) -> None:
    measure(texture(1).resize(size), with_thumbnail=True)
    assert measure(Image.new("RGB", size, (5, 5, 5))).is_flat


def test_thumbnails_are_small_data_addresses() -> None:
    measured = measure(texture(1, (500, 350)), with_thumbnail=True)
    assert measured.thumbnail.startswith("data:image/jpeg;base64,")
    assert len(measured.thumbnail) < 20_000
    assert measure(texture(1)).thumbnail == ""


def test_how_a_picture_fits_its_bucket() -> None:
    fit = Fit.of((1000, 500), Cut((512, 512), (1024, 512), 128, 0))
    assert (fit.scale, fit.lost) == (1.024, (0.125, 0.0, 0.375, 0.0))
    assert fit.lost_area == 0.5
