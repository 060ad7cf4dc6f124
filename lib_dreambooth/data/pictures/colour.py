"""Pixels of any mode as 8-bit sRGB, with the alpha channel kept apart and the colour under it untouched."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

SRGB_NAMES = ("srgb",)
# Pillow's name of the mode: the colour space that a profile for it has to declare.
PROFILE_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab "}


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours without alpha, and the alpha as 8-bit grey where there is one."""
    if "transparency" in image.info and image.mode in ("1", "L", "P", "RGB"):
        image = image.convert("RGBA")
    if image.mode in ("RGBa", "La"):
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    if image.mode == "PA":
        image = image.convert("RGBA")
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    if image.mode == "RGBA":
        return image.convert("RGB"), image.getchannel("A")
    return image, None


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """8-bit RGB in the sRGB space; `image` has no alpha. A profile that cannot be used counts as none."""
    if image.mode in ("P", "1"):
        image = image.convert("RGB" if image.mode == "P" else "L")
    if image.mode.startswith("I") or image.mode == "F":
        image = to_eight_bits(image)
    if image.mode == "LAB":
        return from_lab(image)
    if profile and image.mode in PROFILE_SPACES:
        converted = through_profile(image, profile)
        if converted is not None:
            return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or of fractions as 8-bit grey, its range kept in proportion."""
    values = np.asarray(image).astype(np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    if image.mode == "F":
        full = next((limit for limit in (1.0, 255.0, 65535.0) if top <= limit), top)
    else:
        # Pillow 9 reads 16-bit grey as 32-bit numbers, so the mode alone does not tell the range.
        full = 65535.0 if top <= 65535.0 else top
    scaled = np.clip(np.rint(values * (255.0 / full)), 0, 255).astype(np.uint8)
    return Image.fromarray(scaled)


def through_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture in sRGB by its ICC profile; None where it needs none or the profile is of no use."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != PROFILE_SPACES[image.mode]:
            return None
        # Between two forms of sRGB a conversion would only move values by one.
        if image.mode == "RGB" and is_srgb(ImageCms.getProfileDescription(source)):
            return None
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None


def is_srgb(description: str) -> bool:
    """True for a profile that calls itself sRGB."""
    return any(name in description.lower() for name in SRGB_NAMES)


def from_lab(image: Image.Image) -> Image.Image:
    """CIE Lab as sRGB."""
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None
    return converted
