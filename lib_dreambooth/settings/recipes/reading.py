"""A recipe of another tool as a run of this program, with a report on every key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.settings.recipes.command_line import Command, command_of, is_command
from lib_dreambooth.settings.recipes.detect import Kind, kind_of, unknown
from lib_dreambooth.settings.recipes.diffusers_command import import_diffusers
from lib_dreambooth.settings.recipes.easy_scripts import import_easy
from lib_dreambooth.settings.recipes.extension.config import import_concepts, import_extension
from lib_dreambooth.settings.recipes.finish import Imported, finished
from lib_dreambooth.settings.recipes.gui import import_gui
from lib_dreambooth.settings.recipes.here import Here
from lib_dreambooth.settings.recipes.kohya.command import import_kohya_command, is_kohya_script
from lib_dreambooth.settings.recipes.kohya.config import import_config
from lib_dreambooth.settings.recipes.kohya.dataset_file import import_dataset
from lib_dreambooth.settings.recipes.kohya.metadata import import_metadata
from lib_dreambooth.settings.recipes.popup import import_popup
from lib_dreambooth.settings.recipes.sheet import Sheet
from lib_dreambooth.settings.recipes.texts import Legacy, decoded, json_value, toml_tables

NOTHING_HERE = Here()
# Reads another file that the recipe names; None where it is not found.
Beside = Callable[[str], bytes | None]


def alone(path: str) -> None:
    """No other file is looked for."""


def read_recipe(
    data: bytes,
    name: str,
    *,
    as_run: bool = False,
    here: Here = NOTHING_HERE,
    legacy: Legacy | None = None,
    beside: Beside = alone,
) -> Imported:
    """The run that a recipe file describes.

    `as_run` repeats what its tool did where that differs from what its options say. Raises FileError for what
    is no recipe and SettingsError for a dataset file that kohya's own strict check refuses.
    """
    text = decoded(data, name, legacy)
    sheet = Sheet(as_run, here)
    command = command_of(text) if is_command(text) and not text.lstrip().startswith("{") else None
    if command is not None:
        return finished(sheet, name, import_command(sheet, command, name))
    content, doubled, is_json = content_of(text, name)
    for key in doubled:
        sheet.notes.append(f"{key} stands there twice; the last one counts.")

    def other(path: str) -> Any:
        return content_beside(path, beside, legacy)

    return finished(sheet, name, import_content(sheet, content, name, is_json, other))


def read_metadata(
    metadata: Mapping[str, str], name: str, *, as_run: bool = False, here: Here = NOTHING_HERE
) -> Imported:
    """The run that a LoRA file's own metadata describes; raises FileError where it says nothing."""
    if not any(key.startswith("ss_") for key in metadata):
        raise FileError(
            "the file says nothing about how it was trained.",
            where=name,
            todo="Import the config it was trained with, if you have it.",
            code="no-metadata",
        )
    sheet = Sheet(as_run, here)
    return finished(sheet, name, import_metadata(sheet, metadata))


def import_command(sheet: Sheet, command: Command, name: str) -> str:
    """A command line of kohya's or diffusers' scripts."""
    if is_kohya_script(command.script):
        return import_kohya_command(sheet, command)
    if command.script.startswith(("train_dreambooth", "train_text_to_image", "textual_inversion")):
        return import_diffusers(sheet, command)
    raise unknown(name)


def content_of(text: str, name: str) -> tuple[Any, list[str], bool]:
    """What a text holds, names that stand there twice, and whether it is JSON rather than TOML."""
    if not text.strip():
        raise FileError("the file is empty.", where=name, todo="Choose another.", code="empty")
    first = text.lstrip()[0]
    if first == "{":
        return *json_value(text, name), True
    if first == "[":
        # A list of concepts, or TOML that begins with a section.
        try:
            return *json_value(text, name), True
        except FileError as error:
            if error.code == "too-deep":
                raise
    return toml_tables(text, name), [], False


def content_beside(path: str, beside: Beside, legacy: Legacy | None) -> Any:
    """What another file holds that a recipe names; None where it is not found."""
    data = beside(path)
    return None if data is None else content_of(decoded(data, path, legacy), path)[0]


def import_content(sheet: Sheet, content: Any, name: str, is_json: bool, other: Callable[[str], Any]) -> str:
    """Writes parsed content onto the sheet, by the tool it is from."""
    kind = kind_of(content, name, is_json)
    if kind is Kind.CONCEPTS:
        return import_concepts(sheet, content)
    if kind is Kind.DATASET:
        return import_dataset(sheet, content, name)
    if kind is Kind.METADATA:
        return import_metadata(sheet, content.get("__metadata__") or content)
    if kind is Kind.CONFIG:
        return import_config(sheet, content, other)
    if kind is Kind.EXTENSION:
        path = content.get("concepts_path")
        wanted = content.get("use_concepts") is True and isinstance(path, str) and path
        return import_extension(sheet, content, other(path) if wanted else None)
    importers = {Kind.GUI: import_gui, Kind.EASY: import_easy, Kind.POPUP: import_popup}
    return importers[kind](sheet, content)
