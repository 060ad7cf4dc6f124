"""What is offered where nothing fits: each is another run that needs at most what is said of it."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from lib_dreambooth import settings
from lib_dreambooth.forecast import offering
from lib_dreambooth.forecast.fitting import KEPT_FREE, SHARE, fitted, manners
from lib_dreambooth.forecast.forecast import Forecaster, Numbers
from lib_dreambooth.forecast.offering import Offer, Table, offers
from lib_dreambooth.forecast.rehearsal import Manner
from tests.forecast.made_scenes import MINI, SDXL, UNET_ALONE, scene

pytestmark = [pytest.mark.slow, pytest.mark.once]
NUMBERS = Numbers((64, 64), (64, 64), num_items=4, num_captions=2, num_steps=10, num_drawn=1)
WHOLE = {"network": {"kind": "none"}}
LEAST = Manner("offload", is_alone=True)
# Offers of what is forecast so.
AS_THEY_ARE = {
    "memory.gradients",
    "memory.fused_backward",
    "memory.optimizer_state",
    "pictures.resolution",
}


@functools.cache
def table(kind: str) -> Table:
    changes: dict[str, Any] = {"network": {"kind": kind, "rank": 16}, "length": {"accumulation": 4}}
    return Table(Forecaster(scene(MINI, changes), NUMBERS), 10**12)


def forecaster_with(kind: str, offer: Offer) -> Forecaster:
    """Of the run that an offer is about."""
    given = settings.read({"network": {"kind": kind, "rank": 16}, "length": {"accumulation": 4}})
    run = settings.update(given, offer.to_json()["changes"], "test").run
    made = scene(MINI, {})
    changed = offering.replace(made, run=run)
    if run.precision.weights == "half":
        changed = offering.replace(
            changed, numbers=offering.replace(made.numbers, weights=made.numbers.compute)
        )
    return Forecaster(changed, NUMBERS)


def named(found: list[Offer]) -> set[str]:
    return {path for offer in found for path, _ in offer.changes}


def test_fewer_parts_are_offered_with_what_that_costs() -> None:
    whole, network = list(table("none").singles()), list(table("lora").singles())
    assert {"parts.text_encoder_1.train", "parts.unet.blocks", "optimizer.name"} <= named(whole)
    assert {"parts.text_encoder_1.train", "network.targets", "network.rank", "optimizer.name"} <= named(
        network
    )
    assert not {"network.rank", "network.targets"} & named(whole)
    by_path = {offer.changes[0][0]: offer for offer in whole}
    assert "attention alone" in by_path["parts.unet.blocks"].about
    assert by_path["parts.unet.blocks"].to_json()["changes"] == {
        "parts.unet.blocks": ["*.attn1.*", "*.attn2.*"]
    }
    assert all(offer.about for offer in (*whole, *network))


@pytest.mark.parametrize("kind", ["none", "lora"])
def test_an_offer_needs_at_most_what_it_says(kind: str) -> None:
    told = table(kind)
    for offer in told.singles():
        run = dict(offer.changes)
        if run.keys() & AS_THEY_ARE:
            continue
        need = forecaster_with(kind, offer).of(LEAST).bytes
        assert need <= 1.01 * offer.bytes, offer
        # What activations shrink by is not counted.
        assert need >= 0.6 * offer.bytes, offer


def test_an_encoder_that_is_not_trained_leaves_with_the_one_that_was() -> None:
    silent = {"previews": {"every": "never", "at_start": False, "at_end": False}}
    numbers = offering.replace(NUMBERS, num_drawn=0)
    told = Table(Forecaster(scene(SDXL, silent), numbers), 10**12)
    offer = next(one for one in told.singles() if one.changes == (("parts.text_encoder_1.train", False),))
    alone = Forecaster(scene(SDXL, {**UNET_ALONE, **silent}), numbers).of(LEAST)
    assert alone.bytes <= 1.01 * offer.bytes
    assert offer.bytes <= 1.1 * alone.bytes


def test_several_changes_together_where_none_suffices_alone() -> None:
    told = table("none")
    least = min(offer.bytes for offer in told.singles())
    found = list(told.together())
    assert min(offer.bytes for offer in found) < least
    assert any(dict(offer.changes).get("precision.weights") == "half" for offer in found)
    room = round((0.5 * (least + min(one.bytes for one in found)) + KEPT_FREE) / SHARE)
    [offer] = offers(told.forecaster, room)
    assert len(offer.changes) > 1 and offer.about == offering.TOGETHER and offer.bytes < least
    changed = forecaster_with("none", offer)
    assert changed.of(Manner("offload", is_fused=True, is_alone=True)).bytes <= 1.01 * offer.bytes
    assert offers(told.forecaster, 0) == []


def test_settings_that_forbid_to_spare_are_opened_first() -> None:
    memory = {"checkpointing": "off", "unload": "off", "pieces": 1}
    made = Forecaster(scene(MINI, {"memory": memory, "length": {"batch_size": 4}}), NUMBERS)
    least = made.of(Manner("offload", is_alone=True, pieces=4))
    opened = (("memory.checkpointing", "auto"), ("memory.unload", "auto"), ("memory.pieces", 0))
    found = offers(made, room_for(least.bytes))
    assert [(offer.changes, offer.bytes) for offer in found] == [(opened, least.bytes)]
    others = offers(made, room_for(0.99 * least.bytes))
    assert others and all(offer.changes[:3] == opened and len(offer.changes) > 3 for offer in others)
    assert offers(Forecaster(scene(MINI, {}), NUMBERS), 10**12)[0].changes[0][0] not in dict(opened)


def test_where_nothing_fits_parts_of_the_model_are_at_work_alone() -> None:
    made = Forecaster(scene(MINI, {}), NUMBERS)
    found = fitted(made, manners(("off", "offload"), (False,)), 1)
    assert found.fits is False and found.forecast.manner == LEAST
    kept = fitted(made, manners(("off", "offload"), (False,), unload="off"), 1)
    assert kept.forecast.manner == Manner("offload", unloads=False)


def room_for(num_bytes: float) -> int:
    """The smallest of which so much can be counted on."""
    return round((num_bytes + KEPT_FREE) / SHARE) + 1
