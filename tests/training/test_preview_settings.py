"""Every setting about what previews show changes what is asked of the artist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth import settings
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.previews.chosen import previews_of

SANITY = {"previews.sanity_prompt": "a street"}
# What has to be set beside it, and its own value.
EFFECTS: dict[str, tuple[dict[str, Any], Any]] = {
    "concepts.0.name": ({"concepts.0.sample_prompts": ["one"]}, "Mika"),
    "concepts.0.sample_prompts": ({}, ["one --d 7"]),
    "previews.prompts": ({}, ["two"]),
    "previews.file": ({}, "FILE"),
    "previews.negative": ({}, "ugly"),
    "previews.count": ({}, 2),
    "previews.seed": ({}, 5),
    "previews.size": ({}, "72x80"),
    "previews.steps": ({}, 3),
    "previews.guidance": ({}, 2.0),
    "previews.sampler": ({}, "unipc"),
    "previews.batch_size": ({}, 3),
    "previews.sanity_prompt": ({}, "a street"),
    "previews.sanity_seed": (SANITY, 77),
}


def asked_for(run: Run) -> list[Any]:
    return [(*vars(one).values(),) for one in previews_of(run, PictureSettings(), seed=11)]


@pytest.mark.parametrize("path", EFFECTS)
def test_a_setting_changes_what_is_drawn(path: str, tmp_path: Path) -> None:
    beside, value = EFFECTS[path]
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("three --s 4", encoding="utf-8")
    start = {"concepts.0.folder": "pictures", "concepts.0.token": "zwx", "pictures.resolution": "64x64"}
    changed = {path: str(prompts) if value == "FILE" else value}
    before = settings.review_changes({**start, **beside}).sourced.run
    after = settings.review_changes({**start, **beside, **changed}).sourced.run
    assert asked_for(before) == asked_for(before) != asked_for(after)
