"""kohya's options for the base model, the console and uploading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib_dreambooth.settings.convert import number_shown
from lib_dreambooth.settings.recipes.here import find
from lib_dreambooth.settings.recipes.rules import Table, file_at, flag_on, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import Unreadable, numbers

OWN_LOG = "the log is this program's own."
NO_UPLOAD = "nothing is uploaded from here."


def merged(sheet: Sheet, entry: Entry) -> None:
    """LoRA files that are added to the base first, with their weights."""
    names = paths_of(entry.value)
    try:
        weights = numbers(sheet.get("base_weights_multiplier", []))
    except Unreadable:
        weights = []
    found, absent = [], []
    for number, name in enumerate(names):
        match = find(sheet.here, "lora", name)
        weight = weights[number] if number < len(weights) else 1.0
        found.append(f"{match.path or name}:{number_shown(weight)}")
        absent += [] if match.path else [name]
    if absent:
        sheet.ask(
            entry, f"not on this machine: {', '.join(absent)}. Choose model.merge.", {"model.merge": found}
        )
    else:
        sheet.honour(entry, {"model.merge": found})


def multipliers(sheet: Sheet, entry: Entry) -> None:
    """The weights of those files."""
    numbers(entry.value)
    if sheet.given("base_weights"):
        sheet.honour(entry, says="put behind the files in model.merge.")
    else:
        sheet.unused(entry, "no files are named that it could belong to.")


def paths_of(value: Any) -> list[str]:
    """One or several paths."""
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise Unreadable("is not a list of files.")
    return [part for part in parts if part.strip()]


MODEL: Table = {
    "v2": flag_on("model.family", "sd2"),
    "v_parameterization": flag_on("model.prediction", "velocity"),
    "pretrained_model_name_or_path": file_at("model.base", "checkpoint", "base_hash", "base_old_hash"),
    "tokenizer_cache_dir": unused("the tokenizers are part of this program."),
    "vae": file_at("model.vae", "vae", "vae_hash", "vae_old_hash"),
    "no_half_vae": flag_on("precision.vae", "fp32"),
    "disable_mmap_load_safetensors": unused("how files are read changes nothing about the result."),
    "lowram": unused("how models get onto the card is decided by its memory; the result is the same."),
    "highvram": unused("memory is given back when it is needed; the result is the same."),
    "base_weights": merged,
    "base_weights_multiplier": multipliers,
    "console_log_level": unused(OWN_LOG),
    "console_log_file": unused(OWN_LOG),
    "console_log_simple": unused(OWN_LOG),
    "config_file": unused("the settings are in this file."),
    "output_config": unused("import writes the settings file."),
    "huggingface_repo_id": unused(NO_UPLOAD),
    "huggingface_repo_type": unused(NO_UPLOAD),
    "huggingface_path_in_repo": unused(NO_UPLOAD),
    "huggingface_token": unused(NO_UPLOAD),
    "huggingface_repo_visibility": unused(NO_UPLOAD),
    "save_state_to_huggingface": unused(NO_UPLOAD),
    "resume_from_huggingface": unused(NO_UPLOAD),
    "async_upload": unused(NO_UPLOAD),
}
