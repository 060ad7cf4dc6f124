"""The training picture most like another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lib_dreambooth import settings
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.health.nearest import NearestPictures
from lib_dreambooth.data.scanning.scan import scan
from tests.data.drawn_files import save, save_plain


def noise(seed: int) -> Image.Image:
    """Soft coloured spots, different for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)


def nearest(root: Path) -> NearestPictures:
    for seed in range(4):
        save(root / "pictures" / f"{seed}.png", noise(seed))
    save_plain(root / "pictures" / "flat.png", (9, 9, 9), (64, 64))
    values = {
        "concepts": [{"folder": str(root / "pictures")}],
        "pictures": {"resolution": "64"},
        "draws": {"seed": 1},
    }
    run = settings.read(values).run
    return NearestPictures(Dataset(run, scan(run)))


def test_the_copied_picture_is_found_even_mirrored_and_darker(tmp_path: Path) -> None:
    found = nearest(tmp_path)
    changed = ImageOps.mirror(noise(2)).point(lambda value: int(value * 0.7))
    save(tmp_path / "preview.png", changed.resize((96, 96)))
    picture = found.of(tmp_path / "preview.png")
    assert picture is not None
    assert np.array_equal(np.asarray(picture), np.asarray(noise(2)))


def test_a_flat_picture_is_like_nothing(tmp_path: Path) -> None:
    save_plain(tmp_path / "preview.png", (1, 2, 3), (64, 64))
    assert nearest(tmp_path).of(tmp_path / "preview.png") is None
