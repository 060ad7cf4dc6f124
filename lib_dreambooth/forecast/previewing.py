"""Previews with less memory where they would need too much: the same pictures first, then smaller ones."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from lib_dreambooth.forecast.forecast import Forecast, Forecaster
from lib_dreambooth.forecast.rehearsal import PIXELS, Manner, Passed, Rehearsal, Size, smaller

# Rows of a latent that are decoded at once, with those beside them, as `sampling.decoding` begins.
ROWS = 16 + 2
# Along a side of what has no more memory than the decoder's first blocks at full size.
FIRST_BLOCKS = 4
SIDES = (1024, 768, 640, 512, 384, 256)


@dataclass(frozen=True)
class Drawing:
    """How previews are drawn: of what size (None: as set), and whether they are decoded in stripes."""

    size_wh: Size | None = None
    is_striped: bool = False


AS_SET = Drawing()


class InStripes(Rehearsal):
    """The same rehearsal, with pictures decoded some rows at a time."""

    def __init__(self, whole: Rehearsal) -> None:
        vars(self).update(vars(whole))

    def decode(self, size_wh: Size, more: int, parts: Collection[str]) -> Passed:
        width, height = size_wh
        rows = super().decode((width, min(height, ROWS * PIXELS)), more, parts)
        first = (max(PIXELS, side // FIRST_BLOCKS // PIXELS * PIXELS) for side in size_wh)
        return max(rows, super().decode((next(first), next(first)), more, parts), key=lambda one: one.total)


def sparing(forecaster: Forecaster, manner: Manner) -> Iterator[tuple[Drawing, Forecast]]:
    """Forecasts with previews that need less and less."""
    width, height = forecaster.numbers.preview_wh
    yield drawn(forecaster, manner, Drawing(is_striped=True))
    for side in SIDES:
        if side * side < width * height:
            yield drawn(forecaster, manner, Drawing(smaller((width, height), side), is_striped=True))


def drawn(forecaster: Forecaster, manner: Manner, drawing: Drawing) -> tuple[Drawing, Forecast]:
    """The forecast with previews that are drawn so; steps are not worked out again."""
    found = copy.copy(forecaster)
    found.known = None
    if drawing.size_wh is not None:
        found.numbers = replace(forecaster.numbers, preview_wh=drawing.size_wh)
    if drawing.is_striped:
        vars(found)["rehearsal"] = InStripes(forecaster.rehearsal)
    return drawing, found.of(manner)
