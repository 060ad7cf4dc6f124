"""Previews that would need most: in stripes first, then smaller."""

from __future__ import annotations

import pytest

from lib_dreambooth.forecast.fitting import KEPT_FREE, SHARE, fitted, usable
from lib_dreambooth.forecast.forecast import PREVIEW, STEP, Forecaster, Numbers
from lib_dreambooth.forecast.previewing import Drawing, sparing
from lib_dreambooth.forecast.rehearsal import Manner
from tests.forecast.made_scenes import MINI, scene

pytestmark = pytest.mark.slow
ALONE = Manner("on", is_alone=True)


def test_previews_are_drawn_more_sparingly_until_all_fits() -> None:
    numbers = Numbers((64, 64), (1024, 512), num_items=4, num_captions=2, num_steps=10, num_drawn=2)
    made = Forecaster(scene(MINI, {}), numbers)
    plain = made.of(ALONE)
    found = list(sparing(made, ALONE))
    assert found[0][0] == Drawing(is_striped=True)
    peaks = [plain.phases[PREVIEW].total, *(forecast.phases[PREVIEW].total for _, forecast in found)]
    assert plain.largest == PREVIEW and peaks == sorted(peaks, reverse=True) and peaks[0] > peaks[1]
    # Steps are as they were, and sizes keep their form as far as sides of 64 go.
    assert {forecast.phases[STEP] for _, forecast in found} == {plain.phases[STEP]}
    sizes = [drawing.size_wh for drawing, _ in found[1:]]
    assert sizes[0] == (896, 448) and sizes[-1] == (384, 192)
    assert numbers == made.numbers and made.of(ALONE) == plain

    def chosen(num_bytes: int) -> tuple[bool | None, Drawing]:
        room = round((num_bytes + KEPT_FREE) / SHARE) + 2
        assert usable(room) >= num_bytes
        fit = fitted(made, [Manner("on")], room, lambda manner: sparing(made, manner))
        return fit.fits, fit.drawing

    assert chosen(plain.bytes) == (True, Drawing())
    assert chosen(found[0][1].bytes) == (True, Drawing(is_striped=True))
    assert chosen(found[2][1].bytes) == (True, found[2][0])
