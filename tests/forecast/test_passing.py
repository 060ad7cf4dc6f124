"""What is done without gradients is worked out once, whatever stands beside it."""

from __future__ import annotations

import pytest

from lib_dreambooth.forecast.rehearsal import Rehearsal
from lib_dreambooth.formats.keymap import UNET, VAE
from lib_dreambooth.training.precision.devices import Ability
from tests.forecast.made_scenes import CARD, CPU, MINI, scene


@pytest.mark.parametrize("ability", [CARD, CPU], ids=["card", "cpu"])
def test_the_second_time_says_what_the_first_would_have(ability: Ability) -> None:
    once = Rehearsal(scene(MINI, {}, ability))
    once.decode((64, 64), 0, [VAE])
    again = once.decode((64, 64), 12_345, [VAE, UNET])
    fresh = Rehearsal(scene(MINI, {}, ability)).decode((64, 64), 12_345, [VAE, UNET])
    assert (again.peak, again.work) == (fresh.peak, fresh.work)
    # A heap rounds each block up, those beside too.
    assert abs(again.gaps - fresh.gaps) <= 64 * len(once.model.modules) * 100
