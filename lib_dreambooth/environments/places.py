"""What an environment is, where it lies, and what its mark says of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.environments import pythons

MARK = "dreambooth-environment.json"
MAKING = "making"
WHOLE = "whole"
GIB = 1 << 30


@dataclass(frozen=True)
class Layer:
    """Packages that go into an environment together: those of a lock, or what install.py adds under one."""

    name: str
    lock: str
    by_installer: bool = False
    sources: tuple[str, ...] = ()  # further files that decide what the layer holds


@dataclass(frozen=True)
class Environment:
    """A folder with a Python and packages. `python` None: the one that runs this, if it is supported."""

    name: str
    folder: str
    base: tuple[Layer, ...]
    for_tests: tuple[Layer, ...]
    needed_bytes: int
    python: pythons.Version | None = None


@dataclass(frozen=True)
class Place:
    """An environment in a checkout."""

    environment: Environment
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / self.environment.folder

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def mark(self) -> Path:
        return self.folder / MARK

    @property
    def log(self) -> Path:
        return self.folder / "install.log"


def missing(place: Place, layers: Iterable[Layer]) -> list[Layer]:
    """The layers that have to be installed: all of them if the folder is not whole."""
    mark = read_mark(place)
    if mark.get("state") != WHOLE or not has_python(place):
        return list(layers)
    return [layer for layer in layers if mark["layers"].get(layer.name) != fingerprint(place.root, layer)]


def fingerprint(root: Path, layer: Layer) -> str:
    """Changes when what the layer holds should change; the same for both kinds of line end."""
    digest = hashlib.sha256()
    for name in (layer.lock, *layer.sources):
        digest.update((root / name).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def read_mark(place: Place) -> dict[str, Any]:
    """What the folder says of itself; empty if it says nothing that can be read."""
    try:
        mark = json.loads(place.mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_readable = isinstance(mark, dict) and isinstance(mark.get("layers"), dict)
    return mark if is_readable else {}


def has_python(place: Place) -> bool:
    """Whether the interpreter is there and the installation it was made from still is."""
    if not place.python.is_file():
        return False
    try:
        lines = (place.folder / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    homes = [line.split("=", 1)[1].strip() for line in lines if line.split("=")[0].strip() == "home"]
    return bool(homes) and Path(homes[0]).is_dir()
