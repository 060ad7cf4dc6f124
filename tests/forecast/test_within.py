"""Steps that take more than there is room for are not gone through to their end."""

from __future__ import annotations

import pytest

from lib_dreambooth.forecast import rehearsal
from lib_dreambooth.forecast.fitting import fitted, manners, usable
from lib_dreambooth.forecast.forecast import Forecaster, Numbers
from lib_dreambooth.forecast.meter import TooMuch
from lib_dreambooth.forecast.rehearsal import Manner
from tests.forecast.made_scenes import MINI, scene

NUMBERS = Numbers((64, 64), (64, 64), num_items=4, num_captions=2, num_steps=10)
OFF, LEVELS = Manner("off"), ("off", "some", "on", "offload")
# What is there for a moment alone is looked at now and then: peaks differ a little with what was before.


def made(factor: float = 1.0) -> Forecaster:
    return Forecaster(scene(MINI, {"length": {"batch_size": 4}}), NUMBERS, factor=factor)


@pytest.mark.parametrize("factor", [1.0, 1.3])
@pytest.mark.parametrize("away", [False, True])
def test_what_fits_is_forecast_as_without_a_limit(factor: float, away: bool) -> None:
    manner = Manner("off", is_state_away=away)
    most = made(factor).of(manner).step_bytes
    found = made(factor).within(manner, round(1.01 * most))
    assert found is not None and found.step_bytes == pytest.approx(most, rel=0.01)
    assert made(factor).within(manner, round(0.98 * most)) is None


def test_a_larger_limit_is_tried_again() -> None:
    forecaster = made()
    most = made().of(OFF).step_bytes
    assert forecaster.within(OFF, most // 2) is None
    with pytest.raises(TooMuch):
        forecaster.step(OFF, limit=most // 2)
    assert forecaster.within(OFF, most + 1) is not None
    assert forecaster.within(OFF, 1) is not None  # it is known by now


def test_what_was_left_halfway_leaves_nothing_behind() -> None:
    forecaster = made()
    most = made().of(OFF).step_bytes
    assert forecaster.within(OFF, round(0.98 * most)) is None
    assert forecaster.of(OFF).step_bytes == pytest.approx(most, rel=0.01)
    assert all(one.grad is None for one in forecaster.rehearsal.all_trained)


def test_only_one_of_those_that_do_not_fit_is_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    whole: list[str] = []
    step = rehearsal.Rehearsal.step

    def noted(
        self: rehearsal.Rehearsal, batch: int, size: tuple[int, int], manner: Manner, *more: float
    ) -> object:
        found = step(self, batch, size, manner, *more)  # type: ignore[arg-type]
        whole.append(manner.level)
        return found

    monkeypatch.setattr(rehearsal.Rehearsal, "step", noted)
    found = fitted(made(), manners(LEVELS, (False,)), 210_000_000)
    assert (found.fits, found.forecast.manner.level, whole) == (False, "offload", ["offload"])
    least = made().of(Manner("on")).step_bytes
    whole.clear()
    room = round((1.01 * least + 200_000_000) / 0.95)
    assert usable(room) >= least
    found = fitted(made(), manners(LEVELS, (False,)), room)
    assert found.forecast.step_bytes <= usable(room) and len(whole) == 1
