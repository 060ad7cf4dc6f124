"""kohya's options for names, files, states and metadata."""

from __future__ import annotations

import math

from lib_dreambooth.settings.recipes.kohya.scripts import LORA, WORDS
from lib_dreambooth.settings.recipes.rules import Rule, Table, choice, flag_on, to, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import comma_texts, loose_text, number, switch, text, whole

OTHER_STATE = (
    "states of other programs cannot be gone on from; start from the LoRA file, or from a state made here."
)
SMALL_FILES = ("safetensors", "ckpt", "pt")


def written(sheet: Sheet) -> dict[str, list[str]]:
    """What is written during training and at the end."""
    form = str(sheet.get("save_model_as", "")).lower()
    result = "diffusers" if form.startswith("diffusers") and sheet.script not in (LORA, WORDS) else "result"
    with_states = sheet.is_on("save_state")
    at_end = with_states or sheet.is_on("save_state_on_train_end")
    return {
        "saving.during": [result, "state"] if with_states else [result],
        # A state at the end costs little and makes going on possible, so it is kept where kohya has none.
        "saving.at_end": [result, "state"] if at_end or result == "result" else [result],
    }


def file_form(sheet: Sheet, entry: Entry) -> None:
    """save_model_as: its choices depend on what is trained."""
    form = text(entry.value).strip().lower()
    if sheet.script == WORDS and form in SMALL_FILES:
        sheet.honour(entry, {"saving.embedding_format": "safetensors" if form == "safetensors" else "pt"})
    elif form == "safetensors":
        sheet.honour(entry)
    elif form in ("ckpt", "pt"):
        sheet.differ(entry, {}, "written as .safetensors, which every program reads and which runs no code.")
    elif form.startswith("diffusers") and sheet.script not in (LORA, WORDS):
        sheet.honour(entry, written(sheet))
    else:
        sheet.ask(entry, "there is no such format; .safetensors is written.")


def states(sheet: Sheet, entry: Entry) -> None:
    """save_state and save_state_on_train_end."""
    if switch(entry.value):
        sheet.honour(entry, written(sheet))
    else:
        sheet.honour(entry)


def every_epochs(sheet: Sheet, entry: Entry) -> None:
    """Files every so many epochs."""
    if sheet.given("save_n_epoch_ratio"):
        sheet.unused(entry, "save_n_epoch_ratio sets the rhythm there.")
        return
    sheet.honour(entry, {"saving.every": rhythm(number(entry.value), "epochs")})


def every_steps(sheet: Sheet, entry: Entry) -> None:
    """Files every so many steps; kohya keeps this rhythm beside that of epochs."""
    if sheet.given("save_every_n_epochs") or sheet.given("save_n_epoch_ratio"):
        sheet.differ(
            entry, {}, "files are written by epochs, as the file also asks; there is one rhythm here."
        )
        return
    sheet.honour(entry, {"saving.every": rhythm(number(entry.value), "steps")})


def at_least(sheet: Sheet, entry: Entry) -> None:
    """save_n_epoch_ratio: at least so many files over the run."""
    share = 100 / max(1.0, number(entry.value))
    sheet.honour(entry, {"saving.every": f"{math.floor(share * 1000) / 1000} %"})


def rhythm(value: float, unit: str) -> str:
    """A rhythm; 0 is never."""
    return f"{value:g} {unit}" if 0 < value < 1e9 else "never"


def last_steps(path: str) -> Rule:
    """kohya keeps what lies within so many steps, not so many files."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        steps = whole(entry.value)
        every = sheet.number("save_every_n_steps")
        if not every:
            sheet.unused(entry, "no files are written by steps.")
            return
        files = max(1, steps // max(1, int(every)) + 1)
        sheet.differ(entry, {path: files}, f"files within {steps} steps of each other are {files} files.")

    return rule


def last_epochs(path: str) -> Rule:
    """So many of the files written by epochs."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        sheet.honour(entry, {path: max(1, whole(entry.value))})

    return rule


def folder(sheet: Sheet, entry: Entry) -> None:
    """Where files go; a folder of another machine is not made here."""
    found = sheet.here.locate(text(entry.value))
    if found:
        sheet.honour(entry, {"saving.folder": found})
    else:
        sheet.differ(entry, {}, "there is no such folder here; files go where the WebUI looks for them.")


def thumbnail(sheet: Sheet, entry: Entry) -> None:
    """A picture inside the file."""
    sheet.differ(entry, {"metadata.thumbnail": True}, "the preview that is newest when the file is written.")


def negative(sheet: Sheet, entry: Entry) -> None:
    """Whether a word is meant for the negative prompt; written as a text there."""
    sheet.honour(entry, {"metadata.negative_embedding": switch(entry.value)})


OUTPUT: Table = {
    "output_dir": folder,
    "output_name": to("metadata.name", loose_text),
    "save_precision": choice(
        "saving.precision", {"float": "fp32", "fp32": "fp32", "fp16": "fp16", "bf16": "bf16"}
    ),
    "save_model_as": file_form,
    "use_safetensors": unused("whole models are always written as .safetensors."),
    "save_every_n_epochs": every_epochs,
    "save_every_n_steps": every_steps,
    "save_n_epoch_ratio": at_least,
    "save_last_n_epochs": last_epochs("saving.keep"),
    "save_last_n_epochs_state": last_epochs("saving.keep_states"),
    "save_last_n_steps": last_steps("saving.keep"),
    "save_last_n_steps_state": last_steps("saving.keep_states"),
    "save_state": states,
    "save_state_on_train_end": states,
    "resume": unused(OTHER_STATE),
    "initial_epoch": unused(OTHER_STATE),
    "initial_step": unused(OTHER_STATE),
    "skip_until_initial_step": unused(OTHER_STATE),
    "no_metadata": flag_on("metadata.content", "plain"),
    "training_comment": to("metadata.comment", loose_text),
    "metadata_title": to("metadata.title", loose_text),
    "metadata_author": to("metadata.author", loose_text),
    "metadata_description": to("metadata.description", loose_text),
    "metadata_license": to("metadata.license", loose_text),
    "metadata_tags": to("metadata.tags", comma_texts),
    "metadata_usage_hint": to("metadata.usage", loose_text),
    "metadata_thumbnail": thumbnail,
    "metadata_merged_from": unused("what was merged into the base is written from the settings themselves."),
    "metadata_trigger_phrase": to("metadata.trigger", loose_text),
    "metadata_preprocessor": unused("only files that steer by pictures have one."),
    "metadata_is_negative_embedding": negative,
}
