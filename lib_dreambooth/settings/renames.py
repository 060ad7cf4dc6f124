"""Settings that had another name or form in older files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.settings.fields import split_path

# Goes up by one with every change that an older file has to be translated for.
VERSION = 1


def unchanged(value: Any) -> Any:
    """The same value under a new name."""
    return value


@dataclass(frozen=True)
class Rename:
    """Up to version `until`, `new` was called `old`; `convert` makes the new value of the old one.

    In paths a star stands for every entry of a list.
    """

    until: int
    old: str
    new: str
    convert: Callable[[Any], Any] = unchanged


RENAMES: tuple[Rename, ...] = ()


def translated(
    data: dict[str, Any], renames: Sequence[Rename] = RENAMES, current: int = VERSION
) -> dict[str, Any]:
    """The settings of a file in today's names, without its version; raises UserError for a newer file."""
    rest = dict(data)
    version = rest.pop("version", current)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise UserError(
            f"{version!r} is not a version number.",
            where="version",
            todo=f"Write version = {current}, or leave the line out.",
            code="bad-version",
        )
    if version > current:
        raise UserError(
            f"the file was written by a newer version ({version}; this one reads up to {current}).",
            where="version",
            todo="Update the extension.",
            code="newer-version",
        )
    for rename in renames:
        if version <= rename.until:
            move(rest, split_path(rename.old), split_path(rename.new), rename.convert)
    return rest


def move(data: Any, old: list[str], new: list[str], convert: Callable[[Any], Any]) -> None:
    """Moves one value inside nested tables, in every entry where both paths have a star."""
    if old[0] == new[0] and len(old) > 1 and len(new) > 1:
        inner = data.get(old[0]) if isinstance(data, dict) else None
        if old[1] == new[1] == "*":
            for entry in inner if isinstance(inner, list) else ():
                move(entry, old[2:], new[2:], convert)
        elif inner is not None:
            move(inner, old[1:], new[1:], convert)
        return
    value = take_out(data, old)
    if value is not ABSENT:
        put_in(data, new, convert(value))


ABSENT = object()


def take_out(data: Any, path: list[str]) -> Any:
    """Removes and returns the value at a path, ABSENT where there is none."""
    for part in path[:-1]:
        data = data.get(part) if isinstance(data, dict) else None
    return data.pop(path[-1], ABSENT) if isinstance(data, dict) else ABSENT


def put_in(data: dict[str, Any], path: list[str], value: Any) -> None:
    """Puts a value at a path unless one is there already."""
    for part in path[:-1]:
        data = data.setdefault(part, {})
    data.setdefault(path[-1], value)
