"""Settings suited to a card that need not be here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.forecast.forecast import STEP, Forecast, PhaseNeed
from lib_dreambooth.forecast.kept import Kept
from lib_dreambooth.forecast.offering import Offer
from lib_dreambooth.forecast.rehearsal import Manner
from lib_dreambooth.jobs import suiting
from lib_dreambooth.jobs.memory import Told
from lib_dreambooth.jobs.suiting import GIB, NOT_OURS, room_of_card, suited
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import FORECAST, Sourced

MB = 1_000_000


def asked(**changes: dict[str, object]) -> Sourced:
    return settings.read({"model": {"base": str(MINI_CHECKPOINT)}, **changes})


def test_a_card_is_less_than_it_is_sold_as() -> None:
    assert room_of_card(8) == 8 * GIB - NOT_OURS


@pytest.mark.slow
def test_what_fits_keeps_everything_and_nothing_else_is_changed(tmp_path: Path) -> None:
    given = asked(memory={"checkpointing": "on"}, rates={"learning_rate": 3e-4})
    found = suited(given, room_of_card(8), kept=Kept(tmp_path))
    assert found.fits and not found.learned
    assert {one.path: one.after for one in found.changes} == {"memory.checkpointing": "off"}
    assert found.sourced.source("memory.checkpointing") == FORECAST
    assert found.sourced.run.rates.learning_rate == 3e-4


def test_what_is_learned_changes_only_where_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told_of(run: Run, *others: Any) -> Told:
        need = PhaseNeed((run.length.batch_size * MB, 0, 0, 0, 0, 0), 0)
        smaller = Offer((("length.batch_size", run.length.batch_size // 2),), MB, "a smaller batch")
        fits = run.length.batch_size <= 4
        return Told(Forecast("cuda", {STEP: need}, Manner("on")), 4 * MB, fits, [] if fits else [smaller])

    monkeypatch.setattr(suiting, "told_of", told_of)
    given = asked(length={"batch_size": 16})
    kept = Kept(tmp_path)
    found = suited(given, 4 * MB, kept=kept)
    assert not found.fits and found.told.offers and not found.learned
    assert found.sourced.run.length.batch_size == 16
    changed = suited(given, 4 * MB, may_change=True, kept=kept)
    assert changed.fits
    assert [offer.changes for offer in changed.learned] == [
        (("length.batch_size", 8),),
        (("length.batch_size", 4),),
    ]
    assert changed.sourced.run.length.batch_size == 4
    assert changed.sourced.run.memory.checkpointing == "on"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", "none"])
def test_the_result_is_settings_that_can_be_read(kind: str, tmp_path: Path) -> None:
    found = suited(asked(network={"kind": kind}), room_of_card(6), kept=Kept(tmp_path))
    assert found.sourced.run.memory.fused_backward == ("auto" if kind == "lora" else "off")
    assert set(found.to_json()) == {"changes", "learned", "forecast"}
