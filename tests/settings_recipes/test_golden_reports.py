"""The reports of all recipes, as committed. REWRITE_GOLDEN=1 writes them anew; read them then."""

from __future__ import annotations

import os

import pytest

from lib_dreambooth.settings.files import review_text, text_of
from lib_dreambooth.settings.recipes import Fate
from tests.settings_recipes.recipe_samples import GOLDEN, NAMES, read_fixture

BOTH_WAYS = (
    "character-study.toml",
    "style-sdxl.toml",
    "twins-lora.toml",
    "gui-lora-sdxl.json",
    "db-config-2025.json",
    "lora-metadata-datasets.json",
)
CASES = [(name, False) for name in NAMES] + [(name, True) for name in BOTH_WAYS]


@pytest.mark.parametrize(("name", "as_run"), CASES)
def test_a_report_is_as_committed(name: str, as_run: bool) -> None:
    found = read_fixture(name, as_run=as_run).report.text()
    path = GOLDEN / f"{name}{'.as-run' if as_run else ''}.txt"
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_bytes(found.encode("utf-8"))
    assert found == path.read_bytes().decode("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_an_imported_run_comes_back_from_its_file(name: str) -> None:
    sourced = read_fixture(name).sourced
    assert review_text(text_of(sourced)).accepted().run == sourced.run


@pytest.mark.parametrize("name", ("character-study.toml", "style-sdxl.toml", "twins-lora.toml"))
@pytest.mark.parametrize("as_run", (False, True))
def test_the_recipes_need_nothing_but_files(name: str, as_run: bool) -> None:
    report = read_fixture(name, as_run=as_run).report
    waiting = {line.key.rsplit(".", 1)[-1] for line in report.of(Fate.NEEDS_YOU)}
    assert waiting <= {"pretrained_model_name_or_path", "train_data_dir", "reg_data_dir"}
    assert all(line.sets for line in report.of(Fate.NEEDS_YOU))


def test_the_report_says_where_it_stands_in_json() -> None:
    told = read_fixture("twins-lora.toml").report.to_json()
    by_key = {line["key"]: line for line in told["keys"]}
    length = by_key["training_arguments.max_train_epochs"]
    assert length["fate"] == "honoured differently"
    assert length["sets"] == {"length.train_for": "until stopped"}
    assert told["as_run"] is False
    assert told["missing"] == ["concepts: there are no pictures to train on. Name a folder with pictures."]
