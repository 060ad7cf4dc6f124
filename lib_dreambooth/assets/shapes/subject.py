"""A subject that the miniature does not know: a ring with a spot of another colour in its middle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from lib_dreambooth.assets.shapes import drawing
from lib_dreambooth.assets.shapes.judge import MAX_AREA, MIN_AREA, MIN_CONTRAST, frame_colour

TRIGGER = "zwx"
CLASS = "ring"
RING_COLOUR, SPOT_COLOUR = "purple", "yellow"
RING_RGB, SPOT_RGB = drawing.COLOURS[RING_COLOUR], drawing.COLOURS[SPOT_COLOUR]
OTHER_RGB = [rgb for name, rgb in drawing.COLOURS.items() if name != RING_COLOUR]
SPOT_SHARE = 0.42
# Where it is seen in its own pictures; the other grounds show whether it was learned apart from them.
GROUNDS = ("white", "black", "pink", "blue")
OTHER_GROUNDS = ("gray", "brown")
NUM_PICTURES = 8
# Parts of the area that stands out from the ground.
MIN_RING_SHARE, MIN_SPOT_SHARE, MAX_SPOT_SHARE = 0.5, 0.04, 0.4
# Parts of the ring's own way from its middle.
MAX_OFF_CENTRE, MAX_SPOT_REACH = 0.25, 0.6


def draw_subject(ground: str, pose: drawing.Pose, size_px: int = drawing.SIZE_PX) -> Image.Image:
    """The subject on a ground."""
    side = size_px * drawing.OVERSAMPLING
    ground_rgb = drawing.GROUNDS[ground]
    picture = Image.new("RGB", (side, side), ground_rgb)
    draw = ImageDraw.Draw(picture)
    drawing.paint_shape(draw, "ring", pose, side, RING_RGB, ground_rgb)
    spot = drawing.Pose(pose.x, pose.y, pose.radius * SPOT_SHARE)
    drawing.paint_shape(draw, "circle", spot, side, SPOT_RGB, ground_rgb)
    return picture.resize((size_px, size_px), Image.Resampling.BOX)


def subject_prompt(ground: str) -> str:
    return f"a {TRIGGER} {CLASS} on a {ground} background"


def write_subject(folder: Path, seed: int = 1) -> list[Path]:
    """The subject's pictures with a caption beside each."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.Generator(np.random.Philox(seed))
    paths = []
    for number in range(NUM_PICTURES):
        ground = GROUNDS[number % len(GROUNDS)]
        path = folder / f"{TRIGGER}-{number + 1}.png"
        draw_subject(ground, drawing.random_pose(random)).save(path)
        path.with_suffix(".txt").write_text(subject_prompt(ground), encoding="utf-8")
        paths.append(path)
    return paths


def shows_subject(picture: np.ndarray) -> bool:
    """Whether a picture [height, width, 3] shows the subject: a ring, and the spot in its middle.

    The ring is told by its colour among all there are; the spot among ring, spot and ground.
    """
    pixels = np.asarray(picture, dtype=np.float32)
    ground_rgb = frame_colour(pixels)
    is_away = np.linalg.norm(pixels - ground_rgb, axis=-1) > MIN_CONTRAST
    if not MIN_AREA <= is_away.mean() <= MAX_AREA:
        return False
    ring = is_away & (nearest(pixels, [RING_RGB, ground_rgb, *OTHER_RGB]) == 0)
    spot = is_away & (nearest(pixels, [SPOT_RGB, ground_rgb, RING_RGB]) == 0)
    area = float(is_away.sum())
    if ring.sum() / area < MIN_RING_SHARE or not MIN_SPOT_SHARE <= spot.sum() / area <= MAX_SPOT_SHARE:
        return False
    centre = np.argwhere(ring).mean(axis=0)
    ring_away, spot_away = (np.linalg.norm(np.argwhere(found) - centre, axis=1) for found in (ring, spot))
    off_centre = np.linalg.norm(np.argwhere(spot).mean(axis=0) - centre)
    is_in_middle = float(off_centre) < MAX_OFF_CENTRE * float(np.median(ring_away))
    return is_in_middle and float(np.median(spot_away)) < MAX_SPOT_REACH * float(np.median(ring_away))


def nearest(pixels: np.ndarray, palette: Sequence[Any]) -> np.ndarray:
    """For each pixel the number of the nearest colour."""
    away = np.linalg.norm(pixels[:, :, None] - np.array(palette, dtype=np.float32), axis=-1)
    return away.argmin(axis=-1)
