"""Which tool a file is from."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.settings.fields import all_groups
from lib_dreambooth.settings.recipes.extension.concepts import CONCEPT
from lib_dreambooth.settings.recipes.extension.table import EXTENSION
from lib_dreambooth.settings.recipes.gui_names import RENAMES as GUI_NAMES
from lib_dreambooth.settings.recipes.gui_table import GUI_TABLE
from lib_dreambooth.settings.recipes.kohya.table import KOHYA
from lib_dreambooth.settings.recipes.popup import RENAMES as POPUP_NAMES


class Kind(str, enum.Enum):
    """The recipes that can be read."""

    CONFIG = "kohya config file"
    DATASET = "kohya dataset file"
    GUI = "kohya_ss GUI file"
    EASY = "LoRA Easy Training Scripts file"
    POPUP = "old LoRA Easy Training Scripts file"
    EXTENSION = "db_config.json of sd_dreambooth_extension"
    CONCEPTS = "list of concepts of sd_dreambooth_extension"
    METADATA = "metadata of a LoRA file"


READABLE = (
    "Readable are: kohya config and dataset files (.toml), files of the kohya_ss GUI (.json), of LoRA Easy"
    " Training Scripts (.toml, .json), db_config.json, a LoRA file with its metadata, and a text with the"
    " command line of a kohya or diffusers script."
)
# The names that each tool writes, one below the other where they share most of them: the first wins a tie.
JSON_NAMES = {
    Kind.GUI: frozenset(KOHYA) | frozenset(GUI_NAMES) | {name for name in GUI_TABLE if "." not in name},
    Kind.POPUP: frozenset(KOHYA) | frozenset(POPUP_NAMES),
    Kind.EXTENSION: frozenset(EXTENSION) | frozenset(CONCEPT),
}
TOML_NAMES = {Kind.CONFIG: frozenset(KOHYA)}
# A file of which fewer names than this share are known is from another tool that has a few names in common.
KNOWN_SHARE = 0.25
# Names that together only one other tool writes.
OTHER_TOOLS = {
    "OneTrainer": {"training_method", "base_model_name"},
    "SimpleTuner": {"--model_type", "--data_backend_config"},
    "diffusion-pipe": {"model", "adapter", "micro_batch_size_per_gpu"},
}


def kind_of(data: Any, name: str, is_json: bool) -> Kind:
    """The tool of parsed data; raises FileError for what is from none that is known."""
    if isinstance(data, list) and any(isinstance(part, Mapping) and CONCEPT.keys() & part for part in data):
        return Kind.CONCEPTS
    if not isinstance(data, Mapping):
        raise unknown(name)
    found = by_shape(data)
    if found is not None:
        return found
    refuse_own(data, name)
    refuse_others(data, name)
    return by_names(data, name, is_json)


def by_shape(data: Mapping[str, Any]) -> Kind | None:
    """Tools whose files have a form of their own."""
    if sum(str(key).startswith("ss_") for key in data) >= 2 or is_metadata(data.get("__metadata__")):
        return Kind.METADATA
    groups = [
        value for key, value in data.items() if str(key).endswith("_args") and isinstance(value, Mapping)
    ]
    if any(isinstance(group.get(name), Mapping) for group in groups for name in ("args", "dataset_args")):
        return Kind.EASY
    if "datasets" in data and set(data) <= {"general", "datasets"}:
        return Kind.DATASET
    return None


def is_metadata(value: Any) -> bool:
    """Whether a value is the metadata table of a header."""
    return isinstance(value, Mapping) and any(str(key).startswith("ss_") for key in value)


def refuse_own(data: Mapping[str, Any], name: str) -> None:
    """A settings file of this program needs no import."""
    own = {group.path.split(".")[0] for group in all_groups()}
    tables = [key for key, value in data.items() if key in own and isinstance(value, (Mapping, list))]
    if tables and all(key in own or key in ("version", "sources") for key in data):
        raise FileError(
            "this is a settings file of this program already.",
            where=name,
            todo="Use it as it is; nothing has to be imported.",
            code="own-settings",
        )


def refuse_others(data: Mapping[str, Any], name: str) -> None:
    """Files that look enough like a recipe to be taken for one, and what they are instead."""
    for tool, names in OTHER_TOOLS.items():
        if names <= data.keys():
            raise FileError(
                f"this is a config of {tool}, which cannot be read.",
                where=name,
                todo=READABLE,
                code="other-tool",
            )
    entries = list(data.values())
    if entries and all(
        isinstance(entry, Mapping) and {"caption", "tags"} & entry.keys() for entry in entries
    ):
        raise FileError(
            "this is a list of pictures with their captions, and no recipe.",
            where=name,
            todo="Name it as concepts.0.metadata_file beside the folder of the pictures.",
            code="captions-list",
        )


def by_names(data: Mapping[str, Any], name: str, is_json: bool) -> Kind:
    """The tool that has most of the names."""
    names = set(flat_names(data))
    tools = JSON_NAMES if is_json else TOML_NAMES
    scores = {kind: len(names & own) for kind, own in tools.items()}
    best = max(scores, key=lambda kind: scores[kind])
    if scores[best] < max(1, KNOWN_SHARE * len(names)):
        raise unknown(name)
    return best


def flat_names(data: Mapping[str, Any]) -> Iterator[str]:
    """Names at the top and one level below."""
    for key, value in data.items():
        yield str(key)
        if isinstance(value, Mapping):
            yield from map(str, value)


def unknown(name: str) -> FileError:
    """The sentence for a file of no known tool."""
    return FileError(
        "no tool whose recipes are known wrote this file.", where=name, todo=READABLE, code="unknown-recipe"
    )
