"""The schema as JSON Schema, for the API and for the form's code in the browser."""

from __future__ import annotations

from typing import Any

from lib_dreambooth.settings.aliases import ALIASES
from lib_dreambooth.settings.conditions import ALWAYS
from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.fields import Field, Group, all_groups, fields_in

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES: dict[str, dict[str, Any]] = {
    "switch": {"type": "boolean"},
    "whole": {"type": "integer"},
    "number": {"type": "number"},
    "text": {"type": "string"},
    "duration": {"type": "string"},
    "size": {"type": ["string", "integer"]},
    "texts": {"type": "array", "items": {"type": "string"}},
    "wholes": {"type": "array", "items": {"type": "integer"}},
    "numbers": {"type": "array", "items": {"type": "number"}},
    "whole table": {"type": "object", "additionalProperties": {"type": "integer"}},
    "number table": {"type": "object", "additionalProperties": {"type": "number"}},
    "table": {"type": "object"},
    "overrides": {"type": "object"},
}
DURATION = r"^\s*(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*[A-Za-z%]+\s*$|^[A-Za-z ]+$"
# Kinds whose bounds JSON Schema can check: on the value itself, or on each part of it.
BOUNDED = ("whole", "number")
BOUNDED_PARTS = {"wholes": "items", "numbers": "items", "whole table": "additionalProperties"}
BOUNDED_PARTS["number table"] = "additionalProperties"


def json_schema() -> dict[str, Any]:
    """The whole of it. What JSON Schema has no word for stands under names that begin with `x-`."""
    root: dict[str, Any] = {"$schema": DIALECT, "title": "Run", **an_object("What a run is asked to do.")}
    for group in all_groups():
        parent = root
        *front, last = group.path.split(".")
        for part in front:
            parent = parent["properties"].setdefault(part, an_object(""))
        entry = group_schema(group)
        parent["properties"][last] = {"type": "array", "items": entry} if group.is_list else entry
    return root


def an_object(description: str) -> dict[str, Any]:
    """A table with no further names than those listed."""
    found: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    return {"description": description, **found} if description else found


def group_schema(group: Group) -> dict[str, Any]:
    """A section."""
    schema = {"title": group.title, **an_object(group.help)}
    schema["properties"] = {field.key: field_schema(field) for field in fields_in(group)}
    return schema


def field_schema(field: Field) -> dict[str, Any]:
    """A setting."""
    option = field.option
    schema: dict[str, Any] = {
        "title": option.label,
        "description": option.help,
        **{name: dict(part) if isinstance(part, dict) else part for name, part in TYPES[field.kind].items()},
        "default": plain(field.default),
        "x-path": field.path,
        "x-kind": field.kind,
        "x-basic": option.basic,
    }
    limits(field, schema)
    named = {
        "x-unit": option.unit,
        "x-units": list(option.units),
        "x-words": list(option.words),
        "x-picks": option.picks,
        "x-inherits": option.inherits,
        "x-labels": {str(value): label for value, label in option.choices.items()},
        "x-open-choices": option.open_choices,
        "x-per-concept": option.per_concept,
        "x-kohya": list(option.kohya),
        "x-old": list(option.old),
        "x-also": list(ALIASES.get(field.path, ())),
        "x-lines": option.lines if option.lines > 1 else 0,
        "x-when": None if option.when == ALWAYS else option.when.to_json(),
    }
    schema.update({name: value for name, value in named.items() if value})
    return schema


def limits(field: Field, schema: dict[str, Any]) -> None:
    """Adds choices and bounds where JSON Schema has words for them."""
    option = field.option
    if option.choices and not option.open_choices:
        target = schema["items"] if field.kind == "texts" else schema
        target["enum"] = list(option.choices)
    if field.kind == "duration":
        schema["pattern"] = DURATION
    target = schema if field.kind in BOUNDED else schema.get(BOUNDED_PARTS.get(field.kind, ""))
    if target is None:
        return
    bounds = {"minimum": option.low, "maximum": option.high, "exclusiveMinimum": option.above}
    target.update({name: end for name, end in bounds.items() if end is not None})
