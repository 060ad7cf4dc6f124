"""Changing values inside a TOML text without touching what else stands there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.settings.convert import Refused, plain, read_value
from lib_dreambooth.settings.fields import Field, Group, all_groups, fields_in, value_at
from lib_dreambooth.settings.renames import VERSION
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.toml_text import toml_value


def edited(previous: str, run: Run, origins: Mapping[str, str]) -> str:
    """The text with the values of a run; values that mean the same are left as they were written."""
    try:
        document = tomlkit.parse(previous)
        edit(document, run)
        if origins:
            document["sources"] = dict(origins)
        return tomlkit.dumps(document)
    except (TOMLKitError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        # A layout that tomlkit cannot edit (dotted keys spread over a file): the caller writes the file anew.
        raise FileError("the file cannot be edited in place.", code="not-editable") from error


def edit(document: Any, run: Run) -> None:
    """Sets every value in a document."""
    document["version"] = VERSION
    document.pop("sources", None)
    for group in all_groups():
        fields = fields_in(group)
        if group.is_list:
            edit_list(document, group, fields, run)
        else:
            edit_section(table_at(document, group), fields, value_at(run, group.path))
            drop_empty(document, group)


def table_at(document: Any, group: Group) -> Any:
    """The table of a section, made where there is none."""
    table = document
    for part in group.path.split("."):
        if part not in table:
            table[part] = tomlkit.table()
        table = table[part]
    return table


def drop_empty(document: Any, group: Group) -> None:
    """Takes a section out again that nothing was written to."""
    first, *rest = group.path.split(".")
    if rest and not document[first][rest[0]]:
        del document[first][rest[0]]
    if not document[first]:
        del document[first]


def edit_section(table: Any, fields: Sequence[Field], section: Any) -> None:
    """Sets the values of one section; defaults that were not written before stay unwritten."""
    for field in fields:
        value = getattr(section, field.key)
        if field.key in table:
            if not means(field, table[field.key], value):
                table[field.key] = item(value)
        elif value != field.default:
            table[field.key] = item(value)


def means(field: Field, written: Any, value: Any) -> bool:
    """Whether what stands there is read as the value."""
    raw = written.unwrap() if hasattr(written, "unwrap") else written
    try:
        return bool(read_value(field, raw) == value)
    except Refused:
        return False


def item(value: Any) -> Any:
    """A value as tomlkit holds it, written as in a new file."""
    return tomlkit.value(toml_value(plain(value)))


def edit_list(document: Any, group: Group, fields: Sequence[Field], run: Run) -> None:
    """Sets the entries of a list, from the first on; entries too many are taken out."""
    sections = value_at(run, group.path)
    if not sections:
        document.pop(group.path, None)
        return
    if group.path not in document:
        document[group.path] = tomlkit.aot()
    tables = document[group.path]
    while len(tables) > len(sections):
        del tables[len(tables) - 1]
    while len(tables) < len(sections):
        tables.append(tomlkit.table())
    for table, section in zip(tables, sections, strict=True):
        edit_section(table, fields, section)
