"""Presets: files with some settings and a rule for the length, shown as a diff before they are applied."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.durations import steps
from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.settings.compare import Change, differences
from lib_dreambooth.settings.files import load_text, parsed
from lib_dreambooth.settings.meaning import is_adapter, rate_of
from lib_dreambooth.settings.reading import read
from lib_dreambooth.settings.renames import translated
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import Sourced, preset_source

SHIPPED = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class LengthRule:
    """How long to train for a number of pictures.

    Every picture is seen `visits_per_picture` times; for whole weights, where the right number depends on the
    rate, `whole_weights_visits_times_rate` / rate times (0: the same). All visits together stay between
    `least_visits` and `most_visits`.
    """

    visits_per_picture: float
    whole_weights_visits_times_rate: float = 0.0
    least_visits: int = 1
    most_visits: int = 1_000_000


@dataclass(frozen=True)
class Preset:
    """`settings` apply always, `whole_weights` in addition where no network is trained."""

    name: str
    about: str
    settings: Mapping[str, Any]
    whole_weights: Mapping[str, Any]
    rule: LengthRule | None
    path: Path


def steps_for(rule: LengthRule, run: Run, num_pictures: int) -> int:
    """The optimizer steps that give each of the pictures its visits, for one process."""
    assert num_pictures >= 1
    per_picture = rule.visits_per_picture
    rate = rate_of(run, "unet")
    if not is_adapter(run) and rule.whole_weights_visits_times_rate and rate > 0:
        per_picture = rule.whole_weights_visits_times_rate / rate
    visits = min(max(num_pictures * per_picture, rule.least_visits), rule.most_visits)
    # Rounded first: 12 * (2e-4 / 1e-6) is a hair above 2,400.
    return max(1, math.ceil(round(visits / (run.length.batch_size * run.length.accumulation), 6)))


def applied(preset: Preset, sourced: Sourced, num_pictures: int | None = None) -> Sourced:
    """The run with the preset's settings; the length follows where the number of pictures is known."""
    source = preset_source(preset.name)
    changed = read(preset.settings, source=source, base=sourced)
    if not is_adapter(changed.run) and preset.whole_weights:
        changed = read(preset.whole_weights, source=source, base=changed)
    if preset.rule is None or not num_pictures:
        return changed
    length = {
        "train_for": str(steps(steps_for(preset.rule, changed.run, num_pictures))),
        "whole_epochs": True,
    }
    return read({"length": length}, source=source, base=changed)


def preview(preset: Preset, run: Run, num_pictures: int | None = None) -> list[Change]:
    """What applying the preset would change."""
    return differences(run, applied(preset, Sourced(run), num_pictures).run)


def load(path: Path) -> Preset:
    """A preset file; raises FileError or SettingsError."""
    data = parsed(load_text(path), path.name)
    head, rule = data.pop("preset", {}), data.pop("length_rule", None)
    whole = data.pop("whole_weights", {})
    for name, table in (("preset", head), ("length_rule", rule or {}), ("whole_weights", whole)):
        if not isinstance(table, Mapping):
            raise FileError(
                f"[{name}] is not a section.", where=str(path), todo="Compare with a shipped preset."
            )
    settings = translated(data)
    preset = Preset(
        name=str(head.get("name") or path.stem),
        about=str(head.get("about", "")),
        settings=settings,
        whole_weights=whole,
        rule=length_rule(rule, path) if rule is not None else None,
        path=path,
    )
    read(whole, source=path.name, base=read(settings, source=path.name))
    return preset


def length_rule(table: Mapping[str, Any], path: Path) -> LengthRule:
    """The rule in a preset file."""
    known = LengthRule.__dataclass_fields__
    for name, value in table.items():
        if (
            name not in known
            or isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not value > 0
        ):
            raise FileError(
                f"length_rule: {name} = {value} is not a rule.",
                where=str(path),
                todo=f"Known are {', '.join(known)}, each with a number above 0.",
            )
    if "visits_per_picture" not in table:
        raise FileError("length_rule needs visits_per_picture.", where=str(path), todo="Add it, such as 100.")
    return LengthRule(**table)


def listed(own_folder: Path | None = None) -> list[Preset]:
    """The shipped presets, then the user's own; files that cannot be read are left out."""
    found = [load(path) for path in sorted(SHIPPED.glob("*.toml"), key=shipped_order)]
    for path in sorted(own_folder.glob("*.toml")) if own_folder and own_folder.is_dir() else ():
        try:
            found.append(load(path))
        except UserError:
            continue
    return found


SHIPPED_ORDER = (
    "person",
    "object-style",
    "character-lora-8gb",
    "style-sdxl",
    "pivotal-pair",
    "guide-dreambooth",
    "kohya-parity",
)


def shipped_order(path: Path) -> tuple[int, str]:
    """The place of a shipped preset in lists."""
    return (SHIPPED_ORDER.index(path.stem) if path.stem in SHIPPED_ORDER else len(SHIPPED_ORDER), path.stem)


def named(name: str, own_folder: Path | None = None) -> Preset:
    """A preset by its name or file name, or the path of a file; raises UserError."""
    wanted = name.strip().lower()
    if wanted.endswith(".toml"):
        return load(Path(name))
    presets = listed(own_folder)
    for preset in reversed(presets):
        if wanted in (preset.name.lower(), preset.path.stem.lower()):
            return preset
    raise UserError(
        f'there is no preset "{name}".',
        todo=f"There are: {', '.join(preset.name for preset in presets)}.",
        code="unknown-preset",
    )
