"""The command line of a diffusers training script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lib_dreambooth.settings.recipes.command_line import Command
from lib_dreambooth.settings.recipes.diffusers_scripts import SILENCE, Script, script_of
from lib_dreambooth.settings.recipes.diffusers_table import DIFFUSERS, launch_rule
from lib_dreambooth.settings.recipes.rules import Tool, apply
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet

SHORT_NAMES: Mapping[str, str] = {"num_new_tokens_per_abstraction": "num_vectors"}


def import_diffusers(sheet: Sheet, command: Command) -> str:
    """Writes a command onto the sheet; returns what it was read as."""
    script = script_of(command.script)
    sheet.assumed["script"] = script
    sheet.add(entries_of(command))
    apply(sheet, Tool("diffusers' scripts", DIFFUSERS, launch_rule))
    fill_silence(sheet, script)
    return f"command line of diffusers' {command.script}"


def entries_of(command: Command) -> Iterator[Entry]:
    """One entry for each option, the launcher's first; the script takes its precision from there."""
    for name, value in command.launch:
        counts = name == "mixed_precision" and all(known != name for known, _ in command.options)
        yield Entry(f"launch --{name}", name if counts else f"launch.{name}", joined(value))
    for place, (name, value) in enumerate(command.options):
        yield Entry(
            f"--{name}" if name else f"argument {place + 1}", SHORT_NAMES.get(name, name), joined(value)
        )


def joined(value: Any) -> Any:
    """Several words after an option are a text with spaces where the script takes one value."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " ".join(value)
    return value


def fill_silence(sheet: Sheet, script: Script) -> None:
    """What the script does where the command says nothing."""
    for name, path, value in (*script.silence, *SILENCE):
        sheet.fill(name, path, value)
    constant = str(sheet.get("lr_scheduler", "constant")).lower() == "constant"
    sheet.fill("lr_warmup_steps", "rates.warmup", "0 steps" if constant else "500 steps")
    if script.is_network:
        sheet.put("network.kind", "lora")
        sheet.fill("layers of its LoRA", "network.targets", "attention")
        # Its networks are scaled by 1 unless an alpha is given: alpha is the rank.
        sheet.fill("lora_alpha", "network.alpha", 0.0)
    elif not script.words:
        sheet.put("network.kind", "none")
    sheet.put("parts.unet.train", not script.words)
    if script.words:
        sheet.put("parts.words.train", True)
        sheet.fill("learning_rate for words", "parts.words.rate", 0.0)
    with_text = sheet.is_on("train_text_encoder") and not script.words
    sheet.put("parts.text_encoder_1.train", with_text)
    sheet.put("parts.text_encoder_2.train", with_text and script.family == "sdxl")
    for part in ("unet", "text_encoder_1", "text_encoder_2"):
        if sheet.values.get(f"parts.{part}.train"):
            sheet.fill("learning_rate for every part", f"parts.{part}.rate", 0.0)
    if sheet.is_on("scale_lr"):
        sheet.put("rates.scale", True)
