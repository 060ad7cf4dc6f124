"""The settings of a run inside the files it made, so that it can be repeated from any of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.fields import entries, split_path
from lib_dreambooth.settings.reading import Review, review
from lib_dreambooth.settings.renames import VERSION, translated
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import Sourced, file_source
from lib_dreambooth.training.export.privacy import cleared, name_only

SETTINGS_KEY = "dreambooth_settings"
# Diffusers folders have no metadata of their own.
FOLDER_METADATA = "metadata.json"
# Choosers whose values are places on this machine.
PLACES = ("checkpoint", "vae", "lora", "embedding", "folder", "file")


def settings_text(run: Run) -> str:
    """All settings as JSON; of files and folders only the names."""
    tables: dict[str, Any] = {"version": VERSION, **plain(run)}
    for path, field, value in entries(run):
        if field.option.picks in PLACES:
            names = [name_only(part) for part in value] if isinstance(value, tuple) else name_only(value)
            _put(tables, split_path(path), names)
    return json.dumps(cleared(tables), ensure_ascii=False)


def review_settings_of(path: Path | str) -> Review:
    """The settings that a file of ours was made with, with every problem; raises FileError if it has none."""
    path = Path(path)
    try:
        tables = json.loads(metadata_of(path).get(SETTINGS_KEY, ""))
    except ValueError:
        tables = None
    if not isinstance(tables, dict):
        raise FileError(
            "carries no settings of this extension.",
            where=str(path),
            todo="Choose a file that was saved with full metadata, or import a file of kohya's scripts.",
            code="no-settings",
        )
    return review(translated(tables), source=file_source(path.name))


def settings_from_file(path: Path | str) -> Sourced:
    """The run that made a file; raises FileError or SettingsError. Of files and folders it has the names."""
    return review_settings_of(path).accepted()


def metadata_of(path: Path) -> Mapping[str, str]:
    """What a file, or a diffusers folder of ours, says of itself."""
    if path.is_dir():
        beside = path / FOLDER_METADATA
        found = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
        return found if isinstance(found, dict) else {}
    with open_tensors(path) as file:
        return file.metadata


def _put(tables: Any, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        tables = tables[int(part) if isinstance(tables, list) else part]
    tables[path[-1]] = value
