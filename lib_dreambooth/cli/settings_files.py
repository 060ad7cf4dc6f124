"""Settings files and presets: shown, checked, compared, written."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.base.errors import SettingsError
from lib_dreambooth.cli import run_settings
from lib_dreambooth.cli.output import Out
from lib_dreambooth.settings.compare import differences
from lib_dreambooth.settings.convert import plain, shown
from lib_dreambooth.settings.fields import entries
from lib_dreambooth.settings.files import read_file, write_file
from lib_dreambooth.settings.preset import Preset, applied, listed, named
from lib_dreambooth.settings.readiness import missing
from lib_dreambooth.settings.reading import defaults, review_typed
from lib_dreambooth.settings.sources import Sourced


def show(args: argparse.Namespace, out: Out) -> int:
    """Values with where they came from."""
    found = run_settings.review(args)
    sourced = found.accepted()
    rows = [
        (path, shown(value), sourced.source(path))
        for path, field, value in entries(sourced.run)
        if args.all or value != field.default
    ]
    out.table(rows)
    run_settings.say_notices(found, out)
    out.result(
        {
            "settings": plain(sourced.run),
            "sources": dict(sourced.sources),
            "notices": [notice.to_json() for notice in found.notices],
        }
    )
    return 0


def check_file(args: argparse.Namespace, out: Out) -> int:
    """Problems, gaps and warnings; bad input where there are problems or gaps."""
    found = run_settings.review(args)
    problems = [*found.problems, *missing(found.sourced.run)]
    out.result(
        {
            "problems": [problem.to_json() for problem in problems],
            "notices": [notice.to_json() for notice in found.notices],
        }
    )
    run_settings.say_notices(found, out)
    if problems and not out.as_json:
        raise SettingsError(problems)
    if not problems:
        out.line(out.paint("Nothing is wrong or missing.", "green"))
    return 2 if problems else 0


def diff(args: argparse.Namespace, out: Out) -> int:
    """Settings that differ."""
    before = defaults() if args.before == "defaults" else read_file(args.before)
    before = review_typed(args.setting_pairs, base=before).accepted()
    after = other_side(args, before)
    changes = differences(before.run, after.run)
    for change in changes:
        out.line(change.line())
    if not changes:
        out.line("Nothing differs.")
    out.result({"changes": [change.to_json() for change in changes]})
    return 0


def other_side(args: argparse.Namespace, before: Sourced) -> Sourced:
    """The file to compare with, or the first side with a preset over it."""
    if args.after == "defaults":
        return defaults()
    if Path(args.after).is_file():
        return read_file(args.after)
    return applied(named(args.after, args.presets_folder), before, args.pictures)


def presets(args: argparse.Namespace, out: Out) -> int:
    """The shipped presets and the user's own."""
    found = listed(args.presets_folder)
    out.table([(preset.name, preset.about) for preset in found])
    out.result({"presets": [preset_json(preset) for preset in found]})
    return 0


def preset_json(preset: Preset) -> dict[str, object]:
    """One preset for programs."""
    return {
        "name": preset.name,
        "about": preset.about,
        "settings": preset.settings,
        "whole_weights": preset.whole_weights,
        "file": str(preset.path),
    }


def write(args: argparse.Namespace, out: Out) -> int:
    """A settings file; comments in one that is there stay."""
    found = run_settings.review(args)
    write_file(args.to, found.accepted())
    run_settings.say_notices(found, out)
    out.line(f"{args.to}: written")
    out.result({"file": str(args.to), "notices": [notice.to_json() for notice in found.notices]})
    return 0
