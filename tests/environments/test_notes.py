"""What could not be had is asked for again a day later, except what training cannot do without."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_dreambooth.environments import additions, notes
from lib_dreambooth.environments.additions import Addition

BY_NAME = {package.name: package for package in additions.PACKAGES}
OPTIONAL = Addition(BY_NAME["bitsandbytes"], "0.45.5")
REQUIRED = Addition(BY_NAME["msgspec"], "0.22.0")
DAY_S = 24 * 3600


def test_a_note_survives_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    notes.write(path, [], [(OPTIONAL, "No network.")], now=1000.0)
    assert notes.read(path) == {"bitsandbytes==0.45.5": {"why": "No network.", "at": 1000.0}}


@pytest.mark.parametrize(
    ("now", "is_asked"), [(1000.0, False), (999.0 + DAY_S, False), (1000.0 + DAY_S, True), (0.0, True)]
)
def test_it_is_asked_for_again_after_a_day(tmp_path: Path, now: float, is_asked: bool) -> None:
    path = tmp_path / "notes.json"
    notes.write(path, [], [(OPTIONAL, "No network."), (REQUIRED, "No network.")], now=1000.0)
    ask, given_up = notes.split([OPTIONAL, REQUIRED], notes.read(path), now)
    assert ask == ([OPTIONAL, REQUIRED] if is_asked else [REQUIRED])
    assert [addition for addition, _ in given_up] == ([] if is_asked else [OPTIONAL])


def test_another_version_is_asked_for_at_once(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    notes.write(path, [], [(OPTIONAL, "No network.")], now=1000.0)
    newer = Addition(OPTIONAL.package, "0.49.2")
    assert notes.split([newer], notes.read(path), 1001.0) == ([newer], [])


def test_a_note_that_was_not_retried_keeps_its_time(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    notes.write(path, [(OPTIONAL, {"why": "a", "at": 5.0})], [(REQUIRED, "b")], now=9.0)
    assert {name: note["at"] for name, note in notes.read(path).items()} == {
        "bitsandbytes==0.45.5": 5.0,
        "msgspec==0.22.0": 9.0,
    }


def test_nothing_to_remember_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    notes.write(path, [], [(OPTIONAL, "x")], now=1.0)
    notes.write(path, [], [], now=2.0)
    assert not path.exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"bitsandbytes==0.45.5": 3}', '{"bitsandbytes==0.45.5": {"at": "x", "why": 1}}']
)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.json"
    path.write_text(text, encoding="utf-8")
    assert notes.read(path) == {}


def test_a_place_that_cannot_be_written_to_is_no_failure(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    notes.write(blocked / "notes.json", [], [(OPTIONAL, "x")], now=1.0)
    assert notes.read(blocked / "notes.json") == {}
