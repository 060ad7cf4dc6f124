"""Steps that take more than there is room for are not gone through to their end."""

from __future__ import annotations

from typing import Any

import pytest

from lib_dreambooth.forecast import rehearsal
from lib_dreambooth.forecast.fitting import fitted, manners, usable
from lib_dreambooth.forecast.forecast import Forecaster, Numbers
from lib_dreambooth.forecast.meter import TooMuch
from lib_dreambooth.forecast.offering import offers
from lib_dreambooth.forecast.rehearsal import Manner
from lib_dreambooth.training.precision.devices import Ability
from tests.forecast.made_scenes import CARD, CPU, MINI, scene

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


@pytest.fixture()
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Manner]:
    """How steps were taken that were gone through to their end."""
    whole: list[Manner] = []
    step = rehearsal.Rehearsal.step

    def noted(
        self: rehearsal.Rehearsal, batch: int, size: tuple[int, int], manner: Manner, *more: float
    ) -> object:
        found = step(self, batch, size, manner, *more)  # type: ignore[arg-type]
        whole.append(manner)
        return found

    monkeypatch.setattr(rehearsal.Rehearsal, "step", noted)
    return whole


def test_only_one_of_those_that_do_not_fit_is_gone_through(taken: list[Manner]) -> None:
    found = fitted(made(), manners(LEVELS, (False,)), 210_000_000)
    assert (found.fits, found.forecast.manner.level, len(taken)) == (False, "offload", 1)
    least = made().of(Manner("on")).step_bytes
    taken.clear()
    room = round((1.01 * least + 200_000_000) / 0.95)
    assert usable(room) >= least
    found = fitted(made(), manners(LEVELS, (False,)), room)
    assert found.forecast.step_bytes <= usable(room) and len(taken) == 1


WHOLE: dict[str, Any] = {"network": {"kind": "none"}}
MANNERS = [
    OFF,
    Manner("offload", is_in_system=True),
    Manner("on", is_fused=True, unloads=False),
    Manner("on", is_state_away=True),
]


@pytest.mark.parametrize("ability", [CARD, CPU], ids=["card", "cpu"])
@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"rank": 64}},
        {"network": {"kind": "loha"}, "model": {"clip_skip": 2}},
        {**WHOLE, "ema": {"use": True}},
        {**WHOLE, "model": {"clip_skip": 2}, "memory": {"cache_text": "off", "cache_latents": "off"}},
        {**WHOLE, "precision": {"mixed": "bf16", "weights": "half"}, "optimizer": {"name": "AdamW8bit"}},
        {**WHOLE, "parts": {"unet": {"blocks": ["*.attn1.*"]}}},
        {"parts": {"words": {"train": True}}, "words": [{"name": "zwx"}]},
    ],
    ids=["rank 64", "loha", "averages", "passed over", "half", "attention", "word"],
)
def test_steps_take_no_less_than_what_stands(changes: dict[str, Any], ability: Ability) -> None:
    forecaster = Forecaster(scene(MINI, changes, ability), NUMBERS, factor=1.2)
    for manner in MANNERS:
        most = forecaster.of(manner).step_bytes
        assert 0.2 * most < forecaster.at_least(manner) <= most, manner


def test_what_cannot_need_less_is_not_gone_through(taken: list[Manner]) -> None:
    both = manners(("on", "offload"), (False, True))
    forecaster = Forecaster(scene(MINI, {**WHOLE, "optimizer": {"max_grad_norm": 0}}), NUMBERS)
    found = fitted(forecaster, both, 210_000_000)
    assert (found.fits, found.forecast.manner.is_fused) == (False, True)
    assert [one.is_fused for one in taken] == [True]


def test_offers_that_cannot_fit_are_not_worked_out(taken: list[Manner]) -> None:
    forecaster = Forecaster(scene(MINI, {**WHOLE, "length": {"accumulation": 4}}), NUMBERS)
    fitted(forecaster, manners(LEVELS, (False,)), 210_000_000)
    assert len(taken) == 1
    assert offers(forecaster, 210_000_000) == []
    assert len(taken) == 1
