"""The training picture most like another one, so that copying is seen."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.health.likeness import correlation, likeness_of
from lib_dreambooth.data.item import Item
from lib_dreambooth.data.pictures.decoding import decode


class NearestPictures:
    """Knows the pictures of a run as tiny ones; they are read when it is first asked."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def of(self, path: Path) -> Image.Image | None:
        """The training picture, cut as it is trained, most like the one at `path`, mirrored or not.

        None where there is nothing to compare. Raises FileError where a picture cannot be read.
        """
        asked = likeness_of(decode(path).rgb)
        if asked is None or not self._tiny:
            return None
        mirrored = asked.tiny[:, ::-1]

        def likeness(pair: tuple[Item, np.ndarray]) -> float:
            return max(correlation(asked.tiny, pair[1]), correlation(mirrored, pair[1]))

        item, _ = max(self._tiny, key=likeness)
        return Image.fromarray(self._dataset.rendered(item).pixels)

    @cached_property
    def _tiny(self) -> list[tuple[Item, np.ndarray]]:
        """What each picture is compared by, without class pictures, flat ones and broken ones."""
        found = []
        for item in self._dataset.items:
            if item.is_class:
                continue
            try:
                likeness = likeness_of(Image.fromarray(self._dataset.rendered(item).pixels))
            except FileError:
                continue
            if likeness is not None:
                found.append((item, likeness.tiny))
        return found
