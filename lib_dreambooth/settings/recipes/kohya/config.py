"""kohya's --config_file: one level of tables, whose names mean nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lib_dreambooth.settings.recipes.here import base_name
from lib_dreambooth.settings.recipes.kohya.dataset_file import settle_named_dataset
from lib_dreambooth.settings.recipes.kohya.differences import ignored_by_script, note_differences
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SCRIPT_NAMES, SDXL, WHOLE, WORDS, guess_script
from lib_dreambooth.settings.recipes.kohya.silence import fill_silence
from lib_dreambooth.settings.recipes.kohya.table import KOHYA, more_rules
from lib_dreambooth.settings.recipes.rules import Tool, apply
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import Unreadable, pairs

SCRIPTS = Tool("kohya's scripts", KOHYA, more_rules)
# Options that are lists of name=value.
LISTS = ("optimizer_args", "network_args", "lr_scheduler_args")
TRAINS = {LORA: "a network", WHOLE: "a whole model", SDXL: "a whole SDXL model", WORDS: "new words"}


def flat_entries(data: Mapping[str, Any]) -> Iterator[Entry]:
    """The keys of a config file, sections opened."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            for inner, part in value.items():
                yield from option_entries(f"{name}.{inner}", inner, part)
        else:
            yield from option_entries(name, name, value)


def option_entries(key: str, name: str, value: Any) -> Iterator[Entry]:
    """One option; lists of name=value are taken apart, so that each name has a line of its own."""
    if name not in LISTS or value in (None, "", [], {}):
        yield Entry(key, name, value)
        return
    try:
        found = pairs(value)
    except Unreadable:
        yield Entry(key, name, value)
        return
    seen: set[str] = set()
    for number, (inner, part) in enumerate(found):
        # A name may stand there twice, and each needs a line.
        label = inner if inner and inner not in seen else f"{inner or 'item'} {number + 1}"
        seen.add(inner)
        yield Entry(f"{key}[{label}]", f"{name}.{inner}" if inner else "", part)


def import_config(sheet: Sheet, data: Mapping[str, Any], other: Callable[[str], Any]) -> str:
    """Writes a config onto the sheet; returns what it was read as. `other` reads the file it names."""
    sheet.add(flat_entries(data))
    named = sheet.get("dataset_config")
    dataset = other(named) if isinstance(named, str) else None
    if dataset is not None:
        sheet.script, _ = guess_script(sheet)
        settle_named_dataset(sheet, dataset, base_name(named))
    return settle_kohya(sheet, "kohya config file")


def settle_kohya(sheet: Sheet, what: str, script: str = "") -> str:
    """Settles keys that have kohya's names, fills the silence and notes the differences."""
    sign = ""
    if not script:
        sheet.script, sign = guess_script(sheet)
    apply(sheet, SCRIPTS, ignored_by_script)
    finish_kohya(sheet)
    trains = TRAINS[sheet.script]
    if script:
        return f"{what} ({script}): {trains}"
    return f"{what} for {SCRIPT_NAMES[sheet.script]} ({sign}): {trains}"


def finish_kohya(sheet: Sheet) -> None:
    """What follows once all keys are settled."""
    fill_silence(sheet)
    note_differences(sheet)
