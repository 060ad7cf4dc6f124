"""A subject that the miniature does not know: a ring with a spot of another colour in its middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lib_dreambooth.assets.shapes import drawing

TRIGGER = "zwx"
CLASS = "ring"
RING_RGB = drawing.COLOURS["purple"]
SPOT_RGB = drawing.COLOURS["yellow"]
SPOT_SHARE = 0.34
# Where it is seen in its own pictures; the other grounds show whether it was learned apart from them.
GROUNDS = ("white", "gray", "black", "pink")
NUM_PICTURES = 8


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
