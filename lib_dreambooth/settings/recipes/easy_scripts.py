"""LoRA_Easy_Training_Scripts: groups of arguments for kohya's scripts, and a list of subsets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lib_dreambooth.settings.recipes.kohya.config import finish_kohya, option_entries
from lib_dreambooth.settings.recipes.kohya.differences import ignored_by_script
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SCRIPT_NAMES, WORDS
from lib_dreambooth.settings.recipes.kohya.subsets import Subset, config_level, level, settle_subsets
from lib_dreambooth.settings.recipes.kohya.table import KOHYA, more_rules
from lib_dreambooth.settings.recipes.rules import Table, Tool, apply, flag_on, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import Unreadable, number, switch, text

RENAMES = {"warmup_ratio": "easy.warmup_ratio", "batch_size": "train_batch_size", "fa": "easy.fa"}
SUBSET_RENAMES = {"masked_dir": "conditioning_data_dir", "caption_extention": "caption_extension"}


def warm_up(sheet: Sheet, entry: Entry) -> None:
    """warmup_ratio: a share of the run."""
    share = number(entry.value)
    if not 0 <= share <= 1:
        raise Unreadable("is no share between 0 and 1.")
    sheet.honour(entry, {"rates.warmup": f"{share * 100:.10g} %"})


def half_frozen(sheet: Sheet, entry: Entry) -> None:
    """fa: LoRA-FA."""
    if switch(entry.value):
        sheet.differ(
            entry, {}, "the first half of each layer stays as drawn there; here both halves are trained."
        )
    else:
        sheet.honour(entry)


def mode(sheet: Sheet, entry: Entry) -> None:
    """train_mode."""
    if text(entry.value).strip().lower() in ("lora", "textual_inversion"):
        sheet.honour(entry)
    else:
        sheet.ask(entry, "there is no such mode here; a LoRA is trained.")


EASY_TABLE: Table = {
    "easy.warmup_ratio": warm_up,
    "easy.fa": half_frozen,
    "easy.train_mode": mode,
    "sdxl": flag_on("model.family", "sdxl"),
    "tag_occurrence": unused(
        "tags and their counts are shown by the command dataset and written into the file."
    ),
    "save_toml": unused("the settings of a run are always kept beside it."),
    "save_toml_location": unused("the settings of a run are always kept beside it."),
    "remove_original": unused("originals are only read."),
}
EASY = Tool("LoRA Easy Training Scripts", {**KOHYA, **EASY_TABLE}, more_rules)


def import_easy(sheet: Sheet, data: Mapping[str, Any]) -> str:
    """Writes a file onto the sheet; returns what it was read as."""
    plain = {key: value for key, value in data.items() if key != "subsets"}
    sheet.add(entry for key, value in plain.items() for entry in group_entries(str(key), value))
    wanted = str(sheet.get("easy.train_mode", "lora")).strip().lower()
    sheet.script = WORDS if wanted == "textual_inversion" else LORA
    if sheet.script == LORA and not sheet.given("network_module"):
        lycoris = sheet.given("network_args.algo")
        sheet.assumed["network_module"] = "lycoris.kohya" if lycoris else "networks.lora"
    settle_folders(sheet, data.get("subsets", []))
    apply(sheet, EASY, ignored_by_script)
    if sheet.given("network_args.algo"):
        sheet.fill("network_args.algo", "network.kind", "lora")
    finish_kohya(sheet)
    model = " (sdxl)" if sheet.is_on("sdxl") else ""
    return f"LoRA Easy Training Scripts file for {SCRIPT_NAMES[sheet.script]}{model}"


def group_entries(key: str, value: Any) -> Iterator[Entry]:
    """The arguments of a group: [network_args.args] and [network_args.dataset_args]."""
    if not isinstance(value, Mapping):
        yield Entry(key, RENAMES.get(key, key), value)
        return
    for inner, part in value.items():
        here = f"{key}.{inner}"
        if key == "train_mode":
            yield Entry(here, f"easy.{inner}", part)
        elif isinstance(part, Mapping) and inner in ("args", "dataset_args"):
            for name, found in part.items():
                yield from option_entries(f"{here}.{name}", RENAMES.get(str(name), str(name)), found)
        else:
            yield from option_entries(here, RENAMES.get(str(inner), str(inner)), part)


def settle_folders(sheet: Sheet, subsets: Any) -> None:
    """The list of subsets, which inherit the groups' dataset arguments."""
    tables = (
        [subset for subset in subsets if isinstance(subset, Mapping)] if isinstance(subsets, list) else []
    )
    groups = config_level(entry for entry in sheet.entries.values() if ".dataset_args." in entry.key)
    found = [
        Subset(place, (level(subset, f"subsets[{place}].", SUBSET_RENAMES), groups))
        for place, subset in enumerate(tables)
    ]
    if found:
        settle_subsets(sheet, found)
