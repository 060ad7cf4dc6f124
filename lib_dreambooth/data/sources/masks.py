"""The mask file that belongs to a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lib_dreambooth.data.pictures.formats import EXTENSIONS
from lib_dreambooth.data.sources.folders import MASK_ENDINGS, FoundFile

# Tried in this order; PNG first, since masks are usually lossless.
ENDINGS = (".png", *sorted(EXTENSIONS - {".png"}))


def mask_beside(picture: str, files: Mapping[str, FoundFile]) -> FoundFile | None:
    """`name-mask.png` (or `-masklabel`, `_mask`) among the files of the picture's folder."""
    stem = Path(picture).stem
    return next(
        (files[name] for name in (stem + e + x for e in MASK_ENDINGS for x in ENDINGS) if name in files), None
    )


def mask_by_name(picture: str, mask_files: Mapping[str, FoundFile]) -> FoundFile | None:
    """The file of the picture's own name in a mask folder, with any picture ending or one of a mask's."""
    stem = Path(picture).stem
    names = (stem + ending + extension for ending in ("", *MASK_ENDINGS) for extension in ENDINGS)
    return next((mask_files[name] for name in names if name in mask_files), None)
