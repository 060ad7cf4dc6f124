"""A run in the making: values by path, with every problem met on the way."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping, Sequence
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.settings.allowed import allowed
from lib_dreambooth.settings.convert import Refused, quoted, read_text, read_value, scalar_from
from lib_dreambooth.settings.fields import (
    LISTS,
    Field,
    all_fields,
    all_groups,
    entries,
    field_at,
    fields_in,
    is_number,
    split_path,
)
from lib_dreambooth.settings.nearest import nearest
from lib_dreambooth.settings.schema import Parts, Run
from lib_dreambooth.settings.sections.section import Section
from lib_dreambooth.settings.sources import Sourced

MOST_LISTED = 1000


class Draft:
    """Starts from a whole run; takes values for paths or nested tables; gives a run again."""

    def __init__(self, base: Sourced, source: str) -> None:
        self.source = source
        self.values: dict[str, Any] = {path: value for path, _, value in entries(base.run)}
        self.sources: dict[str, str] = dict(base.sources)
        self.counts = {path: len(getattr(base.run, path)) for path in LISTS}
        self.problems: list[UserError] = []
        self.bad_paths: set[str] = set()

    def take_tables(self, data: Mapping[str, Any]) -> None:
        """Nested tables as files and forms hold them; a list replaces the whole list."""
        if not isinstance(data, Mapping):
            self.refuse(
                "",
                f"{quoted(data)} is not a table of settings.",
                "Give sections with settings.",
                "wrong-type",
            )
            return
        self.take_table(data, "")

    def take_table(self, data: Mapping[str, Any], prefix: str) -> None:
        for key, raw in data.items():
            path = f"{prefix}{key}"
            if path in LISTS:
                self.take_list(path, raw)
            elif path in section_paths():
                if isinstance(raw, Mapping):
                    self.take_table(raw, f"{path}.")
                else:
                    self.refuse(
                        path,
                        f"{quoted(raw)} is not a section.",
                        f"Write its settings under [{path}].",
                        "wrong-type",
                    )
            else:
                self.take(path, raw)

    def take_list(self, path: str, raw: Any) -> None:
        """All entries of a list, in place of those there were."""
        if not isinstance(raw, Sequence) or isinstance(raw, (str, bytes)) or len(raw) > MOST_LISTED:
            self.refuse(
                path, f"{quoted(raw)} is not a list of sections.", f"Write each as [[{path}]].", "wrong-type"
            )
            return
        for known in [known for known in self.values if known.startswith(f"{path}.")]:
            del self.values[known]
            self.sources.pop(known, None)
        self.counts[path] = 0
        for number, entry in enumerate(raw):
            self.add_entry(path)
            table = (
                {name: getattr(entry, name) for name in entry.__struct_fields__}
                if isinstance(entry, Section)
                else entry
            )
            if isinstance(table, Mapping):
                self.take_table(table, f"{path}.{number}.")
            else:
                here = f"{path}.{number}"
                self.refuse(
                    here, f"{quoted(entry)} is not a section.", f"Write each as [[{path}]].", "wrong-type"
                )

    def add_entry(self, path: str) -> None:
        """One more entry with default values."""
        number = self.counts[path]
        for field in all_fields():
            if field.group.path == path and field.is_listed:
                self.values[f"{path}.{number}.{field.key}"] = field.default
        self.counts[path] += 1

    def take(self, path: str, raw: Any, *, typed: bool = False) -> None:
        """One value; `typed` texts come from a person and are read as such."""
        parts = split_path(str(path))
        full = ".".join(parts)
        if full in LISTS and not typed:
            self.take_list(full, raw)
            return
        field = field_at(full)
        if field is None and self.take_part(parts, raw, typed=typed):
            return
        if field is None or "*" in parts:
            self.unknown(str(path))
            return
        if field.is_listed and not self.has_entry(parts):
            return
        try:
            self.values[full] = read_text(field, raw) if typed else read_value(field, raw)
        except Refused as refused:
            self.refuse(full, refused.why, way_out(field), refused.code)
            return
        self.sources[full] = self.source

    def take_part(self, parts: Sequence[str], raw: Any, *, typed: bool) -> bool:
        """One name of a setting that is a table, as in optimizer.arguments.d0; False where there is none."""
        for length in range(len(parts) - 1, 1, -1):
            full, name = ".".join(parts[:length]), ".".join(parts[length:])
            field = field_at(full)
            if field is None:
                continue
            if "*" in parts or not (field.kind.endswith("table") or field.kind == "overrides"):
                return False
            if not field.is_listed or self.has_entry(parts):
                value = raw if not typed else scalar_from(str(raw).strip())
                self.take(full, {**self.values[full], name: value})
            return True
        return False

    def has_entry(self, parts: Sequence[str]) -> bool:
        """Whether the entry of a list exists; the next one is made."""
        path, number = parts[0], int(parts[1])
        if number == self.counts[path] < MOST_LISTED:
            self.add_entry(path)
        if number < self.counts[path]:
            return True
        here = f"{path}.{parts[1]}"
        self.refuse(
            here,
            f"there are only {self.counts[path]} of these.",
            f"Count from 0; the next is {path}.{self.counts[path]}.",
            "unknown-setting",
        )
        return False

    def unknown(self, path: str) -> None:
        """A name that is not in the schema."""
        number = next((part for part in split_path(path) if is_number(part)), "0")
        near = nearest(path).replace("*", number)
        todo = f"Did you mean {near}?" if near else "docs/settings.md lists them all."
        self.refuse(path, f"there is no setting {quoted(path)}.", todo, "unknown-setting")

    def refuse(self, path: str, what: str, todo: str, code: str) -> None:
        self.bad_paths.add(path)
        self.problems.append(UserError(what, where=path, todo=todo, code=code))

    def build(self) -> Sourced:
        """The run of all good values."""
        sections: dict[str, Any] = {}
        for group in all_groups():
            fields = fields_in(group)
            if group.is_list:
                sections[group.path] = tuple(
                    group.struct(**{f.key: self.values[f"{group.path}.{number}.{f.key}"] for f in fields})
                    for number in range(self.counts[group.path])
                )
            else:
                sections[group.path] = group.struct(**{f.key: self.values[f.path] for f in fields})
        parts = {
            path.removeprefix("parts."): sections.pop(path)
            for path in list(sections)
            if path.startswith("parts.")
        }
        run = Run(parts=Parts(**parts), **sections)
        return Sourced(run, types.MappingProxyType(self.sources))


@functools.lru_cache(maxsize=1)
def section_paths() -> frozenset[str]:
    """Paths that hold further settings, without the lists."""
    return frozenset({group.path for group in all_groups() if not group.is_list} | {"parts"})


def way_out(field: Field) -> str:
    """What to write instead."""
    return f"Allowed: {allowed(field)}."
