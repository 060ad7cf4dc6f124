"""The JSON of the old LoRA_Easy_Training_Scripts, which asked in dialogs: a flat dump of its answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lib_dreambooth.settings.recipes.gui_names import RENAMES as GUI_NAMES
from lib_dreambooth.settings.recipes.gui_table import GUI_TABLE
from lib_dreambooth.settings.recipes.kohya.config import finish_kohya, option_entries
from lib_dreambooth.settings.recipes.kohya.differences import ignored_by_script
from lib_dreambooth.settings.recipes.kohya.scripts import LORA
from lib_dreambooth.settings.recipes.kohya.table import KOHYA, more_rules
from lib_dreambooth.settings.recipes.rules import Table, Tool, apply, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet, is_empty

RENAMES = {
    "base_model": "pretrained_model_name_or_path",
    "img_folder": "train_data_dir",
    "reg_img_folder": "reg_data_dir",
    "output_folder": "output_dir",
    "change_output_name": "output_name",
    "train_resolution": "resolution",
    "height_resolution": "popup.height_resolution",
    "buckets": "enable_bucket",
    "min_bucket_resolution": "min_bucket_reso",
    "max_bucket_resolution": "max_bucket_reso",
    "batch_size": "train_batch_size",
    "num_epochs": "max_train_epochs",
    "max_steps": "max_train_steps",
    "max_clip_token_length": "max_token_length",
    "num_workers": "max_data_loader_n_workers",
    "persistent_workers": "persistent_data_loader_workers",
    "test_seed": "seed",
    "gradient_acc_steps": "gradient_accumulation_steps",
    "log_dir": "logging_dir",
    "scheduler": "lr_scheduler",
    "cosine_restarts": "lr_scheduler_num_cycles",
    "scheduler_power": "lr_scheduler_power",
    "warmup_lr_ratio": "popup.warmup_lr_ratio",
    "no_meta": "no_metadata",
    "save_as": "save_model_as",
    "lora_model_for_resume": "network_weights",
    "net_dim": "network_dim",
    "alpha": "network_alpha",
    "unet_only": "network_train_unet_only",
    "text_only": "network_train_text_encoder_only",
    "shuffle_captions": "shuffle_caption",
    "use_lion": "use_lion_optimizer",
    "weight_decay": "optimizer_args.weight_decay",
    "betas": "optimizer_args.betas",
    "locon": "popup.locon",
    "locon_dim": "network_args.conv_dim",
    "locon_alpha": "network_args.conv_alpha",
    "comment": "training_comment",
}
# Fixed in its program, and not asked: option, setting, value.
DEFAULTS = (
    ("test_seed", "draws.seed", 23),
    ("buckets", "pictures.buckets", True),
    ("min_bucket_resolution", "pictures.bucket_min", 320),
    ("max_bucket_resolution", "pictures.bucket_max", 960),
    ("caption_extension", "captions.files", [".txt"]),
    ("max_clip_token_length", "captions.max_tokens", 150),
)
FORM = "it only says how the dialogs were answered."
TAG_FILE = "tags and their counts are shown by the command dataset and written into the file."


def height(sheet: Sheet, entry: Entry) -> None:
    """height_resolution belongs to train_resolution."""
    sheet.honour(entry, says="see train_resolution.")


def warm_up(sheet: Sheet, entry: Entry) -> None:
    """warmup_lr_ratio: always a share of the run."""
    share = KOHYA["lr_warmup_steps"]
    # 1 is the whole run there, not one step.
    share(
        sheet,
        Entry(
            entry.key,
            "lr_warmup_steps",
            f"{entry.value * 100:.10g}%" if is_number(entry.value) else entry.value,
            entry.value,
        ),
    )


def is_number(value: Any) -> bool:
    """Whether a value is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def locon(sheet: Sheet, entry: Entry) -> None:
    """locon: convolutions too, with locon_dim and locon_alpha."""
    sheet.honour(entry, says="" if entry.value is False else "see locon_dim.")


POPUP_TABLE: Table = {
    "popup.height_resolution": height,
    "popup.warmup_lr_ratio": warm_up,
    "popup.locon": locon,
    "tag_occurrence_txt_file": unused(TAG_FILE),
    "sort_tag_occurrence_alphabetically": unused(TAG_FILE),
    "load_json_path": unused(FORM),
    "save_json_folder": unused(FORM),
    "save_json_name": unused(FORM),
    "save_json_only": unused(FORM),
    "multi_run_folder": unused("variants are queued here, each with settings of its own."),
    "json_load_skip_list": unused(FORM),
}
POPUP = Tool("the old LoRA Easy Training Scripts", {**KOHYA, **GUI_TABLE, **POPUP_TABLE}, more_rules)


def import_popup(sheet: Sheet, data: Mapping[str, Any]) -> str:
    """Writes a file onto the sheet; returns what it was read as."""
    sheet.script = LORA
    lycoris = data.get("lyco") is True or "algo" in (data.get("network_args") or {})
    sheet.assumed["network_module"] = "lycoris.kohya" if lycoris else "networks.lora"
    sheet.add(entry for key, value in data.items() for entry in entries_of(str(key), value, data))
    apply(sheet, POPUP, ignored_by_script)
    for option, path, value in DEFAULTS:
        sheet.fill(option, path, value)
    finish_kohya(sheet)
    return "old LoRA Easy Training Scripts file (dialogs)"


def entries_of(key: str, value: Any, data: Mapping[str, Any]) -> Iterator[Entry]:
    """One answer under kohya's name; the names of the kohya_ss GUI are read too, as its program did."""
    name = RENAMES.get(key) or (key if key in KOHYA else GUI_NAMES.get(key, key))
    if name == "resolution" and not is_empty(data.get("height_resolution")):
        yield Entry(key, name, [value, data["height_resolution"]], value)
    elif name == "lyco":
        yield Entry(key, "popup.locon", value)
    else:
        yield from option_entries(key, name, value)
