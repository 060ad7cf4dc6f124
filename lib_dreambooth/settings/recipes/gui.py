"""The JSON that the kohya_ss GUI saves: every widget of a tab, most under kohya's own names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.settings.recipes.command_line import options_of
from lib_dreambooth.settings.recipes.gui_names import NETWORK_KEYS, NETWORK_TYPES, RENAMES
from lib_dreambooth.settings.recipes.gui_table import GUI_TABLE, OF_OTHER_TYPE, length_key, steps_are_hidden
from lib_dreambooth.settings.recipes.kohya.config import LISTS, finish_kohya, option_entries
from lib_dreambooth.settings.recipes.kohya.differences import ignored_by_script
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SCRIPT_NAMES, SDXL, WHOLE, WORDS
from lib_dreambooth.settings.recipes.kohya.table import KOHYA, more_rules
from lib_dreambooth.settings.recipes.rules import Tool, apply
from lib_dreambooth.settings.recipes.sheet import Entry, Gap, Sheet, is_empty

GUI = Tool("the kohya_ss GUI", {**KOHYA, **GUI_TABLE}, more_rules)


@dataclass(frozen=True)
class Zero:
    """A zero that someone may have meant, with what the script does when the GUI leaves it out."""

    setting: str
    run: Any
    meant: Any


# Where 0 is something else than leaving the option out. All other zeros mean "not given" in the GUI's forms.
MEANT_ZEROS = {
    "max_grad_norm": Zero("optimizer.max_grad_norm", 1.0, 0.0),
    "prior_loss_weight": Zero("class_pictures.weight", 1.0, 0.0),
    "multires_noise_discount": Zero("noise.pyramid_discount", 0.3, 0.0),
    "network_alpha": Zero("network.alpha", 1.0, 0.0),
    "learning_rate_te": Zero("parts.text_encoder_1.train", True, False),
    "learning_rate_te1": Zero("parts.text_encoder_1.train", True, False),
    "learning_rate_te2": Zero("parts.text_encoder_2.train", True, False),
}
# The GUI makes switches of these zeros before it drops them.
KEPT_ZEROS = ("unet_lr", "text_encoder_lr")


def import_gui(sheet: Sheet, data: Mapping[str, Any]) -> str:
    """Writes a GUI file onto the sheet; returns what it was read as."""
    sheet.script, why = script_of(data)
    assume(sheet, data)
    sheet.add(entry for key, value in data.items() for entry in entries_of(str(key), value, data))
    sheet.assumed["gui.hidden_steps"] = steps_are_hidden(sheet)
    sheet.assumed["gui.length"] = length_key(sheet)
    decided = {"epoch": "max_train_epochs", "max_train_steps": "max_train_steps"}.get(length_key(sheet))
    if decided:
        sheet.assumed[decided] = sheet.number(
            "gui.epoch" if decided == "max_train_epochs" else "gui.max_train_steps"
        )
    for entry in list(sheet.entries.values()):
        settle_zero(sheet, entry)
    zeros = dict(sheet.values)
    apply(sheet, GUI, ignored_by_script)
    # A zero says more than the switch for both text encoders, whatever their order in the file.
    sheet.values.update(zeros)
    if is_empty(data.get("lr_scheduler_num_cycles")) and sheet.number("gui.epoch"):
        sheet.fill(
            "lr_scheduler_num_cycles, as epoch", "rates.restarts", max(1, int(sheet.number("gui.epoch") or 1))
        )
    finish_kohya(sheet)
    return f"kohya_ss GUI file for {SCRIPT_NAMES[sheet.script]} ({why})"


def script_of(data: Mapping[str, Any]) -> tuple[str, str]:
    """The tab that a file was saved from."""
    if "LoRA_type" in data or "network_dim" in data:
        return LORA, "it names a network"
    if "token_string" in data:
        return WORDS, "it names a new word"
    if data.get("sdxl") is True or data.get("sdxl_checkbox") is True:
        return SDXL, "sdxl is ticked"
    return WHOLE, "it names no network"


def assume(sheet: Sheet, data: Mapping[str, Any]) -> None:
    """What several rules want to know."""
    kind = NETWORK_TYPES.get(str(data.get("LoRA_type", "Standard")))
    if kind is not None and sheet.script == LORA:
        sheet.assumed["network_module"] = kind.module
        sheet.assumed["network_args.algo"] = kind.algorithm
    if not is_empty(data.get("LyCORIS_preset")):
        sheet.assumed["network_args.preset"] = data["LyCORIS_preset"]


def entries_of(key: str, value: Any, data: Mapping[str, Any]) -> Iterator[Entry]:
    """One widget under kohya's name."""
    if key == "additional_parameters" and isinstance(value, str) and value.strip():
        for flag, (name, part) in enumerate(options_of(value)):
            yield from option_entries(f"{key}[--{name or flag}]", name, part)
        return
    name = RENAMES.get(key, key)
    if key in NETWORK_KEYS:
        kind = NETWORK_TYPES.get(str(data.get("LoRA_type", "Standard")))
        used = kind is None or key in kind.keys
        name = f"network_args.{RENAMES.get(key, key)}" if used else f"{OF_OTHER_TYPE}{key}"
    if dropped(key, value):
        yield Entry(key, name, None, value)
    elif name in LISTS:
        yield from option_entries(key, name, value)
    else:
        yield Entry(key, name, value)


def dropped(key: str, value: Any) -> bool:
    """Whether the GUI leaves a value out: empty ones, switches that are off, and every zero."""
    is_zero = value == 0 and isinstance(value, (int, float))
    return is_empty(value) or (is_zero and key not in KEPT_ZEROS)


def settle_zero(sheet: Sheet, entry: Entry) -> None:
    """A zero that was dropped although someone may have meant it."""
    zero = MEANT_ZEROS.get(entry.key)
    is_number = isinstance(entry.written, (int, float)) and not isinstance(entry.written, bool)
    if zero is None or not is_number or entry.written != 0:
        return
    if sheet.as_run:
        says = "the GUI leaves zeros out, so the script took its own default."
        sheet.differ(entry, {zero.setting: zero.run}, says)
    else:
        sheet.honour(entry, {zero.setting: zero.meant})
    sheet.gap(
        Gap(
            f"{entry.key} = 0",
            "the GUI leaves zeros out, so the script takes its own default.",
            "0.",
            {zero.setting: zero.run},
            {zero.setting: zero.meant},
        )
    )
