"""Concepts as kohya's scripts take them: one folder in the config, or a dataset file of subsets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.recipes.export.row import Context
from lib_dreambooth.settings.schema import Concept
from lib_dreambooth.settings.toml_text import toml_key, toml_value
from lib_dreambooth.settings.values import Size

# Settings that may differ for a subset, by their names in a dataset file.
SUBSET_NAMES = {
    "captions.shuffle": "shuffle_caption",
    "captions.keep_tokens": "keep_tokens",
    "captions.keep_separator": "keep_tokens_separator",
    "captions.secondary_separator": "secondary_separator",
    "captions.separator": "caption_separator",
    "captions.prefix": "caption_prefix",
    "captions.suffix": "caption_suffix",
    "captions.wildcards": "enable_wildcard",
    "captions.dropout": "caption_dropout_rate",
    "captions.dropout_every": "caption_dropout_every_n_epochs",
    "captions.tag_dropout": "caption_tag_dropout_rate",
    "captions.token_warmup_min": "token_warmup_min",
    "pictures.flip": "flip_aug",
}


def folders(context: Context) -> dict[str, Any] | None:
    """train_data_dir and reg_data_dir where they say all there is; None where a dataset file is needed."""
    known = with_pictures(context)
    training = [c for c in known if c.role == "train"]
    classes = [c for c in known if c.role == "class"]
    if len(training) > 1 or len(classes) > 1 or not all(is_plain(c) for c in (*training, *classes)):
        return None
    found: dict[str, Any] = {}
    if classes:
        found["reg_data_dir"] = classes[0].folder
    for concept in training:
        found["train_data_dir"] = concept.folder
        if concept.metadata_file:
            found |= {"in_json": concept.metadata_file, "dataset_repeats": concept.repeats}
        if concept.mask_folder:
            found["conditioning_data_dir"] = concept.mask_folder
    return {name: value for name, value in found.items() if value not in ("", 1)}


def with_pictures(context: Context) -> list[Concept]:
    """The concepts that name a folder or a metadata file, and are not only measured on."""
    found = []
    for number, concept in enumerate(context.run.concepts):
        if not concept.folder and not concept.metadata_file:
            context.say(f"concepts.{number} names no pictures and was left out.")
        elif concept.role == "validation":
            context.say("kohya's scripts take no folder of validation pictures.")
        else:
            found.append(concept)
    return found


def is_plain(concept: Concept) -> bool:
    """Whether a concept is a parent of 10_name folders, or a metadata file, with nothing of its own."""
    if concept.metadata_file:
        return concept.role == "train" and not own_settings(concept)
    numbered = concept.subfolders == "repeats" or (concept.subfolders == "auto" and concept.repeats == 1)
    no_more = concept.repeats == 1 and not concept.fallback and not concept.class_folder
    return numbered and no_more and concept.target == "pictures" and not own_settings(concept)


def own_settings(concept: Concept) -> Mapping[str, Any]:
    """What differs for a concept; class pictures are read with their hidden colour by kohya in any case."""
    hidden = {"pictures.alpha": "drop"} if concept.role == "class" else {}
    return {path: value for path, value in concept.override.items() if hidden.get(path) != value}


def dataset_text(context: Context) -> str:
    """A dataset file: subsets of one size in one dataset, those with a metadata file apart from others."""
    blocks = []
    for (size, _), tables in datasets(context).items():
        head = "[[datasets]]\n"
        if size is not None:
            head += f"resolution = {toml_value([size.width, size.height])}\n"
        blocks.append(head + "\n" + "\n".join(map(subset_block, tables)))
    return "\n".join(blocks)


def datasets(context: Context) -> dict[tuple[Size | None, bool], list[dict[str, Any]]]:
    """Subsets by the size that is their own (None for the run's) and whether they have a metadata file."""
    found: dict[tuple[Size | None, bool], list[dict[str, Any]]] = {}
    for concept in with_pictures(context):
        size = concept.override.get("pictures.resolution")
        found.setdefault((size, bool(concept.metadata_file)), []).append(subset(context, concept))
        if concept.class_folder:
            context.say("kohya's scripts mix class pictures in; they do not put one beside each picture.")
            table = {"image_dir": concept.class_folder, "is_reg": True, "num_repeats": 1}
            found.setdefault((size, False), []).append(table)
    return found


def subset(context: Context, concept: Concept) -> dict[str, Any]:
    """The keys of one subset."""
    table: dict[str, Any] = {"image_dir": concept.folder} if concept.folder else {}
    if concept.metadata_file:
        table["metadata_file"] = concept.metadata_file
    elif concept.subfolders != "ignore":
        context.say(
            f"{concept.folder}: a subset reads the pictures right inside a folder, not its sub-folders."
        )
    table["num_repeats"] = concept.repeats
    if concept.fallback and not concept.metadata_file:
        table["class_tokens"] = concept.fallback
    if concept.mask_folder:
        table["conditioning_data_dir"] = concept.mask_folder
    if concept.role == "class":
        table["is_reg"] = True
    if concept.target == "base":
        table["custom_attributes"] = {"diff_output_preservation": True}
    return table | own_options(context, concept)


def own_options(context: Context, concept: Concept) -> dict[str, Any]:
    """What differs for a concept, in kohya's names."""
    found: dict[str, Any] = {}
    for path, value in own_settings(concept).items():
        if path == "captions.files":
            found |= {"caption_extension": value[0]} if value else {}
        elif path in SUBSET_NAMES:
            found[SUBSET_NAMES[path]] = plain(value)
        elif path == "pictures.crop":
            found["random_crop"] = value == "random"
        elif path == "pictures.alpha":
            found["alpha_mask"] = value in ("mask", "both")
        elif path == "pictures.colour_change":
            found["color_aug"] = value != "off"
        elif path != "pictures.resolution":
            context.say(f"{concept.folder}: {path} cannot differ for a subset of kohya's.")
    return found


def subset_block(table: Mapping[str, Any]) -> str:
    """One subset as TOML."""
    lines = "".join(f"  {toml_key(name)} = {toml_value(value)}\n" for name, value in table.items())
    return f"  [[datasets.subsets]]\n{lines}"
