"""What cards of real sizes are forecast to hold; nothing here was measured on one."""

from __future__ import annotations

from typing import Any

import pytest

from lib_dreambooth.forecast.fitting import fitted, manners, offers, usable
from lib_dreambooth.forecast.forecast import Forecaster, Numbers
from lib_dreambooth.formats.kinds import FileKind
from tests.forecast.made_scenes import SD15, SDXL, UNET_ALONE, scene

GIB = 1 << 30
# Before the driver's own and the desktop's part: what PyTorch's allocator gives.
CONTEXT = round(0.5 * GIB)
HALF_WHOLE = {"network": {"kind": "none"}, "precision": {"weights": "half"}}
LEVELS = ("off", "some", "on", "offload")


def forecaster(kind: FileKind, side: int, changes: dict[str, Any]) -> Forecaster:
    quiet = {"previews": {"every": "never", "at_end": False}}
    return Forecaster(scene(kind, {**quiet, **changes}), Numbers((side, side), (side, side)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "side", "changes", "fused", "card_gib"),
    [
        (SD15, 512, {}, (False,), 4),
        (
            SD15,
            512,
            {**HALF_WHOLE, "optimizer": {"name": "AdamW8bit", "max_grad_norm": 0}},
            (False, True),
            8,
        ),
        (SDXL, 1024, UNET_ALONE, (False,), 8),
        (
            SDXL,
            1024,
            {**HALF_WHOLE, **UNET_ALONE, "optimizer": {"name": "Lion8bit", "max_grad_norm": 0}},
            (False, True),
            12,
        ),
    ],
    ids=["sd15 lora", "sd15 whole", "sdxl lora", "sdxl whole"],
)
def test_the_step_fits(
    kind: FileKind, side: int, changes: dict[str, Any], fused: tuple[bool, ...], card_gib: int
) -> None:
    made = forecaster(kind, side, changes)
    candidates = [one for one in manners(LEVELS, fused) if one.level in ("off", "on")]
    fit = fitted(made.of, candidates, card_gib * GIB - CONTEXT)
    # Before the first step the encoders and the network are on the card together: `fits` is about that too.
    assert fit.forecast.step_bytes <= usable(card_gib * GIB - CONTEXT)


@pytest.mark.slow
def test_accumulation_on_whole_sdxl_does_not_fit_and_what_would_is_named() -> None:
    changes = {
        **HALF_WHOLE,
        **UNET_ALONE,
        "optimizer": {"name": "Lion8bit", "max_grad_norm": 0},
        "length": {"accumulation": 32},
    }
    made = forecaster(SDXL, 1024, changes)
    fit = fitted(made.of, manners(("on",), (False,)), 12 * GIB - CONTEXT)
    assert fit.fits is False
    # Weights and gradients in half precision and Lion in 8 bits are beyond it already.
    assert fit.forecast.step_bytes > 12.8e9
    named = {path for offer in offers(made, 12 * GIB - CONTEXT) for path, _ in offer.changes}
    assert {"memory.gradients"} <= named
