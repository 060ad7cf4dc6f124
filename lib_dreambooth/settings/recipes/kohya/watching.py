"""kohya's options for previews, validation and curves."""

from __future__ import annotations

from lib_dreambooth.settings.recipes.rules import Table, file_at, flag, to, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import loose_text, number, text, whole

# Its samplers, with the one here that takes the same steps or comes nearest.
SAMPLERS = {
    "ddim": "ddim",
    "euler": "euler",
    "k_euler": "euler",
    "euler_a": "euler a",
    "k_euler_a": "euler a",
    "dpmsolver++": "dpm++ 2m karras",
    "dpmsolver": "dpm++ 2m karras",
}
NEAREST_SAMPLER = "dpm++ 2m karras"
PROJECT = "network_train"


def sampler(sheet: Sheet, entry: Entry) -> None:
    """sample_sampler."""
    name = text(entry.value).strip().lower()
    if name in ("ddim", "euler", "k_euler", "euler_a", "k_euler_a"):
        sheet.honour(entry, {"previews.sampler": SAMPLERS[name]})
    else:
        sheet.differ(
            entry,
            {"previews.sampler": SAMPLERS.get(name, NEAREST_SAMPLER)},
            "the nearest sampler that previews have.",
        )


def preview_epochs(sheet: Sheet, entry: Entry) -> None:
    """Previews every so many epochs."""
    sheet.honour(entry, {"previews.every": cadence(number(entry.value), "epochs")})


def preview_steps(sheet: Sheet, entry: Entry) -> None:
    """Previews every so many steps, where no epochs are given."""
    if (sheet.number("sample_every_n_epochs") or 0) > 0:
        sheet.unused(entry, "sample_every_n_epochs counts.")
    else:
        sheet.honour(entry, {"previews.every": cadence(number(entry.value), "steps")})


def validate_epochs(sheet: Sheet, entry: Entry) -> None:
    """Validation every so many epochs, where no steps are given."""
    if (sheet.number("validate_every_n_steps") or 0) > 0:
        sheet.unused(entry, "validate_every_n_steps counts.")
    else:
        sheet.honour(entry, {"validation.every": cadence(number(entry.value), "epochs")})


def validate_steps(sheet: Sheet, entry: Entry) -> None:
    """Validation every so many steps."""
    sheet.honour(entry, {"validation.every": cadence(number(entry.value), "steps")})


def cadence(value: float, unit: str) -> str:
    """A rhythm; 0 is never."""
    return f"{value:.10g} {unit}" if 0 < value < 1e9 else "never"


def log_kind(sheet: Sheet) -> str:
    """Where curves go."""
    return str(sheet.get("log_with", "tensorboard")).strip().lower()


def log_folder(sheet: Sheet, entry: Entry) -> None:
    """logging_dir, which turns logging on."""
    found = sheet.here.locate(text(entry.value))
    on = log_kind(sheet) in ("tensorboard", "all")
    if found:
        sheet.honour(entry, {"logging.tensorboard": on, "logging.folder": found})
    else:
        sheet.differ(
            entry, {"logging.tensorboard": on}, "there is no such folder here; they go into the model's own."
        )


def log_with(sheet: Sheet, entry: Entry) -> None:
    """log_with: tensorboard, wandb or all."""
    name = text(entry.value).strip().lower()
    sets: dict[str, object] = {}
    if name in ("tensorboard", "all"):
        sets["logging.tensorboard"] = True
    if name in ("wandb", "all"):
        sets["logging.wandb"] = str(sheet.get("log_tracker_name", PROJECT))
    if not sets:
        sheet.ask(entry, "curves can go to tensorboard, wandb or all.")
    else:
        sheet.honour(entry, sets)


def tracker(sheet: Sheet, entry: Entry) -> None:
    """log_tracker_name: the project."""
    name = loose_text(entry.value)
    if log_kind(sheet) in ("wandb", "all"):
        sheet.honour(entry, {"logging.wandb": name})
    else:
        sheet.unused(entry, "only Weights & Biases has projects, and nothing is sent there.")


WATCHING: Table = {
    "validation_split": to("validation.share", number),
    "validation_seed": to("validation.seed", whole),
    "validate_every_n_steps": validate_steps,
    "validate_every_n_epochs": validate_epochs,
    "max_validation_steps": to("validation.most", whole),
    "sample_every_n_steps": preview_steps,
    "sample_every_n_epochs": preview_epochs,
    "sample_at_first": flag("previews.at_start"),
    "sample_prompts": file_at("previews.file", "file"),
    "sample_sampler": sampler,
    "logging_dir": log_folder,
    "log_with": log_with,
    "log_prefix": unused("each run has a folder of its own, named by the model and the time."),
    "log_tracker_name": tracker,
    "log_tracker_config": unused("trackers are set up by their own files here."),
    "wandb_run_name": to("logging.wandb_run", loose_text),
    "wandb_api_key": unused("a key does not belong into a settings file; log in with wandb login once."),
    "log_config": unused("the settings of a run are always kept beside it."),
}
