"""A picture as it is trained: flattened, scaled, mirrored and cut, with its mask at the latents' size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageChops

from lib_dreambooth.data.buckets.cuts import Cut
from lib_dreambooth.data.item import Item
from lib_dreambooth.data.pictures.alpha import AlphaUse, flatten, read_mask
from lib_dreambooth.data.pictures.decoding import decode

ScalingFilter = Literal["auto", "lanczos", "area", "bicubic", "bilinear", "nearest"]
FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is done to a picture's pixels, apart from where it is cut; part of what a cache keys on."""

    alpha: AlphaUse = "composite"
    background: tuple[int, int, int] = (255, 255, 255)
    scaling: ScalingFilter = "auto"
    upright: bool = True


@dataclass(frozen=True, slots=True)
class Rendered:
    """`pixels` are (height, width, 3), `mask` (height / scale, width / scale) or None, both of 8 bits."""

    pixels: np.ndarray
    mask: np.ndarray | None


def render(item: Item, cuts: Sequence[Cut], treatment: Treatment, latent_scale: int = 8) -> list[Rendered]:
    """One picture in several cuts, decoded once. `latent_scale` is how many pixels a latent spans."""
    picture = decode(item.path, treatment.upright)
    rgb = flatten(picture, treatment.alpha, treatment.background)
    mask = mask_of(item, picture.alpha, rgb.size, treatment)
    return [
        Rendered(
            np.asarray(apply_cut(rgb, cut, filter_for(rgb.size, cut.scaled, treatment.scaling))),
            None if mask is None else mask_for(mask, cut, latent_scale),
        )
        for cut in cuts
    ]


def mask_of(
    item: Item, alpha: Image.Image | None, size: tuple[int, int], treatment: Treatment
) -> Image.Image | None:
    """The item's mask at its picture's size: the mask file, alpha, or the two multiplied."""
    masks = []
    if item.mask_kind in ("file", "both"):
        masks.append(read_mask(item.mask_path, size, treatment.upright))
    if item.mask_kind in ("alpha", "both") and alpha is not None:
        masks.append(alpha)
    if len(masks) == 2:
        return ImageChops.multiply(masks[0], masks[1])
    return masks[0] if masks else None


def filter_for(source: tuple[int, int], target: tuple[int, int], scaling: ScalingFilter) -> Image.Resampling:
    """The filter to scale with: "auto" shrinks by area and enlarges with Lanczos, as kohya's scripts do."""
    if scaling != "auto":
        return FILTERS[scaling]
    shrinks = target[0] < source[0] and target[1] < source[1]
    return Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS


def apply_cut(image: Image.Image, cut: Cut, resampling: Image.Resampling) -> Image.Image:
    """Scales, mirrors and cuts."""
    scaled = image if image.size == cut.scaled else image.resize(cut.scaled, resampling)
    if cut.flipped:
        scaled = scaled.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return scaled if scaled.size == cut.size else scaled.crop(cut.box)


def mask_for(mask: Image.Image, cut: Cut, latent_scale: int) -> np.ndarray:
    """The mask as the cut sees it, averaged over the pixels of each latent."""
    shown = apply_cut(mask, cut, filter_for(mask.size, cut.scaled, "auto"))
    size = cut.size[0] // latent_scale, cut.size[1] // latent_scale
    return np.asarray(shown.resize(size, Image.Resampling.BOX))
