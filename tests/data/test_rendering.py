"""A picture file as the pixels and mask of one cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_dreambooth.data.buckets.cuts import Cut, CutSettings, cover, possible_cuts
from lib_dreambooth.data.item import Item
from lib_dreambooth.data.pictures.recolouring import apply_gamma, recolour, shift_hue
from lib_dreambooth.data.pictures.rendering import Treatment, filter_for, render
from lib_dreambooth.diffusion.draws import Draw
from tests.data.drawn_files import gradient, save, save_gradient, save_plain
from tests.data.made_items import made_item


def item_of(path: Path, **more: object) -> Item:
    return replace(made_item(0), path=str(path), **more)  # type: ignore[arg-type]


def test_a_picture_of_its_buckets_size_is_unchanged(tmp_path: Path) -> None:
    path = save_gradient(tmp_path / "a.png", 64, 128)
    rendered = render(item_of(path), [Cut((64, 128), (64, 128), 0, 0)], Treatment())[0]
    assert (rendered.pixels == gradient(64, 128)).all() and rendered.mask is None


def test_cut_and_mirror(tmp_path: Path) -> None:
    path = save_gradient(tmp_path / "a.png", 128, 64)
    plain, mirrored = render(
        item_of(path),
        [Cut((64, 64), (128, 64), 10, 0), Cut((64, 64), (128, 64), 54, 0, flipped=True)],
        Treatment(),
    )
    assert (plain.pixels == gradient(128, 64)[:, 10:74]).all()
    # The same part of the picture: 128 - 64 - 10 = 54 from the other side.
    assert (mirrored.pixels == plain.pixels[:, ::-1]).all()


def test_auto_shrinks_by_area_and_enlarges_with_lanczos() -> None:
    assert filter_for((100, 100), (50, 50), "auto") == Image.Resampling.BOX
    assert filter_for((100, 100), (100, 50), "auto") == Image.Resampling.LANCZOS
    assert filter_for((100, 100), (200, 200), "auto") == Image.Resampling.LANCZOS
    assert filter_for((100, 100), (50, 50), "nearest") == Image.Resampling.NEAREST


def test_shrinking_by_area_is_the_mean_of_the_pixels(tmp_path: Path) -> None:
    board = np.zeros((128, 128, 3), dtype=np.uint8)
    board[::2, ::2] = 200
    path = save(tmp_path / "a.png", Image.fromarray(board))
    pixels = render(item_of(path), [Cut((64, 64), (64, 64), 0, 0)], Treatment())[0].pixels
    assert (pixels == 50).all()


def test_alpha_is_dealt_with_before_scaling(tmp_path: Path) -> None:
    image = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    path = save(tmp_path / "a.png", image)
    cut = Cut((64, 64), (64, 64), 0, 0)
    white = render(item_of(path), [cut], Treatment("composite", (255, 255, 255)))[0]
    dropped = render(item_of(path), [cut], Treatment("drop"))[0]
    assert (white.pixels == 255).all() and (dropped.pixels == 0).all()


@pytest.mark.parametrize(("kind", "value"), [("file", 128), ("alpha", 64), ("both", 32)])
def test_masks_are_cut_with_their_picture(tmp_path: Path, kind: str, value: int) -> None:
    image = Image.new("RGBA", (128, 64), (9, 9, 9, 255))
    image.paste((9, 9, 9, 64), (64, 0, 128, 64))
    path = save(tmp_path / "a.png", image)
    mask = np.zeros((64, 128), dtype=np.uint8)
    mask[:, 64:] = 128
    mask_path = save(tmp_path / "a-mask.png", Image.fromarray(mask))
    item = item_of(path, mask_kind=kind, mask_path=str(mask_path), has_alpha=True, size=(128, 64))
    right = render(item, [Cut((64, 64), (128, 64), 64, 0)], Treatment("mask"))[0].mask
    left = render(item, [Cut((64, 64), (128, 64), 64, 0, flipped=True)], Treatment("mask"))[0].mask
    assert right is not None and right.shape == (8, 8) and (right == value).all()
    assert left is not None and (left == (255 if kind == "alpha" else 0)).all()


def test_a_mask_averages_over_the_pixels_of_a_latent(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[:, :4] = 255
    path = save_plain(tmp_path / "a.png", (1, 2, 3))
    mask_path = save(tmp_path / "m.png", Image.fromarray(mask))
    item = item_of(path, mask_kind="file", mask_path=str(mask_path), size=(64, 64))
    shown = render(item, [Cut((64, 64), (64, 64), 0, 0)], Treatment())[0].mask
    assert shown is not None and shown[:, 0].tolist() == [128] * 8 and (shown[:, 1:] == 0).all()


def test_several_cuts_are_those_of_single_calls(tmp_path: Path) -> None:
    path = save_gradient(tmp_path / "a.jpg", 300, 200)
    item = item_of(path, size=(300, 200))
    cuts = possible_cuts(item, (128, 128), CutSettings("random", 3, flip=True), 5)
    together = render(item, cuts, Treatment())
    for cut, rendered in zip(cuts, together, strict=True):
        assert (render(item, [cut], Treatment())[0].pixels == rendered.pixels).all()
    assert cuts[0].scaled == cover((300, 200), (128, 128))


def test_gamma_of_fractions_and_of_kohyas_bytes() -> None:
    values = np.array([[[0, 200, 255]]], dtype=np.uint8)
    assert apply_gamma(values, 0.95, 255.0).tolist() == [[[0, 153, 193]]]
    assert apply_gamma(values, 1.05, 255.0).tolist() == [[[0, 255, 255]]]
    assert apply_gamma(values, 0.95, 1.0).tolist() == [[[0, 202, 255]]]


def test_a_hue_turned_all_around_is_the_same() -> None:
    pixels = gradient(16, 16)
    assert (shift_hue(pixels, 256) == shift_hue(pixels, 0)).all()
    red = np.array([[[255, 0, 0]]], dtype=np.uint8)
    assert shift_hue(red, 256 / 3)[0, 0, 1] > 240


def test_a_third_of_the_visits_is_recoloured() -> None:
    pixels = gradient(8, 8)
    changed = [
        not (recolour(pixels, "gentle", Draw(1, "colour", "a", k)) == pixels).all() for k in range(1500)
    ]
    # A few of the changed ones come out as they were: hue turned by less than one of 256 steps.
    assert 0.27 < sum(changed) / 1500 < 0.36
    assert (recolour(pixels, "off", Draw(1, "colour", "a", 0)) == pixels).all()
