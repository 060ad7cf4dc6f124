"""Paths out of texts: a path carries the name of whoever's machine it is."""

from __future__ import annotations

import re
from typing import Any

SEPARATORS = re.compile(r"[\\/]+")
DRIVE = re.compile(r"[A-Za-z]:")
# Folders whose sub-folders are called after people.
HOMES = {"home", "users", "documents and settings"}

_END = r"\"'<>|*?\r\n\t,;"
PATHS = re.compile(
    "|".join(
        (
            # C:\Users\Ann\x and C:/x, but not the emoticon ":/" or an address of the web
            rf"(?<![A-Za-z0-9])[A-Za-z]:[\\/](?=\S)[^{_END}]*",
            # \\server\share\x
            rf"\\\\[^\\/\s{_END}]+[\\/][^{_END}]*",
            # Folders of people, whose names may hold spaces
            rf"(?<![\w/.:])(?:~[^/\s{_END}]*|/(?:home|Users|Volumes|media|mnt|root))/[^{_END}]*",
            # /any/other/path
            rf"(?<![\w/.:~\\])/(?:[^/\\\s{_END}]+/)+[^/\\\s{_END}]*",
        )
    )
)


def name_only(path: str) -> str:
    """The last part of a path of any system; empty where that is a person's own folder or a drive."""
    parts = [part for part in SEPARATORS.split(path.strip()) if part and not DRIVE.fullmatch(part)]
    if not parts or parts[-1].startswith("~"):
        return ""
    is_person = len(parts) > 1 and parts[-2].lower() in HOMES
    return "" if is_person else parts[-1]


def without_paths(text: str) -> str:
    """The text with only the last part of each path in it."""
    return PATHS.sub(lambda found: name_only(found[0]), text)


def cleared(value: Any) -> Any:
    """The same for every text inside a value as JSON holds it, names of entries included."""
    if isinstance(value, str):
        return without_paths(value)
    if isinstance(value, dict):
        return {without_paths(str(name)): cleared(part) for name, part in value.items()}
    if isinstance(value, list):
        return [cleared(part) for part in value]
    return value
