"""What stands in the way of a run is said by its plan, before any weight is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.base.errors import SettingsError
from lib_dreambooth.jobs.plan import about_arithmetic, plan_run
from lib_dreambooth.training.export.places import Folders


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"network": {"kind": "none"}, "parts": {"unet": {"blocks": ["middel"]}}}, "parts.unet.blocks"),
        ({"network": {"include": ["unet.middel*"]}}, "network.include"),
    ],
)
def test_a_pattern_that_fits_nothing_is_no_matter_of_the_run(
    values: dict[str, Any], where: str, tmp_path: Path
) -> None:
    # Said ahead of the pictures, which take longer to look at: there are none here.
    data = {"model": {"base": str(MINI_CHECKPOINT)}, "concepts": [{"folder": str(tmp_path)}], **values}
    folders = Folders(*(tmp_path / name for name in ("a", "b", "c", "d")))
    with pytest.raises(SettingsError) as caught:
        plan_run(settings.read(data), "zwx", folders, host_device="cpu")
    assert [one.where for one in caught.value.problems] == [where]
    assert "`mid" in caught.value.problems[0].todo or "`unet.mid_block" in caught.value.problems[0].todo


def test_fp16_on_a_cpu_is_warned_of() -> None:
    run = settings.read({"precision": {"mixed": "fp16"}}).run
    (found,) = about_arithmetic(run, "cpu")
    assert (found.severity, found.todo) == ("warning", "Set Mixed Precision to Auto.")
    assert about_arithmetic(run, "cuda") == [] == about_arithmetic(settings.read({}).run, "cpu")
