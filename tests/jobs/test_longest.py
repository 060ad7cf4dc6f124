"""How many chunks a run's longest caption takes, as far as the forecast goes by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.forecast.kept import Kept
from lib_dreambooth.forecast.meter import PARTS
from lib_dreambooth.jobs.memory import forecast_of
from lib_dreambooth.jobs.plan import RunPlan, plan_run
from lib_dreambooth.training.export.places import Folders


def planned(folder: Path, captions: list[str], changes: dict[str, Any]) -> RunPlan:
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, caption in enumerate(captions):
        Image.new("RGB", (64, 64), (number * 40, 90, 20)).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text(caption, encoding="utf-8")
    concept = {"folder": str(pictures), **changes.pop("concept", {})}
    sourced = settings.read({"model": {"base": str(MINI_CHECKPOINT)}, "concepts": [concept], **changes})
    return plan_run(sourced, "riho", Folders(*(folder / name for name in "abcd")), host_device="cpu")


TAGS = "red dress, "


@pytest.mark.parametrize(
    ("captions", "changes", "chunks"),
    [
        (["a ring", "a star"], {}, 1),
        (["a ring", TAGS * 30], {}, 2),
        (["a ring", TAGS * 300], {}, 3),
        (["a ring", TAGS * 300], {"captions": {"max_tokens": 75}}, 1),
        (["a ring"], {"captions": {"max_tokens": 150, "long_prompts": "kohya"}}, 2),
        (["a ring"], {"captions": {"prefix": TAGS * 30}}, 2),
        (["a ring"], {"concept": {"prompt": "[filewords], " + TAGS * 30}}, 2),
    ],
)
def test_as_many_as_the_longest_caption_takes(
    captions: list[str], changes: dict[str, Any], chunks: int, tmp_path: Path
) -> None:
    assert planned(tmp_path, captions, dict(changes)).num_chunks == chunks


def test_vectors_of_words_count(tmp_path: Path) -> None:
    words = {"words": [{"name": "zwx", "vectors": 70}], "parts": {"words": {"train": True}}}
    assert planned(tmp_path, ["a zwx on a red ground in the rain at night"], words).num_chunks == 2


def test_long_captions_keep_more_for_the_backward_pass(tmp_path: Path) -> None:
    kept = []
    for number, caption in enumerate(("a ring", TAGS * 30)):
        folder = tmp_path / str(number)
        folder.mkdir()
        told = forecast_of(planned(folder, [caption], {}), kept=Kept(folder), measures=False)
        kept.append(told.forecast.phases["step"].parts[PARTS.index("activations")])
    assert kept[1] > kept[0]
