"""The settings of a run from a file, a preset and flags, in this order, each over the one before."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.cli.output import Out
from lib_dreambooth.settings.facts import Facts, installed_packages
from lib_dreambooth.settings.files import review_file
from lib_dreambooth.settings.preset import applied, named
from lib_dreambooth.settings.reading import Review, check, defaults, review_typed
from lib_dreambooth.settings.sources import Sourced


def add(parser: argparse.ArgumentParser, *, file_required: bool = True) -> None:
    """The arguments that `review` reads."""
    parser.add_argument(
        "file", metavar="SETTINGS.toml", nargs=None if file_required else "?", help="the settings of the run"
    )
    parser.add_argument(
        "--preset", metavar="NAME", help="apply a preset over the file (see `settings presets`)"
    )
    parser.add_argument(
        "--pictures",
        metavar="N",
        type=int,
        help="number of training pictures, for presets that set the length",
    )
    parser.add_argument("--presets-folder", metavar="DIR", type=Path, help="where your own presets are")


def review(args: argparse.Namespace, facts: Facts | None = None) -> Review:
    """The settings with every problem; raises only where a file or preset cannot be read at all."""
    known = facts or Facts(packages=installed_packages())
    read = review_file(args.file, facts=known) if args.file else check(defaults(), known)
    base = read.sourced
    if args.preset:
        base = applied(named(args.preset, args.presets_folder), base, args.pictures)
    typed = review_typed(args.setting_pairs, base=base, facts=known)
    # Contradictions of the file may be mended by a preset or a flag; what could not be read stays unread.
    unread = [problem for problem in read.problems if problem.code != "contradiction"]
    return Review(typed.sourced, (*unread, *typed.problems), typed.notices)


def accepted(args: argparse.Namespace, out: Out) -> Sourced:
    """The settings with what is worth knowing said; raises SettingsError with everything that is wrong."""
    found = review(args)
    say_notices(found, out)
    return found.accepted()


def say_notices(found: Review, out: Out) -> None:
    """The warnings of a review, beside the answer."""
    for notice in found.notices:
        out.note(notice.sentence())
