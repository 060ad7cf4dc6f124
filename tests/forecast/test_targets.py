"""What cards of real sizes are forecast to hold; nothing here was measured on one."""

from __future__ import annotations

from typing import Any

import pytest

from lib_dreambooth.forecast.fitting import fitted, manners, usable
from lib_dreambooth.forecast.forecast import CACHE, LOAD, PREVIEW, SAVE, STEP, Forecaster, Numbers
from lib_dreambooth.forecast.meter import WEIGHTS
from lib_dreambooth.forecast.offering import offers
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.jobs.suiting import room_of_card
from tests.forecast.made_scenes import SD15, SDXL, UNET_ALONE, scene

pytestmark = pytest.mark.once

HALF_WHOLE = {"network": {"kind": "none"}, "precision": {"weights": "half"}}


def forecaster(kind: FileKind, side: int, changes: dict[str, Any]) -> Forecaster:
    """Of a whole run: previews at its end, and files written."""
    numbers = Numbers((side, side), (side, side), num_items=10, num_captions=3, num_steps=100, num_drawn=3)
    return Forecaster(scene(kind, changes), numbers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "side", "changes", "fused", "card_gib"),
    [
        (SD15, 512, {}, (False,), 4),
        (
            SD15,
            512,
            {**HALF_WHOLE, "optimizer": {"name": "AdamW8bit", "max_grad_norm": 0}},
            (True,),
            8,
        ),
        (SDXL, 1024, UNET_ALONE, (False,), 8),
        (
            SDXL,
            1024,
            {**HALF_WHOLE, **UNET_ALONE, "optimizer": {"name": "Lion8bit", "max_grad_norm": 0}},
            (True,),
            12,
        ),
    ],
    ids=["sd15 lora", "sd15 whole", "sdxl lora", "sdxl whole"],
)
def test_the_whole_run_fits(
    kind: FileKind, side: int, changes: dict[str, Any], fused: tuple[bool, ...], card_gib: int
) -> None:
    made = forecaster(kind, side, changes)
    fit = fitted(made, manners(("on",), fused), room_of_card(card_gib))
    assert fit.fits
    phases = fit.forecast.phases
    assert set(phases) == {LOAD, CACHE, STEP, SAVE, PREVIEW}
    assert all(need.total <= usable(room_of_card(card_gib)) for need in phases.values())
    # Nothing is on the card while the file is read, and the UNet is not there while pictures are encoded.
    assert phases[LOAD].total == 0
    assert phases[CACHE].parts[WEIGHTS] < made.rehearsal.bytes_of_parts([UNET]) / 2


@pytest.mark.slow
def test_accumulation_on_whole_sdxl_does_not_fit_and_what_would_is_named() -> None:
    changes = {
        **HALF_WHOLE,
        **UNET_ALONE,
        "optimizer": {"name": "Lion8bit", "max_grad_norm": 0},
        "length": {"accumulation": 32},
        "previews": {"every": "never", "at_end": False},
    }
    made = forecaster(SDXL, 1024, changes)
    fit = fitted(made, manners(("on",), (False,)), room_of_card(12))
    assert fit.fits is False
    # Weights and gradients in half precision and Lion in 8 bits are beyond it already.
    assert fit.forecast.step_bytes > 12.8e9
    # With gradients in system memory the same run fits.
    assert fitted(made, manners(("on",), (False,), in_system=(False, True)), room_of_card(12)).fits
    named = {path for offer in offers(made, room_of_card(12)) for path, _ in offer.changes}
    assert {"memory.fused_backward", "parts.unet.blocks"} <= named
