"""kohya's dataset file, alone or named by a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib_dreambooth.settings.recipes.kohya.differences import note_data_differences
from lib_dreambooth.settings.recipes.kohya.silence import fill_data_silence
from lib_dreambooth.settings.recipes.kohya.strict import require_dataset
from lib_dreambooth.settings.recipes.kohya.subsets import config_level, settle_subsets, subsets_of
from lib_dreambooth.settings.recipes.sheet import Sheet


def import_dataset(sheet: Sheet, data: Mapping[str, Any], name: str) -> str:
    """Writes a dataset file onto the sheet; how training goes stays as this program has it."""
    require_dataset(data, name)
    settle_subsets(sheet, list(subsets_of(data, "", {})))
    fill_data_silence(sheet)
    note_data_differences(sheet)
    return "kohya dataset file: pictures and captions only"


def settle_named_dataset(sheet: Sheet, data: Mapping[str, Any], name: str) -> None:
    """Writes a dataset file onto the sheet of the config that names it and hands options down to it."""
    require_dataset(data, name)
    config = config_level(sheet.entries.values())
    settle_subsets(sheet, list(subsets_of(data, f"{name}: ", config)))
    sheet.assumed["dataset_read"] = True
