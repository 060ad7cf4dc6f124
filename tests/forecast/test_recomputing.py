"""What is computed a second time holds what PyTorch's own checkpoints hold."""

from __future__ import annotations

from typing import Any

import pytest

from lib_dreambooth.forecast import recomputing
from lib_dreambooth.forecast.rehearsal import Manner, Passed, Rehearsal
from lib_dreambooth.training.precision import checkpointing
from lib_dreambooth.training.precision.devices import Ability
from tests.forecast.made_scenes import CARD, CPU, MINI, scene

WHOLE = {"network": {"kind": "none"}}
LOKR = {"network": {"kind": "lokr", "rank": 4}}


def stepped(changes: dict[str, Any], ability: Ability, manner: Manner) -> Passed:
    return Rehearsal(scene(MINI, changes, ability)).step(2, (128, 64), manner, 0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "ability", "level", "is_fused"),
    [
        ({}, CARD, "on", False),
        ({}, CPU, "offload", False),
        (WHOLE, CARD, "offload", False),
        (WHOLE, CPU, "on", True),
        (LOKR, CARD, "on", False),
    ],
    ids=str,
)
def test_the_same_as_pytorch(
    changes: dict[str, Any], ability: Ability, level: str, is_fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    manner = Manner(level, is_fused=is_fused)
    found = stepped(changes, ability, manner)
    with monkeypatch.context() as own:
        own.setattr(recomputing, "twice", checkpointing.twice)
        wanted = stepped(changes, ability, manner)
    assert found.work.matrix == wanted.work.matrix
    assert found.in_system == wanted.in_system
    # Peaks are looked for every few tensors, and a heap's gaps hang on the order of small blocks.
    assert found.kept == pytest.approx(wanted.kept, rel=1e-3)
    assert found.total == pytest.approx(wanted.total, rel=1e-2)
    assert found.total + found.gaps == pytest.approx(wanted.total + wanted.gaps, rel=3e-2)
    assert found.work.matrix > stepped(changes, ability, Manner("off", is_fused=is_fused)).work.matrix
