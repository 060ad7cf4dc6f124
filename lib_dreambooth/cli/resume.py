"""The command `resume`: the rest of a model's last run, more of it, or the same from the base again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.cli import dry_run
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.running import EXIT_DONE, add_models, run_job, say_arithmetic, taking_part
from lib_dreambooth.settings.facts import Facts, installed_packages
from lib_dreambooth.settings.reading import review_typed

if TYPE_CHECKING:
    from lib_dreambooth.jobs.plan import RunPlan
    from lib_dreambooth.jobs.standing import Standing
    from lib_dreambooth.jobs.training import TrainingJob
    from lib_dreambooth.settings.sources import Sourced


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="NAME|FOLDER", help="a model by its name or its folder")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--steps", metavar="N", type=int, help="train N more steps than are done, whatever was to be"
    )
    ways.add_argument("--over", action="store_true", help="start over from the base with the same settings")
    dry_run.add(parser)
    add_models(parser)


def run(args: argparse.Namespace, out: Out) -> int:
    if args.steps is not None and args.steps < 1:
        raise UserError(
            "is not a number of steps.", where="--steps", todo="Write 1 or more.", code="bad-arguments"
        )
    code = taking_part(args)
    if code is not None:
        return code
    # Only here, so that wrong arguments are said at once.
    from lib_dreambooth.jobs.going_on import resumed, started_over_again
    from lib_dreambooth.jobs.places import library, library_of
    from lib_dreambooth.jobs.plan import plan_run
    from lib_dreambooth.jobs.standing import standing_of
    from lib_dreambooth.runs.folder import ModelFolder
    from lib_dreambooth.runs.lock import require_free
    from lib_dreambooth.training.processes import launched

    folder = ModelFolder.open(args.model, library(args.models).dreambooth)
    require_free(folder.path)
    results = library_of(folder.path, args.models).results()
    standing = standing_of(folder)

    def change(sourced: Sourced) -> Sourced:
        found = review_typed(args.setting_pairs, base=sourced, facts=Facts(packages=installed_packages()))
        return found.accepted()

    if args.over:
        job = started_over_again(folder, results, change)
    else:
        job = resumed(folder, results, change, args.steps or 0, launched().count, told=out.note)
    with out.counting("Reading pictures") as tell:
        plan = plan_run(job.sourced, folder.name, results, folder, processes=launched().count, progress=tell)
    known = () if args.over else say_going_on(job, plan, standing, out)
    if args.dry_run:
        dry_run.say_plan(plan, str(folder.path), out)
        return EXIT_DONE
    say_arithmetic(plan, out)
    return run_job(job, out, known, args.models)


def say_going_on(job: TrainingJob, plan: RunPlan, standing: Standing, out: Out) -> list[str]:
    """From where to where, what is different, and what the rates do; gives the changed settings.

    Raises UserError for what cannot be.
    """
    from lib_dreambooth.jobs.going_on import changes_for_rest
    from lib_dreambooth.jobs.on_resume import rates_text, settings_of_state

    todo = "--steps N trains N steps more, --over starts over from the base."
    changes = changes_for_rest(job, plan, standing, todo)
    state, total = job.state, plan.length.total_steps
    if state is None:
        out.line(f"{visible_line(job.folder.name)}: it has no state yet and begins again.")
        return []
    of_all = f" of {total:,}" if total is not None else ""
    out.line(f"{visible_line(job.folder.name)}: goes on after step {state.step:,}{of_all}.")
    for change in changes:
        out.line(f"  {change.line()}")
    before = settings_of_state(state)
    if before.length != plan.run.length or before.rates != plan.run.rates:
        out.line(rates_text(before, plan.run, plan.length, state.step))
    return [change.field for change in changes]
