"""The command `train`: a new run of a model, whose folder is made where there is none."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.cli import dry_run, run_settings
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.running import add_models, as_typed, run_job, say_arithmetic, taking_part

if TYPE_CHECKING:
    from lib_dreambooth.jobs.places import Library
    from lib_dreambooth.jobs.plan import RunPlan
    from lib_dreambooth.jobs.standing import Standing
    from lib_dreambooth.runs.folder import ModelFolder
    from lib_dreambooth.settings.sources import Sourced


def add(parser: argparse.ArgumentParser) -> None:
    run_settings.add(parser)
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="the model that is trained; default: metadata.name of the settings. Made if it does not exist",
    )
    add_models(parser)
    parser.add_argument(
        "--over",
        action="store_true",
        help="start over from the base where an unfinished run exists; its files for use stay",
    )
    dry_run.add(parser)


def run(args: argparse.Namespace, out: Out) -> int:
    code = taking_part(args)
    if code is not None:
        return code
    count_pictures(args)
    sourced = run_settings.accepted(args, out)
    read_ahead(args, sourced)
    # Only here, so that wrong settings are said at once.
    from lib_dreambooth.jobs.going_on import started_over
    from lib_dreambooth.jobs.places import library
    from lib_dreambooth.jobs.plan import plan_run
    from lib_dreambooth.jobs.standing import standing_of
    from lib_dreambooth.runs.folder import ModelFolder
    from lib_dreambooth.runs.lock import require_free
    from lib_dreambooth.training.processes import launched

    place = library(args.models)
    name = name_of(args.name, sourced)
    folder = ModelFolder.find(place.dreambooth, name)
    if folder is not None:
        sourced = on_model(sourced, folder)
        require_free(folder.path)
    standing = standing_of(folder) if folder is not None else None
    if folder is not None and standing is not None and standing.is_unfinished and not args.over:
        refuse_unfinished(folder, standing, args, out)
    with out.counting("Reading pictures") as tell:
        plan = plan_run(sourced, name, place.results(), folder, processes=launched().count, progress=tell)
    if args.dry_run:
        where = folder.path if folder is not None else f"{place.dreambooth / name} (would be made)"
        dry_run.say_plan(plan, str(where), out)
        return 0
    say_arithmetic(plan, out)
    folder = folder or made(place, name, plan)
    return run_job(started_over(folder, plan.sourced, place.results()), out, models=args.models)


def read_ahead(args: argparse.Namespace, sourced: Sourced) -> None:
    """Begins to read the base of a new model, whose hash is written down, while the engine is imported."""
    from lib_dreambooth.base.hashing import sha256_ahead

    base = Path(sourced.run.model.base)
    if not args.dry_run and sourced.run.model.base and base.is_file() and not is_known(args, sourced):
        sha256_ahead(base)


def is_known(args: argparse.Namespace, sourced: Sourced) -> bool:
    """Whether the model is there already."""
    from lib_dreambooth.jobs.places import library
    from lib_dreambooth.runs.folder import ModelFolder

    return ModelFolder.find(library(args.models).dreambooth, name_of(args.name, sourced)) is not None


def count_pictures(args: argparse.Namespace) -> None:
    """A preset that sets the length by the number of pictures is told it, where nobody gave it."""
    if not args.preset or args.pictures is not None:
        return
    read = run_settings.review(args).sourced.run
    if not any(concept.folder or concept.metadata_file for concept in read.concepts):
        return
    from lib_dreambooth.data.scanning.scan import scan

    args.pictures = sum(not item.is_class for item in scan(read).items)


def name_of(given: str | None, sourced: Sourced) -> str:
    """The model's name; raises UserError where neither the command nor the settings give one."""
    from lib_dreambooth.runs.names import checked_name

    name = given or sourced.run.metadata.name
    if not name:
        raise UserError(
            "the settings do not say which model is trained.",
            where="metadata.name",
            todo="Give it: --name NAME, or a name in the settings.",
            code="missing-setting",
        )
    return checked_name(name)


def on_model(sourced: Sourced, folder: ModelFolder) -> Sourced:
    """The settings on the base that a model has; raises UserError where they name another."""
    from lib_dreambooth.jobs.completing import on_base

    return on_base(sourced, Path(folder.card().base.path))


def made(place: Library, name: str, plan: RunPlan) -> ModelFolder:
    """A new model for these settings."""
    from lib_dreambooth.runs.folder import ModelFolder

    base = Path(plan.run.model.base)
    return ModelFolder.create(place.dreambooth, name, base, plan.kind.family)


def refuse_unfinished(folder: ModelFolder, standing: Standing, args: argparse.Namespace, out: Out) -> None:
    """Says the three ways on and leaves the choice to the user."""
    model = as_typed(folder.name, args.models)
    from lib_dreambooth.jobs.standing import unfinished

    out.note("There are three ways on:", "")
    out.note(f"  the rest of it:    resume {model}", "")
    out.note(f"  N more steps:      resume {model} --steps N", "")
    out.note("  from the base:     the same train with --over (files for use stay, its state goes)", "")
    raise unfinished(folder, standing, "Choose: resume, resume --steps N, or train --over.")
