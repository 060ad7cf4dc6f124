"""Which settings of a run are its own: not those of the preset it was made with, nor the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs.report.document import Table
from lib_dreambooth.settings import defaults, preset
from lib_dreambooth.settings.convert import shown
from lib_dreambooth.settings.fields import Field, applies, entries, is_number, split_path
from lib_dreambooth.settings.sources import PRESET, Sourced
from lib_dreambooth.training.export.own_settings import PLACES
from lib_dreambooth.training.export.privacy import name_only, without_paths

# Shown with the concepts.
KNOWN = ("role", "folder", "token", "class_token", "repeats")
LONGEST = 300


def presets_of(sourced: Sourced) -> list[str]:
    """The presets that values came from, in the order of the schema."""
    return list(
        dict.fromkeys(
            source.removeprefix(PRESET)
            for path, _, _ in entries(sourced.run)
            if (source := sourced.source(path)).startswith(PRESET)
        )
    )


def baseline(presets: list[str]) -> Sourced:
    """The defaults under the presets of these names that are shipped; a user's own may have changed since."""
    found = defaults()
    for name in presets:
        try:
            found = preset.applied(preset.named(name), found)
        except UserError:
            continue
    return found


def changed_settings(sourced: Sourced, family: str = "") -> Table:
    """Every setting with an effect that differs, as the form calls it."""
    before = {path: value for path, _, value in entries(baseline(presets_of(sourced)).run)}
    known = {"model.family": family} if family else None
    rows = []
    for path, field, value in entries(sourced.run):
        usual = before.get(path, field.default)
        is_told = (path.startswith("concepts.") and field.key in KNOWN) or path == "model.base"
        source = sourced.source(path)
        if value == usual or is_told or source.startswith(PRESET):
            continue
        if applies(field.option.when, sourced.run, path, known):
            rows.append((place_of(path, field), labelled(field, value), labelled(field, usual), said(source)))
    return Table(("Setting", "Value", "Usually", "From"), tuple(rows))


def place_of(path: str, field: Field) -> str:
    """Section and label, with the number of an entry counted from 1."""
    numbers = [f" {int(part) + 1}" for part in split_path(path) if is_number(part)]
    title = field.group.title.removesuffix("s") if numbers else field.group.title
    return f"{title}{''.join(numbers)}: {field.option.label}"


def labelled(field: Field, value: Any) -> str:
    """A value in the words of the form, without paths."""
    option = field.option
    if option.picks in PLACES:
        names = [name_only(part) for part in (value if isinstance(value, tuple) else (value,))]
        return (
            ", ".join(name or "chosen" for name, part in zip(names, _parts(value), strict=True) if part)
            or "none"
        )
    if option.choices:
        return ", ".join(_choice(option.choices, part) for part in _parts(value)) or "none"
    text = without_paths(shown(value))
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    is_amount = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{text} {option.unit}" if option.unit and is_amount else text


def _parts(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _choice(choices: Mapping[Any, str], value: Any) -> str:
    return choices.get(value) or without_paths(shown(value))


def said(source: str) -> str:
    """Where a value came from; what was read from the run's own file was set by somebody."""
    return "settings" if source.startswith("file ") else without_paths(source)
