"""The schema as a list of fields, for everything that is made from it."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from lib_dreambooth.base.durations import Duration
from lib_dreambooth.settings.conditions import When
from lib_dreambooth.settings.options import Option
from lib_dreambooth.settings.schema import Concept, Run, Section, Word
from lib_dreambooth.settings.values import Size

KIND_OF_TYPE: dict[Any, str] = {
    bool: "switch",
    int: "whole",
    float: "number",
    str: "text",
    Duration: "duration",
    Size: "size",
    tuple[str, ...]: "texts",
    tuple[int, ...]: "wholes",
    tuple[float, ...]: "numbers",
    dict[str, int]: "whole table",
    dict[str, float]: "number table",
    dict[str, Any]: "table",
}
LISTS: dict[str, type[Section]] = {"concepts": Concept, "words": Word}
LONGEST_NUMBER = 9
TITLES = {
    "model": "Model",
    "concepts": "Concepts",
    "pictures": "Instance Image Processing",
    "captions": "Captions",
    "class_pictures": "Class Pictures",
    "network": "Network",
    "parts": "Parts Trained",
    "parts.unet": "UNet",
    "parts.text_encoder_1": "Text Encoder",
    "parts.text_encoder_2": "Text Encoder 2",
    "parts.words": "Words",
    "words": "New Words",
    "optimizer": "Optimizer",
    "rates": "Learning Rate",
    "ema": "EMA",
    "loss": "Loss",
    "noise": "Noise",
    "draws": "Seed",
    "precision": "Precision",
    "memory": "Tuning",
    "length": "Intervals",
    "saving": "Saving",
    "previews": "Samples",
    "validation": "Validation",
    "logging": "Logging",
    "metadata": "Names and Metadata",
}


@dataclass(frozen=True, eq=False)
class Group:
    """One section: `path` as in files, `title` for people; `is_list` where a run has any number of them."""

    path: str
    title: str
    help: str
    struct: type[Section]
    is_list: bool


@dataclass(frozen=True, eq=False)
class Field:
    """One setting. In `path` a star stands for the number of an entry: concepts.*.folder."""

    path: str
    kind: str
    option: Option
    default: Any
    group: Group

    @property
    def key(self) -> str:
        """The last part of the path."""
        return self.path.rsplit(".", 1)[-1]

    @property
    def is_listed(self) -> bool:
        """Whether it belongs to an entry of a list."""
        return self.group.is_list


@functools.lru_cache(maxsize=1)
def all_groups() -> tuple[Group, ...]:
    """Every section that holds settings, in the order of the schema."""
    return tuple(groups_in(Run, ""))


def groups_in(struct: type[Section], prefix: str) -> list[Group]:
    """The sections below a struct."""
    found: list[Group] = []
    for item in msgspec.structs.fields(struct):
        path = f"{prefix}{item.name}"
        if path in LISTS:
            found.append(group(path, LISTS[path], is_list=True))
        elif inspect.isclass(item.type) and issubclass(item.type, Section):
            found += groups_in(item.type, f"{path}.") or [group(path, item.type, is_list=False)]
    return found


def group(path: str, struct: type[Section], *, is_list: bool) -> Group:
    """A section with its description taken from its docstring."""
    return Group(path, TITLES[path], inspect.cleandoc(struct.__doc__ or ""), struct, is_list)


@functools.lru_cache(maxsize=1)
def all_fields() -> tuple[Field, ...]:
    """Every setting, in the order of the schema."""
    return tuple(field for group in all_groups() for field in fields_of(group))


def fields_of(group: Group) -> list[Field]:
    """The settings of a section, read off its struct."""
    hints = typing.get_type_hints(group.struct, include_extras=True)
    star = ".*" if group.is_list else ""
    found = []
    for item in msgspec.structs.fields(group.struct):
        kind_type, option = typing.get_args(hints[item.name])
        default = item.default_factory() if item.default is msgspec.NODEFAULT else item.default  # type: ignore[operator]
        kind = "overrides" if option.picks == "settings" else KIND_OF_TYPE[kind_type]
        found.append(Field(f"{group.path}{star}.{item.name}", kind, option, default, group))
    return found


@functools.cache
def fields_in(group: Group) -> tuple[Field, ...]:
    """The settings of a section, by its path: two threads that are first at once make their groups twice."""
    return tuple(field for field in all_fields() if field.group.path == group.path)


@functools.lru_cache(maxsize=1)
def fields_by_path() -> types.MappingProxyType[str, Field]:
    """Every setting under its path."""
    return types.MappingProxyType({field.path: field for field in all_fields()})


def starred(path: str) -> str:
    """A path with stars for numbers: concepts.0.folder and concepts[0].folder become concepts.*.folder."""
    return ".".join("*" if is_number(part) else part for part in split_path(path))


def split_path(path: str) -> list[str]:
    """The parts of a path; numbers may stand in brackets and are written plainly."""
    parts = [part.strip() for part in path.replace("[", ".").replace("]", "").split(".")]
    return [str(int(part)) if is_number(part) else part for part in parts if part]


def is_number(part: str) -> bool:
    """Whether a part of a path is the number of an entry."""
    return part.isdecimal() and len(part) <= LONGEST_NUMBER


def field_at(path: str) -> Field | None:
    """The setting at a path, if there is one."""
    return fields_by_path().get(starred(path))


def label(path: str) -> str:
    """What people call the setting at a path."""
    field = field_at(path)
    return field.option.label if field else path


def value_at(run: Run, path: str) -> Any:
    """A value by its path, with numbers for entries: concepts.0.folder."""
    found: Any = run
    for part in split_path(path):
        found = found[int(part)] if is_number(part) else getattr(found, part)
    return found


def absolute(path: str, here: str) -> str:
    """The path that a condition of the setting at `here` means; `.train` stays in its section or entry."""
    return f"{here.rsplit('.', 1)[0]}{path}" if path.startswith(".") else path


def looker(run: Run, here: str, known: dict[str, Any] | None = None) -> Callable[[str], Any]:
    """How conditions of the setting at `here` see a run; `known` holds what "auto" has turned out to be."""

    def look(path: str) -> Any:
        full = absolute(path, here)
        return known[full] if known and full in known else value_at(run, full)

    return look


def applies(when: When, run: Run, here: str, known: dict[str, Any] | None = None) -> bool:
    """Whether the setting at `here` has any effect in a run."""
    return when.holds(looker(run, here, known))


def entries(run: Run) -> list[tuple[str, Field, Any]]:
    """Every value of a run: its path with numbers, its field, the value."""
    found = []
    for group in all_groups():
        fields = fields_in(group)
        if group.is_list:
            for number, entry in enumerate(value_at(run, group.path)):
                found += [(f"{group.path}.{number}.{f.key}", f, getattr(entry, f.key)) for f in fields]
        else:
            section = value_at(run, group.path)
            found += [(f.path, f, getattr(section, f.key)) for f in fields]
    return found
