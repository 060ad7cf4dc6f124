"""A process that is killed anywhere loses nothing: the run goes on by itself and ends in the same bytes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.training.killed_runs import PLACES, assert_same_end, killed, made, straight

FIRST = ("caching", "state", "step", "save")
SECOND = ("class pictures", "preview", "state", "save")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "places"), [("lora", FIRST), ("some weights", SECOND)])
def test_four_kills_in_a_run_change_nothing(tmp_path: Path, kind: str, places: tuple[str, ...]) -> None:
    whole, lengths = straight(tmp_path / "straight", kind)
    report = killed(tmp_path / "killed", kind, places, lengths, random.Random(20261121))
    assert len(report.kills) == len(places)
    assert [kill.place for kill in report.kills] == list(places) and set(places) <= set(PLACES)
    # The moments are chance: nearly all land where they are meant to.
    assert sum(kill.has_landed for kill in report.kills) >= 2
    assert_same_end(whole, made(tmp_path / "killed", kind))
