"""Pictures as data addresses, for pages."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

QUALITY = 88
# Red, and as much of it at most as leaves the picture to be seen.
SHADE = (220, 0, 0)
MOST_SHADE = 153


def jpeg_address(pixels: np.ndarray) -> str:
    """Pixels (height, width, 3) of 8 bits as a JPEG."""
    return address_of(Image.fromarray(pixels), "JPEG", quality=QUALITY)


def mask_address(mask: np.ndarray, size: tuple[int, int]) -> str:
    """A mask of 8 bits to lay over a picture of a size: what is left out in red, what counts clear.

    One square for each value of the mask.
    """
    wide = Image.fromarray(mask).convert("L").resize(size, Image.Resampling.NEAREST)
    left_out = 255 - np.asarray(wide, dtype=np.uint16)
    shade = np.zeros((*left_out.shape, 4), dtype=np.uint8)
    shade[..., :3], shade[..., 3] = SHADE, left_out * MOST_SHADE // 255
    return address_of(Image.fromarray(shade), "PNG")


def address_of(picture: Image.Image, form: str, **options: int) -> str:
    """A picture in a form that pages show."""
    data = io.BytesIO()
    picture.save(data, form, **options)
    text = base64.b64encode(data.getvalue()).decode("ascii")
    return f"data:image/{form.lower()};base64,{text}"
