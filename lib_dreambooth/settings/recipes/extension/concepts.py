"""Its concepts: folders, prompts, class pictures and samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lib_dreambooth.settings.recipes.extension.eras import Era
from lib_dreambooth.settings.recipes.extension.facts import era
from lib_dreambooth.settings.recipes.rules import Rule, Table, place, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Gap, Sheet
from lib_dreambooth.settings.recipes.turn import Turn, Unreadable, number, text, whole

OWN_CLASS_PICTURES = Gap(
    "class pictures missing from a folder of your own",
    "it draws them into that folder.",
    "the pictures that the folder holds; drawing is a tick of its own, and never goes into your folder.",
    {"class_pictures.draw": True},
    {"class_pictures.draw": False},
)
ONE_FOR_ALL = "one value counts for all concepts here; the first concept's is taken."


def number_of(entry: Entry) -> int:
    """The concept that a key belongs to."""
    return int(entry.name.split(".")[1]) if entry.name.startswith("concepts.") else 0


def key_of(entry: Entry) -> str:
    """A concept's key without its number."""
    return entry.name.rsplit(".", 1)[-1]


def folder(sheet: Sheet, entry: Entry) -> None:
    """instance_data_dir: read with its sub-folders, whose names mean nothing there."""
    here = f"concepts.{number_of(entry)}"
    place(sheet, entry, f"{here}.folder", "folder", also={f"{here}.subfolders": "plain"})


def class_folder(sheet: Sheet, entry: Entry) -> None:
    """class_data_dir: its pictures go beside the training pictures."""
    here = f"concepts.{number_of(entry)}"
    if wants_class_pictures(sheet, number_of(entry)):
        place(sheet, entry, f"{here}.class_folder", "folder", also={"class_pictures.relation": "beside"})
    else:
        sheet.unused(entry, "no class pictures are asked for (their number is 0).")


def wants_class_pictures(sheet: Sheet, place_at: int) -> bool:
    """Whether a concept's number of class pictures is above 0."""
    return any((sheet.number(f"concepts.{place_at}.{name}") or 0) > 0 for name in COUNTS)


FILLED = ("instance_data_dir", "instance_token", "class_token", "class_data_dir")
COUNTS = ("num_class_images_per", "num_class_images")


def class_count(path: str) -> Rule:
    """How many class pictures; what was missing was drawn into the user's folder."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        count = whole(entry.value)
        if count <= 0:
            sheet.honour(entry)
            return
        sets = {"class_pictures.relation": "beside", path: count}
        other = "class_pictures.total" if path.endswith("per_picture") else "class_pictures.per_picture"
        if number_of(entry) and sheet.has(path) and sheet.values[path] != count:
            sheet.differ(entry, {}, ONE_FOR_ALL)
            return
        sheet.put(other, 0)
        if sheet.given(f"concepts.{number_of(entry)}.class_data_dir"):
            sheet.honour(entry, sets)
            sheet.gap(OWN_CLASS_PICTURES)
        else:
            sets["class_pictures.draw"] = True
            sheet.differ(entry, sets, "they are drawn into the model's own folder.")

    return rule


def total_or_per_picture(sheet: Sheet, entry: Entry) -> None:
    """num_class_images: a total in 2022, a number for each picture later."""
    per_picture = era(sheet) >= Era.JAN_2023
    class_count(f"class_pictures.{'per_picture' if per_picture else 'total'}")(sheet, entry)


def words(key: str) -> Rule:
    """A text of the concept."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        sheet.honour(entry, {f"concepts.{number_of(entry)}.{key}": text(entry.value)})

    return rule


def sample_prompt(sheet: Sheet, entry: Entry) -> None:
    """save_sample_prompt."""
    sheet.honour(entry, {f"concepts.{number_of(entry)}.sample_prompts": [text(entry.value)]})


def shared(path: str, turn: Turn) -> Rule:
    """Something that each concept had and the run has here."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        value = turn(entry.value)
        if number_of(entry) and sheet.has(path) and sheet.values[path] != value:
            sheet.differ(entry, {}, ONE_FOR_ALL)
        else:
            sheet.honour(entry, {path: value})

    return rule


def template(sheet: Sheet, entry: Entry) -> None:
    """save_sample_template."""
    place(sheet, entry, "previews.file", "file")


def life(sheet: Sheet, entry: Entry) -> None:
    """max_steps: how often a concept is learned in all its runs; -1 is no bound."""
    if whole(entry.value) <= 0:
        sheet.honour(entry)
    else:
        sheet.unused(
            entry, "concepts are learned for the whole run; see concepts.repeats and concepts.weight."
        )


CONCEPT: Table = {
    "instance_data_dir": folder,
    "class_data_dir": class_folder,
    "instance_prompt": words("prompt"),
    "class_prompt": words("class_prompt"),
    "instance_token": words("token"),
    "class_token": words("class_token"),
    "class_negative_prompt": words("class_negative"),
    "num_class_images_per": class_count("class_pictures.per_picture"),
    "num_class_images": total_or_per_picture,
    "class_guidance_scale": shared("class_pictures.guidance", number),
    "class_infer_steps": shared("class_pictures.steps", whole),
    "save_sample_prompt": sample_prompt,
    "save_sample_template": template,
    "save_sample_negative_prompt": shared("previews.negative", text),
    "n_save_sample": shared("previews.count", whole),
    "sample_seed": shared("previews.seed", whole),
    "save_guidance_scale": shared("previews.guidance", number),
    "save_infer_steps": shared("previews.steps", whole),
    "max_steps": life,
    "is_valid": unused("it only says that the form was filled in."),
    "file_prompt_contents": unused(
        "captions are read for what they hold: the token is put in where it is missing."
    ),
}


def concept_rule(name: str) -> Rule | None:
    """The rule of a key inside concepts_list."""
    return CONCEPT.get(name.rsplit(".", 1)[-1]) if name.startswith("concepts.") else None


def concept_entries(key: str, value: Any) -> Iterator[Entry]:
    """The keys of all concepts, from a list or from JSON inside a text."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(part, Mapping) for part in found):
        yield Entry(key, "unreadable concepts", value)
        return
    filled = 0
    for place_at, concept in enumerate(found):
        # The form always saved three or four concepts; those that were never filled in are none.
        is_filled = any(concept.get(name) for name in FILLED) or len(found) == 1
        for name, part in concept.items():
            here = f"{key}[{place_at}].{name}"
            if is_filled:
                yield Entry(here, f"concepts.{filled}.{name}", part)
            else:
                yield Entry(here, f"empty.{place_at}.{name}", None, part)
        filled += is_filled


def unreadable(sheet: Sheet, entry: Entry) -> None:
    """concepts_list that is no list of tables."""
    raise Unreadable("is not a list of concepts.")
