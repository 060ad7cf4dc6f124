"""Folders of this machine, or of the places that callers may name, for choosing one."""

from __future__ import annotations

import os
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.pictures.formats import EXTENSIONS

MOST = 2000
ARCHIVE = ".zip"


@dataclass(frozen=True)
class Place:
    """A folder, or a zip; `pictures` are those that lie in it directly, None where it was not looked into."""

    name: str
    path: Path
    pictures: int | None
    is_archive: bool = False

    def to_json(self) -> dict[str, Any]:
        """The form of the API."""
        return {
            "name": self.name,
            "path": str(self.path),
            "pictures": self.pictures,
            "is_archive": self.is_archive,
        }


def starts(allowed: Sequence[Path] | None) -> list[Place]:
    """Where to begin: the places that may be named, else this user's own and the drives."""
    if allowed is not None:
        found = [path for path in dict.fromkeys(allowed) if path.is_dir()]
        return [Place(path.name, path, None) for path in found]
    home = Path.home()
    near = [home, *(home / name for name in ("Pictures", "Desktop", "Downloads")), Path.cwd()]
    drives = [Path(f"{letter}:\\") for letter in string.ascii_uppercase] if os.name == "nt" else [Path("/")]
    found = [path for path in dict.fromkeys((*near, *drives)) if path.is_dir()]
    return [Place(path.name or str(path), path, None) for path in found]


def places_in(folder: Path) -> list[Place]:
    """Folders and zips in a folder, by name, with how many pictures lie in each; raises FileError."""
    try:
        with os.scandir(folder) as entries:
            found = [place for entry in entries if (place := place_of(entry)) is not None]
    except OSError as error:
        raise FileError(
            f"cannot be looked into ({error.strerror or type(error).__name__}).",
            where=str(folder),
            todo="Choose another folder.",
            code="no-such-file" if isinstance(error, FileNotFoundError) else "bad-file",
        ) from error
    return sorted(found, key=lambda place: place.name.casefold())[:MOST]


def place_of(entry: os.DirEntry[str]) -> Place | None:
    """An entry that could be chosen; hidden ones could not."""
    if entry.name.startswith((".", "$")):
        return None
    try:
        if entry.is_dir():
            return Place(entry.name, Path(entry.path), num_pictures(Path(entry.path)))
        if entry.name.lower().endswith(ARCHIVE) and entry.is_file():
            return Place(entry.name, Path(entry.path), None, is_archive=True)
    except OSError:
        # A link to nowhere.
        return None
    return None


def num_pictures(folder: Path) -> int | None:
    """How many pictures lie in a folder directly; None where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sum(os.path.splitext(entry.name)[1].lower() in EXTENSIONS for entry in entries)  # noqa: PTH122
    except OSError:
        return None
