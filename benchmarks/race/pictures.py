"""Training pictures of noise with captions, made on the spot."""

from __future__ import annotations

from pathlib import Path

CAPTION = "a photo of sks thing number {number} on a table, simple background"


def make_pictures(folder: Path, count: int, side: int) -> None:
    """`count` square pictures with a caption each, no two alike."""
    import numpy
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        chance = numpy.random.default_rng(number)
        coarse = chance.integers(0, 256, (8, 8, 3), dtype=numpy.uint8)
        name = f"picture-{number:05d}"
        picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        picture.save(folder / f"{name}.png", compress_level=1)
        (folder / f"{name}.txt").write_text(CAPTION.format(number=number), encoding="utf-8")
