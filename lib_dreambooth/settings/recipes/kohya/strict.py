"""kohya's dataset file is refused by its scripts for any key or type they do not know; so it is here."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.settings.convert import quoted

SWITCH, WHOLE, FLOAT, NUMBER, TEXT, TABLE = (
    "true or false",
    "a whole number",
    "a number with a point",
    "a number",
    "a text",
    "a table",
)
SIZE = "a whole number or [width, height]"
TWO_FLOATS = "two numbers with a point in a list"

DATASET = {
    "batch_size": WHOLE,
    "resolution": SIZE,
    "enable_bucket": SWITCH,
    "min_bucket_reso": WHOLE,
    "max_bucket_reso": WHOLE,
    "bucket_reso_steps": WHOLE,
    "bucket_no_upscale": SWITCH,
    "validation_split": FLOAT,
    "validation_seed": WHOLE,
    "network_multiplier": FLOAT,
    "resize_interpolation": TEXT,
}
INHERITED = {
    "num_repeats": WHOLE,
    "shuffle_caption": SWITCH,
    "color_aug": SWITCH,
    "flip_aug": SWITCH,
    "random_crop": SWITCH,
    "enable_wildcard": SWITCH,
    "keep_tokens": WHOLE,
    "keep_tokens_separator": TEXT,
    "secondary_separator": TEXT,
    "caption_separator": TEXT,
    "caption_prefix": TEXT,
    "caption_suffix": TEXT,
    "token_warmup_min": WHOLE,
    "token_warmup_step": NUMBER,
    "face_crop_aug_range": TWO_FLOATS,
    "custom_attributes": TABLE,
    "resize_interpolation": TEXT,
    "caption_dropout_rate": NUMBER,
    "caption_tag_dropout_rate": NUMBER,
    "caption_dropout_every_n_epochs": WHOLE,
    "class_tokens": TEXT,
    "caption_extension": TEXT,
    "cache_info": SWITCH,
}
OWN = {
    "image_dir": TEXT,
    "is_reg": SWITCH,
    "alpha_mask": SWITCH,
    "metadata_file": TEXT,
    "conditioning_data_dir": TEXT,
}
LEVELS = {"general": DATASET | INHERITED, "dataset": DATASET | INHERITED, "subset": INHERITED | OWN}


def require_dataset(data: Mapping[str, Any], name: str) -> None:
    """Raises SettingsError with everything that kohya's scripts would refuse."""
    found = list(problems(data))
    if found:
        raise SettingsError(
            [UserError(p.what, where=f"{name}: {p.where}", todo=p.todo, code=p.code) for p in found]
        )


def problems(data: Mapping[str, Any]) -> Iterator[UserError]:
    """Every problem of a dataset file."""
    for key in data:
        if key not in ("general", "datasets"):
            yield refused(key, "is no part of a dataset file.", "It has [general] and [[datasets]].")
    general = data.get("general", {})
    yield from level_problems(general, "general", "general") if is_table(general) else not_table("general")
    datasets = data.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        yield refused(
            "datasets", "there are none.", "Write at least one [[datasets]] with [[datasets.subsets]]."
        )
        return
    for number, dataset in enumerate(datasets):
        here = f"datasets[{number}]"
        yield from dataset_problems(dataset, here) if is_table(dataset) else not_table(here)


def dataset_problems(dataset: Mapping[str, Any], here: str) -> Iterator[UserError]:
    """The problems of one dataset."""
    own = {key: value for key, value in dataset.items() if key != "subsets"}
    yield from level_problems(own, "dataset", here)
    subsets = dataset.get("subsets")
    if not isinstance(subsets, list) or not subsets:
        yield refused(f"{here}.subsets", "there are none.", "Write at least one [[datasets.subsets]].")
        return
    with_metadata = [is_table(subset) and "metadata_file" in subset for subset in subsets]
    if any(with_metadata) and not all(with_metadata):
        yield refused(
            here,
            "subsets with a metadata file and subsets of plain folders are in one dataset.",
            "Put them into two [[datasets]].",
        )
    for number, subset in enumerate(subsets):
        there = f"{here}.subsets[{number}]"
        if not is_table(subset):
            yield from not_table(there)
            continue
        yield from level_problems(subset, "subset", there)
        if "metadata_file" not in subset and "image_dir" not in subset:
            yield refused(f"{there}.image_dir", "is left out.", "Name the folder with the pictures.")


def level_problems(table: Mapping[str, Any], level: str, here: str) -> Iterator[UserError]:
    """Unknown names and wrong types at one level."""
    known = LEVELS[level]
    for key, value in table.items():
        where = f"{here}.{key}"
        if key not in known:
            near = difflib.get_close_matches(str(key), list(known), n=1, cutoff=0.6)
            yield refused(
                where, f"is not known in a {level}.", f"Is {near[0]} meant?" if near else "Take it out."
            )
        elif not fits(value, known[key]):
            yield refused(where, f"{quoted(value)} is not {known[key]}.", f"Write {known[key]}.")


def fits(value: Any, wanted: str) -> bool:
    """Whether a value has the type that kohya's check asks for."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if wanted == SIZE:
        pair = isinstance(value, list) and len(value) == 2
        return is_whole or (pair and all(isinstance(side, int) for side in value))
    if wanted == TWO_FLOATS:
        return isinstance(value, list) and len(value) == 2 and all(isinstance(end, float) for end in value)
    table = {
        SWITCH: isinstance(value, bool),
        WHOLE: is_whole,
        FLOAT: isinstance(value, float),
        NUMBER: is_whole or isinstance(value, float),
        TEXT: isinstance(value, str),
        TABLE: is_table(value),
    }
    return table[wanted]


def is_table(value: Any) -> bool:
    """Whether a value is a table."""
    return isinstance(value, Mapping)


def not_table(where: str) -> Iterator[UserError]:
    """The problem of something else in a table's place."""
    yield refused(where, "is not a table.", "Write its settings below it as name = value.")


def refused(where: str, what: str, todo: str) -> UserError:
    """One problem."""
    return UserError(what, where=where, todo=f"{todo} kohya's scripts refuse it too.", code="bad-dataset")
