"""Going on with something changed: everything is listed, and what would ruin the run is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lib_dreambooth import settings
from lib_dreambooth.base.errors import SettingsError
from lib_dreambooth.settings.fields import all_fields
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.settings.writing import text_of
from lib_dreambooth.training.resume_rules import RULES, rule_of
from lib_dreambooth.training.resuming import Difference, differences_on_resume, refuse_unsafe
from lib_dreambooth.training.state import Surroundings, TrainingState

THEN = Surroundings("ab" * 32, "12" * 32, "cpu", 2, {"torch": "2.1.2"})
CONCEPT = {"concepts": [{"folder": "/pictures/cat", "prompt": "a photo of zwx cat"}]}


def a_run(**changes: Any) -> Run:
    base = settings.read({"model": {"base": "base.safetensors"}, **CONCEPT})
    return settings.replace(base.run, {path.replace("__", "."): value for path, value in changes.items()})


def scalars(run: Run) -> dict[str, Any]:
    return TrainingState(5, text_of(Sourced(run)), THEN, {}).to_saved()[1]


def differences(before: Run, after: Run, now: Surroundings = THEN) -> list[Difference]:
    return differences_on_resume(scalars(before), after, now)


def test_nothing_changed_is_no_difference() -> None:
    assert differences(a_run(), a_run()) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [("network.rank", 4), ("network.alpha", 3), ("network.kind", "loha"), ("network.conv_rank", 8),
     ("optimizer.name", "Lion"), ("draws.seed", 3), ("pictures.resolution", 640), ("length.batch_size", 3),
     ("length.accumulation", 4), ("concepts.0.repeats", 9), ("concepts.0.folder", "/other"),
     ("model.clip_skip", 2), ("model.vae", "vae.pt"), ("precision.weights", "half"), ("ema.use", True),
     ("parts.unet.train", False), ("validation.share", 0.2), ("noise.zero_terminal", "on")],
)  # fmt: skip
def test_what_would_ruin_the_run_is_refused_by_name(path: str, value: object) -> None:
    # Without knowledge of the order of pictures.
    now = dataclasses.replace(THEN, plan="")
    found = differences(a_run(), a_run(**{path: value}), now)
    assert [(one.field, one.is_safe) for one in found] == [(path, False)]
    with pytest.raises(SettingsError) as caught:
        refuse_unsafe(found)
    problem = caught.value.problems[0]
    assert problem.where == path and problem.code == "changed-on-resume" and problem.todo
    assert found[0].old in problem.what and found[0].new in problem.what


@pytest.mark.parametrize(
    ("path", "value"),
    [("previews.every", "50 steps"), ("previews.prompts", ["a"]), ("saving.every", "10 steps"),
     ("logging.tensorboard", True), ("length.train_for", "9000 steps"), ("rates.learning_rate", 1e-6),
     ("network.dropout", 0.1), ("captions.shuffle", True), ("memory.workers", 3), ("metadata.title", "a"),
     ("optimizer.weight_decay", 0.5), ("class_pictures.weight", 0.3), ("concepts.0.name", "cat"),
     ("model.base", "renamed.safetensors")],
)  # fmt: skip
def test_what_does_no_harm_is_listed_and_allowed(path: str, value: object) -> None:
    found = differences(a_run(), a_run(**{path: value}))
    assert [(one.field, one.is_safe) for one in found] == [(path, True)]
    assert found[0].why.endswith(".") and found[0].old != found[0].new
    refuse_unsafe(found)


def test_a_longer_run_says_what_becomes_of_the_rates() -> None:
    (found,) = differences(a_run(), a_run(length__train_for="20 epochs"))
    assert "the rates follow the new length" in found.line()
    assert found.to_json()["is_safe"] is True


def test_another_base_under_the_same_name_is_refused() -> None:
    found = differences(a_run(), a_run(), dataclasses.replace(THEN, base_sha256="cd" * 32))
    assert [(one.field, one.old, one.new, one.is_safe) for one in found] == [
        ("model.base", "ab" * 5, "cd" * 5, False)
    ]
    with pytest.raises(SettingsError) as caught:
        refuse_unsafe(found)
    assert caught.value.problems[0].code == "other-base"


def test_a_moved_folder_with_the_same_pictures_is_fine() -> None:
    found = differences(a_run(), a_run(**{"concepts.0.folder": "/moved/cat"}))
    assert [(one.field, one.is_safe) for one in found] == [("concepts.0.folder", True)]


def test_other_pictures_in_the_same_folder_are_refused() -> None:
    found = differences(a_run(), a_run(), dataclasses.replace(THEN, plan="34" * 32))
    assert [(one.field, one.is_safe) for one in found] == [("concepts", False)]


def test_another_machine_is_said() -> None:
    now = dataclasses.replace(THEN, device="cuda:0", threads=8, versions={"torch": "2.13.0", "xformers": "1"})
    found = differences(a_run(), a_run(), now)
    assert [(one.field, one.old, one.new) for one in found] == [
        ("memory.device", "cpu", "cuda:0"),
        ("threads", "2", "8"),
        ("torch", "2.1.2", "2.13.0"),
        ("xformers", "-", "1"),
    ]
    assert all(one.is_safe for one in found)


def test_packages_that_nothing_computes_with_any_more_are_not_told() -> None:
    saved = scalars(a_run())
    saved["surroundings"]["versions"] = {**THEN.versions, "diffusers": "0.31.0", "transformers": "4.30.2"}
    assert differences_on_resume(saved, a_run(), THEN) == []


def test_a_new_concept_is_told_by_what_it_says() -> None:
    after = settings.read(
        {"model": {"base": "base.safetensors"}, "concepts": [*CONCEPT["concepts"], {"folder": "/dog"}]}
    )
    found = differences(a_run(), after.run, dataclasses.replace(THEN, plan=""))
    assert [(one.field, one.old, one.new) for one in found] == [("concepts.1.folder", "-", "/dog")]


def test_refused_things_come_first() -> None:
    found = differences(a_run(), a_run(previews__every="50 steps", network__rank=4))
    assert [one.is_safe for one in found] == [False, True]


def test_every_setting_has_a_rule_and_every_rule_a_setting() -> None:
    used = set()
    for field in all_fields():
        path = field.path.replace("*", "0")
        assert rule_of(path) is not None, path
        used.add(next(number for number, (_, rule) in enumerate(RULES) if rule is rule_of(path)))
    patterns = [pattern for pattern, _ in RULES]
    assert len(set(patterns)) == len(patterns)


def test_settings_that_newer_versions_lack_do_not_stop_anyone() -> None:
    saved = scalars(a_run())
    saved["settings"] += "\n[gone]\nold = 1\n"
    assert differences_on_resume(saved, a_run(), THEN) == []
