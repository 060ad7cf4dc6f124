"""The subject that tests teach, and whether it is told apart from what the miniature knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_dreambooth.assets.shapes import drawing, subject

CHANCE = 8


def drawn(ground: str) -> list[np.ndarray]:
    """The subject in several poses."""
    random = np.random.Generator(np.random.Philox(CHANCE))
    poses = [drawing.random_pose(random) for _ in range(6)]
    return [np.asarray(subject.draw_subject(ground, pose)) for pose in poses]


@pytest.mark.parametrize("ground", [*subject.GROUNDS, *subject.OTHER_GROUNDS])
def test_every_clean_drawing_shows_it(ground: str) -> None:
    assert all(subject.shows_subject(picture) for picture in drawn(ground))


@pytest.mark.slow
def test_nothing_of_the_drawn_world_shows_it() -> None:
    random = np.random.Generator(np.random.Philox(CHANCE))
    world = [np.asarray(drawing.draw_varied(scene, random)) for scene in drawing.all_scenes()]
    assert not any(subject.shows_subject(picture) for picture in world)


def test_the_spot_has_to_be_there_in_its_colour_and_in_the_middle() -> None:
    for picture in drawn("white"):
        is_spot = np.linalg.norm(picture.astype(float) - subject.SPOT_RGB, axis=-1) < 30
        unspotted, red, moved = picture.copy(), picture.copy(), picture.copy()
        unspotted[is_spot] = drawing.GROUNDS["white"]
        red[is_spot] = drawing.COLOURS["red"]
        moved[is_spot] = drawing.GROUNDS["white"]
        away = np.roll(is_spot, 45, axis=1)
        moved[away] = subject.SPOT_RGB
        assert not any(subject.shows_subject(spoilt) for spoilt in (unspotted, red, moved))


def test_its_pictures_are_written_with_their_captions(tmp_path: Path) -> None:
    paths = subject.write_subject(tmp_path / "pictures")
    assert len(paths) == subject.NUM_PICTURES
    for number, path in enumerate(paths):
        ground = subject.GROUNDS[number % len(subject.GROUNDS)]
        assert path.with_suffix(".txt").read_text(encoding="utf-8") == subject.subject_prompt(ground)
        with Image.open(path) as picture:
            assert subject.shows_subject(np.asarray(picture))
    assert not {*subject.GROUNDS} & {*subject.OTHER_GROUNDS}
