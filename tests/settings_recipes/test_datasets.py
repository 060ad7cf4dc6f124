"""kohya's dataset files: strict, and what subsets share and where they differ."""

from __future__ import annotations

from typing import Any

import pytest

from lib_dreambooth.base.errors import SettingsError
from lib_dreambooth.settings.files import parsed
from lib_dreambooth.settings.recipes import Fate, Imported, read_recipe
from lib_dreambooth.settings.values import Size
from tests.settings_recipes.recipe_samples import read_config, read_fixture

ONE = '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "a"\n'


def read(text: str, **how: Any) -> Imported:
    return read_recipe(text.encode(), "dataset.toml", **how)


def test_subsets_become_concepts() -> None:
    run = read_fixture("kohya-dataset.toml").run
    assert [(c.folder, c.role, c.repeats, c.subfolders) for c in run.concepts] == [
        ("D:/pictures/riho", "train", 10, "ignore"),
        ("D:/pictures/riho_dancer", "train", 4, "ignore"),
        ("D:/pictures/girls", "class", 1, "ignore"),
        ("D:/pictures/riho_large", "train", 2, "ignore"),
    ]
    assert run.concepts[0].fallback == "riho girl"
    assert run.concepts[3].target == "base"


def test_what_all_share_goes_to_the_run_and_the_rest_to_concepts() -> None:
    run = read_fixture("kohya-dataset.toml").run
    assert (run.captions.shuffle, run.captions.keep_tokens, run.pictures.resolution) == (
        True,
        2,
        Size(512, 512),
    )
    assert run.concepts[0].override == {}
    assert run.concepts[1].override == {
        "captions.keep_tokens": 1,
        "pictures.flip": True,
        "captions.prefix": "dancer,",
    }
    assert run.concepts[2].override == {"captions.shuffle": False, "pictures.alpha": "drop"}
    assert run.concepts[3].override == {"pictures.resolution": Size(768, 768)}


def test_what_cannot_differ_takes_the_first_value_and_says_so() -> None:
    imported = read_fixture("kohya-dataset.toml")
    assert imported.run.length.batch_size == 4
    assert imported.report.line("datasets[1].batch_size").fate is Fate.DIFFERENTLY
    # Only one dataset asks for it, so its value is the one.
    assert imported.run.validation.share == 0.1


def test_the_nearest_level_counts() -> None:
    imported = read(
        "[general]\nkeep_tokens = 1\nflip_aug = true\n"
        '[[datasets]]\nkeep_tokens = 2\n[[datasets.subsets]]\nimage_dir = "a"\nkeep_tokens = 3\n'
        '[[datasets.subsets]]\nimage_dir = "b"\n'
    )
    assert imported.run.captions.keep_tokens == 3
    assert imported.run.concepts[1].override == {"captions.keep_tokens": 2}
    assert imported.run.pictures.flip is True
    line = imported.report.line("general.keep_tokens")
    assert line.fate is Fate.NO_MEANING and "every subset says something else" in line.says


def test_a_dataset_file_alone_leaves_the_training_as_it_is() -> None:
    run = read(ONE).run
    assert run.optimizer.weight_decay == 0.01 and run.loss.min_snr_gamma == 5.0
    assert run.captions.keep_tokens == 0 and run.pictures.buckets is False


def test_a_config_hands_its_options_down_to_the_dataset_it_names() -> None:
    config = {
        "network_module": "networks.lora",
        "dataset_config": "C:\\sets\\mine.toml",
        "keep_tokens": 3,
        "shuffle_caption": True,
        "train_data_dir": "old",
        "train_batch_size": 2,
    }
    text = '[[datasets]]\nbatch_size = 4\n[[datasets.subsets]]\nimage_dir = "a"\nkeep_tokens = 1\n'
    imported = read_config(config, beside=lambda path: text.encode() if path.endswith("mine.toml") else None)
    run = imported.run
    assert (run.captions.keep_tokens, run.captions.shuffle, run.length.batch_size) == (1, True, 4)
    assert [concept.folder for concept in run.concepts] == ["a"]
    assert imported.report.line("train_data_dir").says == "dataset_config takes its place."
    assert imported.report.line("keep_tokens").fate is Fate.NO_MEANING
    assert imported.report.line("mine.toml: datasets[0].batch_size").fate is Fate.HONOURED
    assert imported.report.line("dataset_config").fate is Fate.HONOURED


def test_a_dataset_file_that_is_not_here_is_asked_for() -> None:
    imported = read_config(
        {"network_module": "networks.lora", "dataset_config": "gone.toml", "keep_tokens": 3}
    )
    assert imported.report.line("dataset_config").fate is Fate.NEEDS_YOU
    assert imported.run.captions.keep_tokens == 3


def test_json_is_read_too() -> None:
    imported = read_recipe(b'{"datasets": [{"subsets": [{"image_dir": "a", "num_repeats": 2}]}]}', "d.json")
    assert imported.run.concepts[0].repeats == 2


REFUSED = [
    (f"{ONE}num_repeat = 2\n", "datasets[0].subsets[0].num_repeat", "Is num_repeats meant?"),
    (f'{ONE}num_repeats = "2"\n', "datasets[0].subsets[0].num_repeats", "a whole number"),
    (f"{ONE}num_repeats = true\n", "datasets[0].subsets[0].num_repeats", "a whole number"),
    (f"{ONE}face_crop_aug_range = [2, 4]\n", "datasets[0].subsets[0].face_crop_aug_range", "with a point"),
    ("[general]\nvalidation_split = 0\n" + ONE, "general.validation_split", "a number with a point"),
    ("[general]\nnetwork_multiplier = 1\n" + ONE, "general.network_multiplier", "a number with a point"),
    ('[general]\nimage_dir = "x"\n' + ONE, "general.image_dir", "not known in a general"),
    ("[general]\nis_reg = true\n" + ONE, "general.is_reg", "not known"),
    (
        '[[datasets]]\nresolution = "512"\n[[datasets.subsets]]\nimage_dir = "a"\n',
        "datasets[0].resolution",
        "[width",
    ),
    ("[[datasets]]\nresolution = 512\n", "datasets[0].subsets", "Write at least one"),
    ("[[datasets]]\n[[datasets.subsets]]\nnum_repeats = 2\n", "datasets[0].subsets[0].image_dir", "left out"),
    (f'{ONE}[[datasets.subsets]]\nmetadata_file = "m.json"\n', "datasets[0]", "two [[datasets]]"),
]


@pytest.mark.parametrize(("text", "where", "says"), REFUSED)
def test_kohyas_own_check_is_as_strict(text: str, where: str, says: str) -> None:
    assert parsed(text, "")
    with pytest.raises(SettingsError) as raised:
        read(text)
    problem = next(problem for problem in raised.value.problems if problem.where == f"dataset.toml: {where}")
    assert says in problem.sentence()


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        read(f'{ONE}num_repeat = 2\nflip_aug = 1\nkeep_tokens = "one"\n')
    assert len(raised.value.problems) == 3
