"""`forecast`: what a run needs, before any weight is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.made_settings import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_people_are_told_which_memory_is_meant_and_what_it_is_made_of(shelf: Shelf) -> None:
    code, said, _ = shelf.call("forecast")
    assert code == 0
    head, *phases = said.splitlines()[:5]
    assert head.split() == [
        *["weights", "adapters", "gradients", "optimizer", "activations", "workspace"],
        "gaps",
        "together",
    ]
    assert [line.split()[0] for line in phases] == ["load", "cache", "step", "save"]
    assert "of resident memory beside the" in said and "in all" in said
    assert "disk:" in said and "speed:" in said
    assert not shelf.models.exists()


def test_programs_get_bytes(shelf: Shelf) -> None:
    code, (said,) = shelf.stream("forecast")
    assert code == 0
    phases = said["phases"].values()
    assert said["peak"] == max(one["total"] + one["gaps"] for one in phases)
    assert said["own"] > 50_000_000
    assert said["disk"] > 0 and said["seconds"] > 0


def test_a_room_that_is_too_small_is_said_with_what_would_fit(shelf: Shelf) -> None:
    code, (said,) = shelf.stream("forecast", "--room", "0.2")
    assert (code, said["fits"]) == (0, False)
    text = shelf.call("forecast", "--room", "0.2")[1]
    assert "it does not fit" in text
    assert ("would fit with" in text) == bool(said["offers"])


def test_settings_for_a_card_that_is_not_here(shelf: Shelf) -> None:
    code, said, _ = shelf.call("forecast", "--card", "6GB")
    assert code == 0
    assert said.splitlines()[-1].startswith("peak:") and said.rstrip().endswith("it fits")
    # A card's memory has no gaps that anybody could know of.
    assert "gaps" not in said
