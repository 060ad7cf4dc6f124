"""Forecasts that were made before are there, and nothing else is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib_dreambooth.forecast import forecast as making
from lib_dreambooth.forecast import known as module
from lib_dreambooth.forecast.forecast import Forecast, Forecaster, Numbers, PhaseNeed
from lib_dreambooth.forecast.known import FILE, MOST, Known
from lib_dreambooth.forecast.rehearsal import Manner
from tests.forecast.made_scenes import CPU, MINI, scene

NUMBERS = Numbers((64, 64), (64, 64), num_items=2)


MADE = Forecast(
    "cpu", {"step": PhaseNeed((1, 0, 0, 0, 2, 3), 4, None, 5)}, Manner("some", pieces=2), 0.5, 9.0
)


def forecaster(folder: Path) -> Forecaster:
    return Forecaster(scene(MINI, {}, CPU), NUMBERS, known=Known(folder, "one"))


def test_what_was_forecast_is_found_without_a_rehearsal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = forecaster(tmp_path).of(Manner())

    def never(scene: object) -> None:
        raise AssertionError

    monkeypatch.setattr(making, "Rehearsal", never)
    assert forecaster(tmp_path).of(Manner()) == made
    # Another scene, another manner, another program: nothing is known.
    assert Known(tmp_path, "other").forecast(Manner()) is None
    assert Known(tmp_path, "one").forecast(Manner("on")) is None
    monkeypatch.setattr(module, "program", lambda: "another")
    assert Known(tmp_path, "one").forecast(Manner()) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"phases": 1}'])
def test_a_damaged_file_counts_as_empty_and_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    known = Known(tmp_path, "one")
    assert known.forecast(Manner()) is None
    known.keep(MADE, Manner())
    assert known.forecast(Manner()) == MADE


def test_a_damaged_entry_is_none(tmp_path: Path) -> None:
    Known(tmp_path, "one").keep(MADE, Manner())
    data = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    ((key, entry),) = data.items()
    for broken in ({**entry, "phases": {}}, {**entry, "manner": {"level": "off", "x": 1}}, None):
        (tmp_path / FILE).write_text(json.dumps({key: broken}), encoding="utf-8")
        assert Known(tmp_path, "one").forecast(Manner()) is None


def test_the_oldest_go(tmp_path: Path) -> None:
    data = {str(number): {} for number in range(3 * MOST)}
    (tmp_path / FILE).write_text(json.dumps(data), encoding="utf-8")
    Known(tmp_path, "one").keep(MADE, Manner())
    assert len(json.loads((tmp_path / FILE).read_text(encoding="utf-8"))) == MOST
    assert Known(tmp_path, "one").forecast(Manner()) == MADE
