"""What an optimizer remembers in system memory: what that saves, and where it is chosen."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest

from lib_dreambooth.forecast.fitting import KEPT_FREE, SHARE, cost, manners, usable
from lib_dreambooth.forecast.forecast import (
    CACHE,
    LOAD,
    PREVIEW,
    SAVE,
    STEP,
    Forecaster,
    Numbers,
    uncollected,
)
from lib_dreambooth.forecast.meter import OPTIMIZER
from lib_dreambooth.forecast.offering import Offer, Table
from lib_dreambooth.forecast.rehearsal import Manner
from lib_dreambooth.forecast.remembered import is_worth_leaving, moving_bytes, remembered_bytes
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.jobs.memory import Target, fit_of
from lib_dreambooth.jobs.suiting import room_of_card
from tests.forecast.made_scenes import CARD, CPU, MINI, SD15, SDXL, UNET_ALONE, scene

pytestmark = pytest.mark.once

WHOLE: dict[str, Any] = {"network": {"kind": "none"}}
FUSED = {**WHOLE, "optimizer": {"max_grad_norm": 0}}
NUMBERS = Numbers((64, 64), (64, 64), num_items=4, num_captions=2, num_steps=10, num_drawn=1)
HERE, AWAY = Manner("on"), Manner("on", is_state_away=True)
PLENTY = 10**15


@functools.cache
def forecaster() -> Forecaster:
    return Forecaster(scene(MINI, WHOLE), NUMBERS)


def test_all_but_the_largest_weight_s_part_leaves_the_card() -> None:
    made = forecaster()
    shapes = [tuple(one.shape) for one in made.rehearsal.all_trained]
    of_all = remembered_bytes("AdamW", shapes)
    of_one = max(remembered_bytes("AdamW", [shape]) for shape in shapes)
    here, away = made.of(HERE), made.of(AWAY)
    for phase in (STEP, SAVE, PREVIEW):
        saved = here.phases[phase].parts[OPTIMIZER] - away.phases[phase].parts[OPTIMIZER]
        assert saved == of_all - of_one == here.phases[phase].total - away.phases[phase].total
        assert away.phases[phase].host - here.phases[phase].host == saved
    for phase in (LOAD, CACHE):
        assert here.phases[phase] == away.phases[phase]
    assert away.to_json()["optimizer_state"] == "system" and here.to_json()["optimizer_state"] == "card"


def test_steps_are_as_if_so_much_had_been_remembered_from_the_start() -> None:
    made = Forecaster(scene(MINI, WHOLE), NUMBERS)
    with uncollected():
        away = made.step(AWAY)
        shapes = [tuple(one.shape) for one in made.rehearsal.all_trained]
        of_one = max(remembered_bytes("AdamW", [shape]) for shape in shapes)
        moving = moving_bytes("AdamW", shapes, is_half=False, kind="cuda", one_by_one=True)
        assert made.rehearsal.step(1, (64, 64), HERE, of_one, 0, moving).peak == away.peak


def test_it_is_worked_out_without_going_over_the_graph_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = forecaster()
    made.step(HERE)
    monkeypatch.setattr(made.rehearsal, "step", None)
    assert made.step(AWAY).total < made.step(HERE).total


def test_on_a_cpu_it_is_the_same_memory() -> None:
    made = Forecaster(scene(MINI, WHOLE, CPU), NUMBERS)
    assert made.of(AWAY).phases == made.of(HERE).phases


def test_it_comes_after_everything_that_is_faster() -> None:
    ways = manners(("off", "some", "on", "offload"), (False, True), state_away=(False, True))
    assert len(ways) == 16
    assert [one.is_state_away for one in ways] == [False] * 8 + [True] * 8
    assert all(cost(replace(one, is_state_away=True)) > cost(one) for one in ways if not one.is_state_away)


@pytest.mark.parametrize(
    ("name", "arguments", "is_worth"),
    [
        ("AdamW", {}, True),
        ("AdamW8bit", {}, True),
        ("CAME", {}, True),
        ("AdaFactor", {}, False),
        ("AdaFactor", {"betas": [0.9, 0.999]}, True),
        ("SGD", {}, False),
    ],
)
def test_what_is_worth_it(name: str, arguments: dict[str, Any], is_worth: bool) -> None:
    assert is_worth_leaving(name, arguments) is is_worth


def fit(changes: dict[str, Any], room: int, host_room: int | None = None) -> Any:
    made = scene(MINI, changes)
    target = Target("cuda", CARD, room, host_room=host_room)
    return fit_of(Forecaster(made, NUMBERS), made.run, MINI, target)


def room_for(num_bytes: int) -> int:
    return round((num_bytes + KEPT_FREE) / SHARE) + 1


@pytest.mark.slow
def test_it_is_chosen_where_nothing_faster_fits_and_system_memory_has_room() -> None:
    assert not fit(FUSED, PLENTY).forecast.manner.is_state_away
    made = Forecaster(scene(MINI, FUSED), NUMBERS)
    ways = manners(("off", "some", "on", "offload"), (False, True))
    room = room_for(min(made.of(one).step_bytes for one in ways) - 1_000_000)
    chosen = fit(FUSED, room)
    assert chosen.fits and chosen.forecast.manner.is_state_away
    host = chosen.forecast.host_bytes
    assert fit(FUSED, room, host).forecast.manner == chosen.forecast.manner
    none = fit(FUSED, room, host // 2)
    assert not none.fits and not none.forecast.manner.is_state_away


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "is_away"),
    [
        (FUSED, True),
        ({**FUSED, "memory": {"optimizer_state": "card"}}, False),
        ({**FUSED, "optimizer": {"name": "AdaFactor"}}, False),
        ({**FUSED, "optimizer": {"name": "PagedAdamW8bit"}}, False),
        ({**FUSED, "optimizer": {"name": "Prodigy"}, "rates": {"learning_rate": 1.0}}, False),
        ({}, False),
        ({"memory": {"optimizer_state": "system"}}, True),
    ],
)
def test_where_nothing_fits_it_is_among_what_was_tried(changes: dict[str, Any], is_away: bool) -> None:
    pytest.importorskip("bitsandbytes") if "Paged" in str(changes) else None
    found = fit(changes, 0)
    assert not found.fits and found.forecast.manner.is_state_away is is_away


def offers_of(changes: dict[str, Any], **others: Any) -> dict[str, Offer]:
    table = Table(Forecaster(scene(MINI, changes), NUMBERS), PLENTY, **others)
    return {path: offer for offer in table.singles() for path, _ in offer.changes}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [WHOLE, {}], ids=["whole", "network"])
def test_it_is_offered_where_it_is_not_done(changes: dict[str, Any]) -> None:
    offer = offers_of(changes)["memory.optimizer_state"]
    made = Forecaster(scene(MINI, changes), NUMBERS)
    assert offer.bytes == made.of(Manner("offload", is_alone=True, is_state_away=True)).bytes
    assert "the same result" in offer.about
    assert "memory.optimizer_state" not in offers_of(changes, host_room=0)
    done = offers_of(changes, is_state_away=True)
    assert "memory.optimizer_state" not in done
    # That would save nothing more on the card.
    assert "optimizer.name" in offers_of(changes) and "optimizer.name" not in done
    less = "parts.text_encoder_1.train"
    assert done[less].bytes <= offer.bytes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "side", "changes", "card_gib"),
    [(SD15, 512, FUSED, 8), (SDXL, 1024, {**FUSED, **UNET_ALONE}, 24)],
    ids=["sd15", "sdxl"],
)
def test_whole_models_train_on_cards_that_hold_them_once(
    kind: FileKind, side: int, changes: dict[str, Any], card_gib: int
) -> None:
    """AdamW in 32 bits, and the weights too."""
    made = scene(kind, changes)
    numbers = Numbers((side, side), (side, side), num_items=10, num_captions=3, num_steps=100, num_drawn=3)
    room = room_of_card(card_gib)
    found = fit_of(Forecaster(made, numbers), made.run, kind, Target("cuda", CARD, room))
    assert found.fits and found.forecast.manner.is_state_away
    assert found.forecast.bytes <= usable(room)
