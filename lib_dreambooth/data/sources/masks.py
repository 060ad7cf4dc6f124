"""The mask file that belongs to a picture."""

from __future__ import annotations

from collections.abc import Mapping

from lib_dreambooth.data.pictures.formats import EXTENSIONS
from lib_dreambooth.data.sources.folders import MASK_ENDINGS, FoundFile, stem_and_ending

# Tried in this order; PNG first, since masks are usually lossless.
ENDINGS = (".png", *sorted(EXTENSIONS - {".png"}))


def mask_beside(picture: FoundFile, masks: Mapping[str, FoundFile]) -> FoundFile | None:
    """`name-mask.png` (or `-masklabel`, `_mask`) among the masks of the picture's folder."""
    return named_like(picture, masks, MASK_ENDINGS) if masks else None


def mask_by_name(picture: FoundFile, mask_folder: Mapping[str, FoundFile]) -> FoundFile | None:
    """The file of the picture's own name in a mask folder, with any picture ending or one of a mask's."""
    return named_like(picture, mask_folder, ("", *MASK_ENDINGS)) if mask_folder else None


def named_like(
    picture: FoundFile, files: Mapping[str, FoundFile], endings: tuple[str, ...]
) -> FoundFile | None:
    """The first of the names that a picture's mask may have."""
    stem, _ = stem_and_ending(picture.name)
    names = (stem + ending + extension for ending in endings for extension in ENDINGS)
    return next((files[name] for name in names if name in files), None)
