"""The loss curves that are committed still hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.curves import CURVES, NAMES, NUM_STEPS, curve

COMMITTED: dict[str, list[float]] = json.loads(CURVES.read_text(encoding="utf-8")) if CURVES.exists() else {}
# Processors and versions of the libraries add in another order; of it comes 2e-9 where anything is float32.
RELATIVE = 1e-6
FAST = {"sd1 lora"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in NAMES]
)
def test_twenty_steps_give_the_committed_losses(name: str, tmp_path: Path) -> None:
    assert curve(name, tmp_path) == pytest.approx(COMMITTED[name], rel=RELATIVE)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_losses_fall(name: str) -> None:
    losses = COMMITTED[name]
    assert len(losses) == NUM_STEPS
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
