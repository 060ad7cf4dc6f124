"""A run together with where each of its values came from."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field

from lib_dreambooth.settings.schema import Run

DEFAULT = "default"
COMMAND_LINE = "command line"
FORM = "form"
FORECAST = "forecast"
DECIDED = "decided at the start"
# How the sources of presets begin.
PRESET = "preset "


def preset_source(name: str) -> str:
    """The source of a value that a preset set."""
    return f"{PRESET}{name}"


def file_source(name: str) -> str:
    """The source of a value read from a file."""
    return f"file {name}"


@dataclass(frozen=True)
class Sourced:
    """A run, and for each path that was set by something the name of that; other paths hold defaults."""

    run: Run
    sources: Mapping[str, str] = field(default_factory=lambda: types.MappingProxyType({}))

    def source(self, path: str) -> str:
        """Where the value at a path came from."""
        return self.sources.get(path, DEFAULT)
