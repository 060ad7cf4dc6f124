"""A run as a config of kohya's scripts, with a dataset file and prompts where they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.settings.convert import shown
from lib_dreambooth.settings.fields import applies, entries, starred
from lib_dreambooth.settings.recipes.export.datasets import dataset_text, folders
from lib_dreambooth.settings.recipes.export.learning import OPTIMIZING
from lib_dreambooth.settings.recipes.export.network import NETWORKING
from lib_dreambooth.settings.recipes.export.pictures import PICTURES, PROMPTS, WORDING, prompt_lines
from lib_dreambooth.settings.recipes.export.row import Context, Row
from lib_dreambooth.settings.recipes.export.running import RUNNING
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SDXL, SDXL_AREA, WHOLE, WORDS
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.toml_text import toml_value

# Settings that are told in another way, or that only say how this program runs.
TOLD_OTHERWISE = frozenset(
    (
        "model.family",
        "network.kind",
        "class_pictures.relation",
        "memory.fused_backward",
        "metadata.thumbnail",
        "parts.words.train",
        "previews.at_end",
        "previews.steps",
        "previews.guidance",
        "previews.seed",
        "previews.size",
        "previews.negative",
        "captions.lines",
    )
)
# Settings of concepts and words that subsets, prompts or options carry, or that only label things.
LISTED = frozenset(
    (
        "concepts.*.name",
        "concepts.*.role",
        "concepts.*.folder",
        "concepts.*.subfolders",
        "concepts.*.metadata_file",
        "concepts.*.mask_folder",
        "concepts.*.repeats",
        "concepts.*.class_folder",
        "concepts.*.fallback",
        "concepts.*.target",
        "concepts.*.override",
        "concepts.*.sample_prompts",
        "words.*.name",
        "words.*.vectors",
        "words.*.start_as",
        "words.*.start_from",
    )
)
COMMANDS = {
    (LORA, False): "train_network.py",
    (LORA, True): "sdxl_train_network.py",
    (WHOLE, False): "train_db.py",
    (SDXL, True): "sdxl_train.py",
    (WORDS, False): "train_textual_inversion.py",
    (WORDS, True): "sdxl_train_textual_inversion.py",
}


@dataclass(frozen=True)
class Exported:
    """Texts by file name, the config first; `left_out` is what kohya's scripts have no option for."""

    files: dict[str, str]
    command: str
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


def export_kohya(run: Run, name: str = "config.toml", family: str = "") -> Exported:
    """The files for kohya's scripts; `family` is what the base was found to be. Raises UserError."""
    context = Context(run, *script_for(run, family or run.model.family))
    values = option_values(context)
    stem = name.removesuffix(".toml")
    files = {}
    if "dataset_config" in values:
        values["dataset_config"] = f"{stem}-dataset.toml"
        files[f"{stem}-dataset.toml"] = dataset_text(context)
    if values.get("sample_prompts") == PROMPTS:
        values["sample_prompts"] = f"{stem}-prompts.txt"
        files[f"{stem}-prompts.txt"] = "\n".join(prompt_lines(context)) + "\n"
    script = COMMANDS[context.script, context.is_sdxl]
    left = tuple(left_out(context))
    text = config_text(values, script, name, (*context.notes, *left))
    command = f"accelerate launch {script} --config_file {name}"
    return Exported({name: text, **files}, command, tuple(context.notes), left)


def script_for(run: Run, family: str) -> tuple[str, bool]:
    """The script for what is trained, and whether the base is SDXL."""
    parts = run.parts
    size = run.pictures.resolution
    is_sdxl = family == "sdxl" or (family == "auto" and not size.is_auto and size.area >= SDXL_AREA)
    weights = parts.unet.train or parts.text_encoder_1.train or parts.text_encoder_2.train
    if parts.words.train and weights:
        raise UserError(
            "kohya's scripts train words or a model, not both together.",
            where="parts.words.train",
            todo="Turn one of them off for the export.",
            code="not-exportable",
        )
    if parts.words.train:
        return WORDS, is_sdxl
    if run.network.kind != "none":
        return LORA, is_sdxl
    return (SDXL if is_sdxl else WHOLE), is_sdxl


def option_values(context: Context) -> dict[str, Any]:
    """Every option that is written."""
    found = {row.name: row.value(context) for row in rows_of(context)}
    in_config = folders(context)
    found |= {"dataset_config": PROMPTS} if in_config is None else in_config
    return {name: value for name, value in found.items() if value not in (None, "")}


def rows_of(context: Context) -> list[Row]:
    """The options of the script."""
    rows = [*RUNNING, *OPTIMIZING, *PICTURES]
    rows += NETWORKING if context.script == LORA else WORDING if context.script == WORDS else ()
    return [row for row in rows if context.script in row.scripts]


def left_out(context: Context) -> list[str]:
    """Settings with an effect in this run that kohya has no option for."""
    carried = {starred(path) for row in rows_of(context) for path in row.paths} | TOLD_OTHERWISE
    found = []
    for path, field, value in entries(context.run):
        is_told = field.path in carried or field.path in LISTED
        if not is_told and value != field.default and applies(field.option.when, context.run, path):
            found.append(f"{path} = {shown(value)}: kohya's scripts have no option for it.")
    return found


def one_line(text: str) -> str:
    """A text as a comment can hold it."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def config_text(values: dict[str, Any], script: str, name: str, remarks: tuple[str, ...]) -> str:
    """A flat config, with what it cannot say as comments."""
    head = f"# accelerate launch {script} --config_file {one_line(name)}\n"
    comments = "".join(f"# {one_line(remark)}\n" for remark in remarks)
    lines = "".join(f"{option} = {toml_value(value)}\n" for option, value in values.items())
    return f"{head}{comments}\n{lines}"
