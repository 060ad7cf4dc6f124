"""Reads from pixels alone which shape in which colour a picture shows.

Pictures are uint8 arrays [height, width, 3].
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lib_dreambooth.assets.shapes.drawing import COLOURS, GROUNDS, SHAPES, Pose, draw_shape

GRID = 40
FRAME = 0.06
MIN_AREA, MAX_AREA = 0.04, 0.5
MIN_CONTRAST = 40.0
MIN_OVERLAP = 0.72
TURNS = (-12, -6, 0, 6, 12)


@dataclass(frozen=True)
class Verdict:
    """What was seen; an empty shape where nothing clear was."""

    shape: str
    colour: str
    ground: str
    overlap: float

    def shows(self, shape: str, colour: str) -> bool:
        return self.shape == shape and self.colour == colour


def judge(picture: np.ndarray) -> Verdict:
    """The nearest shape, its colour and the ground's colour."""
    pixels = np.asarray(picture, dtype=np.float32)
    ground_rgb = frame_colour(pixels)
    mask = foreground(pixels, ground_rgb)
    ground = nearest_name(ground_rgb, GROUNDS)
    if not MIN_AREA <= mask.mean() <= MAX_AREA:
        return Verdict("", "", ground, 0.0)
    colour = nearest_name(np.median(pixels[mask], axis=0), COLOURS)
    shape, overlap = nearest_shape(normalised(mask))
    return Verdict(shape if overlap >= MIN_OVERLAP else "", colour, ground, overlap)


def frame_colour(pixels: np.ndarray) -> np.ndarray:
    """The median colour of the picture's edge."""
    edge = max(1, round(pixels.shape[0] * FRAME))
    strips = (pixels[:edge], pixels[-edge:], pixels[:, :edge], pixels[:, -edge:])
    return np.median(np.concatenate([strip.reshape(-1, 3) for strip in strips]), axis=0)


def foreground(pixels: np.ndarray, ground_rgb: np.ndarray) -> np.ndarray:
    """Where the picture is nearer to the shape's colour than to the ground's."""
    distance = np.linalg.norm(pixels - ground_rgb, axis=-1)
    strong = distance > max(MIN_CONTRAST, 0.5 * float(np.quantile(distance, 0.97)))
    if not strong.any():
        return strong
    shape_rgb = np.median(pixels[strong], axis=0)
    return distance > np.linalg.norm(pixels - shape_rgb, axis=-1)


def nearest_name(rgb: np.ndarray, palette: dict[str, tuple[int, int, int]]) -> str:
    return min(palette, key=lambda name: float(np.linalg.norm(rgb - np.array(palette[name]))))


def normalised(mask: np.ndarray) -> np.ndarray:
    """The mask with its centre in the middle and its area made the same, on a small grid in [0, 1]."""
    rows, columns = np.nonzero(mask)
    y, x = rows.mean(), columns.mean()
    # A window of this many side lengths holds every shape of the world whole.
    half = 1.25 * np.sqrt(len(rows))
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    window = image.transform(
        (GRID, GRID),
        Image.Transform.EXTENT,
        (x - half + 0.5, y - half + 0.5, x + half + 0.5, y + half + 0.5),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(window, dtype=np.float32) / 255


@functools.lru_cache(maxsize=1)
def templates() -> list[tuple[str, np.ndarray]]:
    """Every shape at several turns, as the judge would see it."""
    found = []
    for shape in SHAPES:
        for turn in TURNS:
            picture = draw_shape(shape, (255, 255, 255), (0, 0, 0), Pose(radius=0.3, turn=turn), 256)
            found.append((shape, normalised(np.asarray(picture)[..., 0] > 127)))
    return found


def nearest_shape(grid: np.ndarray) -> tuple[str, float]:
    """The best template and the share of ground that both cover."""

    def overlap(template: np.ndarray) -> float:
        return float(np.minimum(grid, template).sum() / np.maximum(grid, template).sum())

    return max(((shape, overlap(template)) for shape, template in templates()), key=lambda pair: pair[1])
