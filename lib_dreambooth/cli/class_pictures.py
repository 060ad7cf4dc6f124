"""The command `class-pictures`: draws what a run would draw before its first step, without the run."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

from lib_dreambooth.base.errors import Cancelled
from lib_dreambooth.base.host import Alone
from lib_dreambooth.cli import run_settings
from lib_dreambooth.cli.interrupts import stopping
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.running import EXIT_CANCELLED, EXIT_DONE, add_models
from lib_dreambooth.cli.train import made, name_of, on_model


def add(parser: argparse.ArgumentParser) -> None:
    run_settings.add(parser)
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="the model they are for; default: metadata.name of the settings. Made if it does not exist",
    )
    add_models(parser)


def run(args: argparse.Namespace, out: Out) -> int:
    sourced = run_settings.accepted(args, out)
    # Only here, so that wrong settings are said at once.
    from lib_dreambooth.jobs.class_pictures import draw_for, with_drawing
    from lib_dreambooth.jobs.places import library
    from lib_dreambooth.jobs.plan import plan_run
    from lib_dreambooth.runs.folder import ModelFolder

    place = library(args.models)
    name = name_of(args.name, sourced)
    folder = ModelFolder.find(place.dreambooth, name)
    sourced = with_drawing(on_model(sourced, folder) if folder is not None else sourced)
    plan = plan_run(sourced, name, place.results(), folder)
    folder = folder or made(place, name, plan)
    stop = threading.Event()
    try:
        with stopping(stop, out), out.counting("Drawing class pictures") as tell:
            done = draw_for(folder, plan.sourced, sharing=Alone(), tell=tell, should_stop=stop.is_set)
    except Cancelled:
        out.line("Stopped. What was drawn stays.")
        return EXIT_CANCELLED
    out.line(f"{done.drawn:,} class pictures were drawn; {done.there:,} lie in {Path(done.folder)}.")
    out.result(done.to_json())
    return EXIT_DONE
