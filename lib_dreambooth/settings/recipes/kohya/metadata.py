"""What a LoRA file of kohya's scripts says about its own training, and its settings from that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lib_dreambooth.settings.recipes.kohya.config import SCRIPTS, finish_kohya, option_entries
from lib_dreambooth.settings.recipes.kohya.datasets import class_concept
from lib_dreambooth.settings.recipes.kohya.differences import ignored_by_script
from lib_dreambooth.settings.recipes.kohya.metadata_datasets import facts_in, json_list, subsets_of
from lib_dreambooth.settings.recipes.kohya.scripts import LORA
from lib_dreambooth.settings.recipes.kohya.subsets import settle_subsets
from lib_dreambooth.settings.recipes.rules import Rule, Table, Tool, apply, file_at, unused, unused_all
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import number, whole

PREFIX = "ss_"
UNRECORDED = frozenset(
    (
        "saving.every",
        "saving.precision",
        "previews.every",
        "previews.at_start",
        "previews.at_end",
        "captions.files",
        "pictures.masks",
    )
)
RENAMES = {
    "batch_size_per_device": "train_batch_size",
    "debiased_estimation": "debiased_estimation_loss",
    "sd_model_name": "meta.sd_model_name",
    "vae_name": "vae",
    "num_epochs": "meta.num_epochs",
    "max_train_steps": "meta.max_train_steps",
    "dataset_dirs": "meta.dataset_dirs",
    "reg_dataset_dirs": "meta.reg_dataset_dirs",
    "base_model_version": "meta.base_model_version",
}
HASHES = {
    "ss_new_sd_model_hash": "base_hash",
    "ss_sd_model_hash": "base_old_hash",
    "ss_new_vae_hash": "vae_hash",
    "ss_vae_hash": "vae_old_hash",
}
HAPPENED = "it tells what happened in that run."
COUNTED = "it follows from the pictures."
FAMILIES = {"sd_v1": "sd1", "sd_v2": "sd2", "sdxl": "sdxl"}
OPTIMIZER = re.compile(r"(?P<name>[\w.]+)(?:\((?P<arguments>.*)\))?", re.DOTALL)


def family(sheet: Sheet, entry: Entry) -> None:
    """ss_base_model_version: sd_v1, sd_v2_v, sdxl_base_v1-0 and so on."""
    name = str(entry.value)
    found = next((value for start, value in FAMILIES.items() if name.startswith(start)), None)
    if found is None:
        sheet.ask(entry, "models of this kind are not trained here.")
        return
    velocity = {"model.prediction": "velocity"} if name.endswith("_v") else {}
    sheet.honour(entry, {"model.family": found, **velocity})


def hashed(sheet: Sheet, entry: Entry) -> None:
    """A hash helps to find its file."""
    sheet.honour(entry, says="looked for among the files here.")


def opened(sheet: Sheet, entry: Entry) -> None:
    """ss_datasets."""
    sheet.honour(entry, says="its keys have lines of their own.")


def switched(value: Any) -> Any:
    """A switch where the text is one."""
    return {"True": True, "False": False}.get(value, value) if isinstance(value, str) else value


def epochs(sheet: Sheet, entry: Entry) -> None:
    """ss_num_epochs: whole epochs if the steps are those of whole epochs."""
    if counts_by_epochs(sheet):
        SCRIPTS.table["max_train_epochs"](
            sheet, Entry(entry.key, "max_train_epochs", whole(entry.value), entry.value)
        )
    else:
        sheet.unused(entry, "the steps count; the last epoch was not whole.")


def steps(sheet: Sheet, entry: Entry) -> None:
    """ss_max_train_steps."""
    if counts_by_epochs(sheet):
        sheet.unused(entry, "the epochs count, so that another number of pictures is learned as well.")
    else:
        SCRIPTS.table["max_train_steps"](
            sheet, Entry(entry.key, "max_train_steps", number(entry.value), entry.value)
        )


def counts_by_epochs(sheet: Sheet) -> bool:
    """Whether the steps are those of whole epochs."""
    of_epoch, epochs_, steps_ = (
        sheet.number(name)
        for name in ("meta.num_batches_per_epoch", "meta.num_epochs", "meta.max_train_steps")
    )
    if not of_epoch or not epochs_ or not steps_:
        return bool(epochs_)
    accumulation = sheet.number("gradient_accumulation_steps") or 1
    return steps_ == epochs_ * -(-of_epoch // accumulation)


def folders(role: str) -> Rule:
    """ss_dataset_dirs: names of folders, whose places are not told."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        table = json_table(entry.value)
        first = sum(1 for path in sheet.values if re.fullmatch(r"concepts\.\d+\.folder", path))
        sets: dict[str, Any] = {}
        told = []
        for place, (name, facts) in enumerate(table.items()):
            here = f"concepts.{first + place}"
            repeats = facts.get("n_repeats") if isinstance(facts, Mapping) else None
            numbered = re.match(r"(\d+)_", name)
            sets[f"{here}.folder"] = name
            if not numbered and isinstance(repeats, int) and repeats > 0:
                sets |= {f"{here}.subfolders": "ignore", f"{here}.repeats": repeats}
            if role == "class":
                sets |= class_concept(first + place)
            pictures = facts.get("img_count") if isinstance(facts, Mapping) else None
            told.append(f"{name} ({pictures} pictures, {repeats} repeats)")
        if not sets:
            sheet.honour(entry)
        else:
            sheet.ask(entry, f"folders of these names: {', '.join(told)}. Choose where they are.", sets)

    return rule


def json_table(value: Any) -> Mapping[str, Any]:
    """A table written as JSON inside a text; nothing where it is none."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def facts(names: str, why: str) -> dict[str, Rule]:
    """Several keys without a counterpart."""
    return {f"meta.{name}": rule for name, rule in unused_all(names, why).items()}


METADATA_TABLE: Table = {
    **SCRIPTS.table,
    "meta.base_model_version": family,
    "meta.sd_model_name": file_at("model.base", "checkpoint", "base_hash", "base_old_hash"),
    "meta.num_epochs": epochs,
    "meta.max_train_steps": steps,
    "meta.dataset_dirs": folders("train"),
    "meta.reg_dataset_dirs": folders("class"),
    "meta.datasets": opened,
    "meta.dataset_dirs with datasets": unused("ss_datasets says the same and more."),
    "meta.reg_dataset_dirs with datasets": unused("ss_datasets says the same and more."),
    "base_hash": hashed,
    "base_old_hash": hashed,
    "vae_hash": hashed,
    "vae_old_hash": hashed,
    **facts(
        "session_id training_started_at training_finished_at steps epoch sd_scripts_commit_hash", HAPPENED
    ),
    **facts(
        "num_train_images num_validation_images num_reg_images num_batches_per_epoch tag_frequency"
        " bucket_info total_batch_size",
        COUNTED,
    ),
}


def more_rules(name: str) -> Rule | None:
    """Keys of the file itself, and counts inside ss_datasets."""
    if name.startswith("other."):
        return unused("it describes that file, not how to train another.")
    if name.startswith("fact."):
        return unused(COUNTED)
    return SCRIPTS.more(name)


METADATA = Tool("this kind of file", METADATA_TABLE, more_rules)
OF_RUN = frozenset(name.removeprefix("meta.") for name in METADATA_TABLE if name.startswith("meta."))


def import_metadata(sheet: Sheet, data: Mapping[str, Any]) -> str:
    """Writes a file's metadata onto the sheet; returns what it was read as."""
    sheet.script = LORA
    sheet.unrecorded = UNRECORDED
    told = {str(key): switched(data[key]) for key in sorted(data, key=str)}
    sheet.add(entry for key, value in told.items() for entry in entries_of(key, value, told))
    datasets = json_list(told.get("ss_datasets"))
    if datasets:
        sheet.add(facts_in(datasets))
        settle_subsets(sheet, list(subsets_of(datasets)))
    if counts_by_epochs(sheet):
        sheet.assumed["max_train_epochs"] = sheet.get("meta.num_epochs")
    else:
        sheet.assumed["max_train_steps"] = sheet.get("meta.max_train_steps")
    apply(sheet, METADATA, ignored_by_script)
    finish_kohya(sheet)
    return "metadata of a LoRA file of kohya's scripts"


def entries_of(key: str, value: Any, data: Mapping[str, Any]) -> Iterator[Entry]:
    """One key under kohya's name."""
    if not key.startswith(PREFIX):
        yield Entry(key, f"other.{key}", value)
        return
    bare = key.removeprefix(PREFIX)
    if key in HASHES:
        yield Entry(key, HASHES[key], value)
    elif key == "ss_network_args":
        yield from option_entries(key, "network_args", dict(json_table(value)) or None)
    elif key == "ss_optimizer":
        yield from optimizer_entries(key, value)
    elif key == "ss_datasets":
        yield Entry(key, "meta.datasets", value)
    elif key in ("ss_dataset_dirs", "ss_reg_dataset_dirs") and json_list(data.get("ss_datasets")):
        yield Entry(key, f"meta.{bare} with datasets", value)
    elif bare in RENAMES or bare not in OF_RUN:
        yield Entry(key, RENAMES.get(bare, bare), value)
    else:
        yield Entry(key, f"meta.{bare}", value)


def optimizer_entries(key: str, value: Any) -> Iterator[Entry]:
    """A class with its arguments: "torch.optim.adamw.AdamW(weight_decay=0.1,betas=(0.9, 0.99))"."""
    match = OPTIMIZER.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        yield Entry(key, "optimizer_type", value)
        return
    yield Entry(key, "optimizer_type", match["name"], value)
    for argument in split_arguments(match["arguments"] or ""):
        name, equals, part = argument.partition("=")
        if equals:
            yield Entry(f"{key}[{name.strip()}]", f"optimizer_args.{name.strip()}", part.strip())


def split_arguments(text: str) -> list[str]:
    """Arguments at the commas outside brackets."""
    found, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += letter in "([{"
        depth -= letter in ")]}"
        if letter == "," and depth == 0:
            found.append(text[start:place])
            start = place + 1
    return [part for part in (*found, text[start:]) if part.strip()]
