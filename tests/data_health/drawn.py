"""Drawn pictures with known properties: figures on a ground, textures, and faults to plant in them.

They are drawn once and shared: copy before changing one.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
SIDE = 256


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


@lru_cache
def texture(seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """Something like a photo: detail at every scale, no flat part, sharp."""
    rng = np.random.Generator(np.random.PCG64(seed))
    width, height = size
    total = np.zeros((height, width, 3))
    for octave in range(2, 7):
        side = 2**octave
        small = (rng.random((side, side, 3)) * 255).astype(np.uint8)
        layer = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
        total += np.asarray(layer, dtype=np.float64) / 2 ** (octave * 0.7)
    total -= total.min()
    image = Image.fromarray((total / total.max() * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.integers(0, width), rng.integers(0, height)
        w, h = rng.integers(width // 12, width // 4), rng.integers(height // 12, height // 4)
        draw.ellipse((x - w, y - h, x + w, y + h), fill=tuple(int(c) for c in rng.integers(0, 255, 3)))
    return image


@lru_cache
def person(
    seed: int,
    size: tuple[int, int] = (SIDE, SIDE),
    ground: Colour = (250, 250, 250),
    centre: float = 0.5,
    top: float = 0.1,
    bottom: float = 0.9,
) -> Image.Image:
    """A standing figure on a plain ground, drawn in flat colours with outlines; positions are shares."""
    rng = np.random.Generator(np.random.PCG64(seed))
    width, height = size
    colours = [tuple(int(c) for c in rng.integers(20, 220, 3)) for _ in range(4)]
    image = Image.new("RGB", (width * 2, height * 2), ground)
    draw = ImageDraw.Draw(image)
    tall = (bottom - top) * height * 2
    x, y = centre * width * 2, top * height * 2
    lean = float(rng.uniform(-0.08, 0.08)) * tall
    head = tall * 0.11
    for dx in (-1, 1):
        draw.line(
            (x, y + tall * 0.6, x + dx * tall * 0.08 + lean, y + tall),
            fill=colours[2],
            width=int(tall * 0.07),
        )
        hand = float(rng.uniform(0.3, 0.6))
        draw.line(
            (x, y + tall * 0.28, x + dx * tall * 0.16, y + tall * hand),
            fill=colours[3],
            width=int(tall * 0.05),
        )
    shoulder, hem = y + tall * 0.2, y + tall * 0.65
    body = [
        (x - tall * 0.06, shoulder),
        (x + tall * 0.06, shoulder),
        (x + tall * 0.1, hem),
        (x - tall * 0.1, hem),
    ]
    draw.polygon(body, fill=colours[0], outline=(10, 10, 10))
    draw.ellipse((x - head, y, x + head, y + 2 * head), fill=(240, 200, 170), outline=(10, 10, 10), width=3)
    draw.pieslice((x - head, y, x + head, y + 2 * head), 180, 360, fill=colours[1])
    return image.resize(size, Image.Resampling.LANCZOS)


def blurred(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def letterboxed(image: Image.Image, share: float = 0.12, colour: Colour = (0, 0, 0)) -> Image.Image:
    boxed = image.copy()
    bar = int(image.height * share)
    for y in (0, image.height - bar):
        boxed.paste(colour, (0, y, image.width, y + bar))
    return boxed


def framed(image: Image.Image, thickness: int = 20, colour: Colour = (255, 255, 255)) -> Image.Image:
    frame = Image.new("RGB", image.size, colour)
    inner = image.resize((image.width - 2 * thickness, image.height - 2 * thickness))
    frame.paste(inner, (thickness, thickness))
    return frame
