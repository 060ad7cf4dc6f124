from __future__ import annotations

from pathlib import Path

import pytest

from lib_dreambooth import settings
from lib_dreambooth.base.durations import steps
from lib_dreambooth.base.errors import FileError, SettingsError, UserError
from lib_dreambooth.settings.compare import differences
from lib_dreambooth.settings.meaning import made
from lib_dreambooth.settings.own_presets import PERSONAL, remove, rename, save
from lib_dreambooth.settings.preset import (
    LengthRule,
    Preset,
    applied,
    listed,
    load,
    named,
    preview,
    steps_for,
)
from lib_dreambooth.settings.schema import Run

WHOLE = settings.replace(Run(), {"network.kind": "none"})
NAMES = [
    "Person",
    "Object/Style",
    "Character LoRA (8 GB)",
    "Style (SDXL)",
    "Pivotal pair",
    "Dreambooth (Japanese guide)",
    "kohya parity",
]


def test_the_shipped_presets_in_their_order() -> None:
    assert [preset.name for preset in listed()] == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("base", [Run(), WHOLE], ids=["network", "whole"])
def test_a_preset_gives_a_run_without_problems_or_surprises(name: str, base: Run) -> None:
    preset = named(name)
    sourced = applied(preset, settings.Sourced(base), num_pictures=12)
    found = settings.check(sourced)
    assert found.problems == ()
    codes = {notice.code for notice in found.notices}
    assert codes <= ({"divergence"} if (name, base) == ("kohya parity", WHOLE) else set()), found.notices
    for change in preview(preset, base, 12):
        assert sourced.source(change.path) == f"preset {name}"
        assert change.path.split(".")[0] not in ("concepts", "words", "metadata")


@pytest.mark.parametrize("name", NAMES)
def test_no_preset_has_class_pictures_drawn_unless_the_user_ticked_it(name: str) -> None:
    assert applied(named(name), settings.defaults(), 12).run.class_pictures.draw is False
    if name in ("Person", "Object/Style"):
        ticked = settings.update(settings.defaults(), {"class_pictures.draw": True}, "form")
        assert applied(named(name), ticked, 12).run.class_pictures.draw is True


@pytest.mark.parametrize(
    ("name", "run", "pictures", "expected"),
    [
        ("Person", Run(), 12, 1800),
        ("Person", Run(), 1, 500),
        ("Person", Run(), 500, 8000),
        ("Person", WHOLE, 12, 2400),  # at 1e-6; the old wizard's 100 visits belonged to 2e-6
        ("Object/Style", Run(), 12, 1200),
        ("Object/Style", WHOLE, 12, 1500),  # at 2e-6, 125 visits
        ("Person", settings.replace(Run(), {"length.batch_size": 4, "length.accumulation": 2}), 12, 225),
        # 26 pictures once made the old wizard propose a batch of 13.
        ("Person", Run(), 26, 3900),
    ],
)
def test_the_length_follows_the_number_of_pictures(name: str, run: Run, pictures: int, expected: int) -> None:
    after = applied(named(name), settings.Sourced(run), pictures).run
    assert after.length.train_for == steps(expected) and after.length.whole_epochs
    assert after.length.batch_size == run.length.batch_size


def test_applying_twice_changes_nothing_more() -> None:
    for preset in listed():
        once = applied(preset, settings.defaults(), 12)
        assert preview(preset, once.run, 12) == []


def test_a_rule_by_hand() -> None:
    assert steps_for(LengthRule(10), Run(), 3) == 30
    assert steps_for(LengthRule(10, least_visits=50), Run(), 3) == 50
    assert steps_for(LengthRule(10, 2e-5), settings.replace(WHOLE, {"parts.unet.rate": 1e-6}), 3) == 60


def test_what_the_presets_make() -> None:
    kinds = {preset.name: made(applied(preset, settings.defaults()).run) for preset in listed()}
    assert kinds["Pivotal pair"] == ("network", "words")
    assert kinds["Dreambooth (Japanese guide)"] == ("weights",)
    assert kinds["Character LoRA (8 GB)"] == ("network",)


def test_a_users_own_preset_leaves_out_what_is_personal(tmp_path: Path) -> None:
    run = settings.replace(
        Run(),
        {
            "concepts.0.folder": "secret",
            "words.0.name": "secret",
            "model.base": "secret",
            "metadata.author": "secret",
            "parts.words.train": True,
            "rates.learning_rate": 3e-5,
            "captions.separator": 'a"b\\c',
        },
    )
    path = save(tmp_path, "My: faces/1", run, "For faces.")
    assert path.name == "My faces 1.toml"
    assert "secret" not in path.read_text("utf-8")
    preset = named("my: FACES/1", tmp_path)
    assert preset.about == "For faces."
    after = applied(preset, settings.update(settings.defaults(), {"model.base": "mine"}, "form")).run
    changed = {change.path for change in differences(run, after)}
    assert changed == {"concepts.0." + key for key in after_keys()} | {
        "words.0.name",
        "words.0.vectors",
        "words.0.start_as",
        "words.0.start_from",
        "model.base",
        "metadata.author",
    }
    assert after.model.base == "mine" and "model.base" in PERSONAL


def test_own_presets_are_renamed_written_over_and_removed(tmp_path: Path) -> None:
    run = settings.replace(Run(), {"network.rank": 5})
    save(tmp_path, "Faces", run, "For faces.")
    with pytest.raises(UserError, match="already"):
        save(tmp_path, "faces", Run(), replaces=False)
    path = rename(tmp_path, "FACES", "Faces / 2", "For two.")
    assert [one.name for one in tmp_path.iterdir()] == [path.name] == ["Faces 2.toml"]
    preset = named("Faces / 2", tmp_path)
    assert preset.about == "For two." and preset.settings["network"]["rank"] == 5
    # Other letters of the same name are no other preset.
    assert named("faces 2", tmp_path).path.samefile(rename(tmp_path, "Faces 2", "faces 2", ""))
    assert len(list(tmp_path.iterdir())) == 1
    save(tmp_path, "Other", run)
    with pytest.raises(UserError, match="already"):
        rename(tmp_path, "Other", "FACES 2", "")
    remove(tmp_path, "other")
    assert [preset.name for preset in listed(tmp_path)] == [*NAMES, "faces 2"]


@pytest.mark.parametrize("name", ["person", "Object/Style", "object-style"])
def test_shipped_presets_stay_as_they_are(tmp_path: Path, name: str) -> None:
    for act in (lambda: remove(tmp_path, name), lambda: save(tmp_path, name, Run())):
        with pytest.raises(UserError, match="belongs to the program"):
            act()
    save(tmp_path, "Mine", Run())
    with pytest.raises(UserError, match="belongs to the program"):
        rename(tmp_path, "Mine", name, "")
    assert [preset.name for preset in listed(tmp_path)] == [*NAMES, "Mine"]


def after_keys() -> tuple[str, ...]:
    from lib_dreambooth.settings.schema import Concept

    return Concept.__struct_fields__


@pytest.mark.parametrize(
    "text",
    [
        "preset = 5",
        "[preset]\nname='x'\n[length_rule]\nvisits = 5",
        "[length_rule]\nvisits_per_picture = true",
        "[length_rule]\nleast_visits = 5",
        "[whole_weights.rates]\nlearning_rate = 'x'",
        "[rates]\nlearning_rat = 1",
    ],
)
def test_a_spoiled_preset_gets_a_sentence_and_is_left_out_of_lists(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((FileError, SettingsError)):
        load(path)
    assert [preset.name for preset in listed(tmp_path)] == NAMES


def test_unknown_presets_are_answered_with_those_there_are() -> None:
    with pytest.raises(UserError) as caught:
        named("Persons")
    assert "Person, Object/Style" in caught.value.todo
    with pytest.raises(UserError):
        save(Path(), " /// ", Run())


def test_presets_compare_by_file() -> None:
    assert isinstance(named("person"), Preset) and named("person").path.name == "person.toml"
