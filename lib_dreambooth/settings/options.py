"""What is known about a setting beside its type and default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lib_dreambooth.settings.conditions import ALWAYS, When

# No browser keeps a larger whole number as it is: JSON is read into floating point numbers there.
LARGEST_SEED = 2**53 - 1


@dataclass(frozen=True)
class Option:
    """Everything that form, command line, files and reference say about one setting.

    `low`, `high` and `above` (exclusive) bound numbers, and amounts of durations whatever their unit.
    `choices` maps each value to its label; with `open_choices` other texts are allowed too.
    `units` and `words` name what a duration may be given in. `picks` asks the form for a chooser.
    At 0 the setting that `inherits` names counts in its place.
    `one_a_line` is for lists of texts that hold commas themselves.
    `per_concept` allows one concept to differ through its `override` table.
    `kohya` and `old` are the names in kohya's scripts and in sd_dreambooth_extension.
    """

    label: str
    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: Mapping[Any, str] = field(default_factory=dict)
    open_choices: bool = False
    units: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    picks: str = ""
    lines: int = 1
    one_a_line: bool = False
    basic: bool = False
    when: When = ALWAYS
    inherits: str = ""
    per_concept: bool = False
    kohya: tuple[str, ...] = ()
    old: tuple[str, ...] = ()


def names(text: str) -> tuple[str, ...]:
    """Names written with spaces between them."""
    return tuple(text.split())
