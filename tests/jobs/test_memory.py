"""What a planned run needs, from the plan to the forecast."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.forecast.kept import Kept
from lib_dreambooth.jobs.memory import forecast_of, numbers_of
from lib_dreambooth.jobs.plan import RunPlan, plan_run
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.training.export.places import Folders


@pytest.fixture
def plan(tmp_path: Path) -> RunPlan:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, size in enumerate([(128, 128), (128, 128), (96, 160)]):
        Image.new("RGB", size, (number * 40, 90, 20)).save(pictures / f"{number}.png")
    data = {
        "model": {"base": str(MINI_CHECKPOINT)},
        "concepts": [{"folder": str(pictures)}],
        "length": {"train_for": "6 steps", "batch_size": 3},
        "saving": {"at_end": ["result", "state"]},
    }
    sourced: Sourced = settings.read(data)
    folders = Folders(*(tmp_path / name for name in ("a", "b", "c", "d")))
    return plan_run(sourced, "riho", folders, host_device="cpu")


def test_a_plan_says_what_is_needed_before_anything_is_read(plan: RunPlan, tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    told = forecast_of(plan, kept=kept, measures=False)
    forecast = told.forecast
    assert (told.room, told.fits) == (None, None)
    assert set(forecast.phases) == {"load", "cache", "step", "save", "preview"}
    assert forecast.bytes == forecast.phases[forecast.largest].bytes
    assert forecast.seconds is None
    assert not kept.path.exists()
    assert forecast.manner.level == "off"


def test_numbers_of_a_plan(plan: RunPlan) -> None:
    numbers = numbers_of(plan)
    assert numbers.num_items == 3
    assert numbers.num_steps == 6
    assert numbers.size_wh[0] * numbers.size_wh[1] == max(w * h for w, h in plan.buckets)
    assert 0.9 < numbers.mean_share <= 1.0
    assert numbers.file_bytes == MINI_CHECKPOINT.stat().st_size


def test_a_small_room_makes_steps_sparing_and_a_smaller_one_offers(plan: RunPlan, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    plain = forecast_of(plan, kept=kept, measures=False)
    assert plain.forecast.manner.level == "off"
    off = plain.forecast.step_bytes
    # A little less than steps take that keep everything, with what is never counted on put on top.
    tight = forecast_of(plan, kept=kept, room=round((off - 1_000_000 + 200_000_000) / 0.95), measures=False)
    assert tight.fits
    assert tight.forecast.manner.level != "off"
    assert tight.forecast.step_bytes < off
    none = forecast_of(plan, kept=kept, room=210_000_000, measures=False)
    assert none.fits is False
    assert all(offer.bytes <= 210_000_000 * 0.95 - 200_000_000 for offer in none.offers)
