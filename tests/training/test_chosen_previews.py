"""Which previews a run draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib_dreambooth import settings
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.scanning.scan import scan
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.training.previews.chosen import (
    WITHOUT_SUBJECT,
    captions_shown,
    grouped,
    previews_of,
    prompts_of,
)
from tests.data.drawn_files import save_plain


def previews(values: dict[str, Any]) -> list[tuple[str, str, int | None, int, int]]:
    base = {"pictures": {"resolution": "512"}, "concepts": [{"folder": "x", "token": "zwx"}]}
    run = settings.read(base | values).run
    return [
        (one.request.prompt, one.request.negative, one.request.seed, one.settings.width, one.settings.height)
        for one in previews_of(run, PictureSettings(), seed=11)
    ]


def test_without_prompts_useful_ones_are_made() -> None:
    concept = {"folder": "x", "token": "zwx", "class_token": "dog"}
    made = previews({"concepts": [concept, {"folder": "y", "token": "abc"}]})
    assert [row[0] for row in made] == [
        "zwx dog",
        "zwx dog, in a forest, full body",
        "zwx dog in a red coat, sitting in a cafe",
        "abc",
        "a dog",
    ]
    assert {row[2:] for row in made} == {(420420, 512, 512)}


def test_new_words_are_called() -> None:
    run = settings.read(
        {
            "concepts": [{"folder": "a", "token": "wug", "class_token": "dog"}],
            "words": [{"name": "wug"}, {"name": "dax"}],
            "parts": {"words": {"train": True}},
        }
    ).run
    prompts = [prompt.prompt for prompt in prompts_of(run)]
    assert prompts[0] == "wug dog" and prompts[3:] == ["dax", "a dog"]


def test_concepts_settings_and_sanity_come_in_order() -> None:
    made = previews(
        {
            "concepts": [{"folder": "x", "sample_prompts": ["one --d 3 --w 640"]}],
            "previews": {
                "prompts": ["two --n none"],
                "negative": "bad",
                "count": 2,
                "seed": -1,
                "sanity_prompt": "three",
                "sanity_seed": 9,
            },
        }
    )
    assert made == [
        ("one", "bad", 3, 640, 512),
        ("one", "bad", 4, 640, 512),
        ("two", "none", 11, 512, 512),
        ("two", "none", 12, 512, 512),
        ("three", "bad", 9, 512, 512),
    ]


def test_what_can_be_drawn_together_is() -> None:
    run = settings.read(
        {
            "pictures": {"resolution": "512"},
            "concepts": [{"folder": "x"}],
            "previews": {"prompts": ["a", "b", "c --w 64"], "steps": 3, "guidance": 2, "sampler": "ddim"},
        }
    ).run
    groups = grouped(previews_of(run, PictureSettings(ensd=7), seed=0))
    assert [len(group) for group in groups] == [2, 1]
    assert (groups[0][0].settings.steps, groups[0][0].settings.guidance) == (3, 2.0)
    assert (groups[1][0].settings.sampler, groups[1][0].settings.ensd) == ("ddim", 7)


def test_captions_are_drawn_where_no_word_calls_the_subject() -> None:
    run = settings.read({"concepts": [{"folder": "x"}]}).run
    prompts = prompts_of(run, ["a dog on grass", "a dog asleep"])
    assert [one.prompt for one in prompts] == ["a dog on grass", "a dog asleep", WITHOUT_SUBJECT]
    named = settings.read({"concepts": [{"folder": "x", "token": "zwx"}]}).run
    assert prompts_of(named, ["a dog on grass"]) == prompts_of(named)


def test_the_captions_shown_are_trained_ones_as_prompts(tmp_path: Path) -> None:
    for number, caption in enumerate(("a dog (wet)", "a dog (wet)", "a dog asleep", "a dog running")):
        save_plain(tmp_path / f"{number}.png", (number, 0, 0), (64, 64))
        (tmp_path / f"{number}.txt").write_text(caption, encoding="utf-8")
    values = {"concepts": [{"folder": str(tmp_path)}], "pictures": {"resolution": "64"}, "draws": {"seed": 1}}
    run = settings.read(values).run
    shown = captions_shown(Dataset(run, scan(run)))
    assert len(set(shown)) == 2
    assert set(shown) < {r"a dog \(wet\)", "a dog asleep", "a dog running"}
