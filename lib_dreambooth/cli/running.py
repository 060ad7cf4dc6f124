"""A job from its first event to the last line about it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.cli.interrupts import cancelling
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.run_progress import listener_for
from lib_dreambooth.runs.events import CANCELLED, DISCARDED, DONE
from lib_dreambooth.settings.length import plan_line

if TYPE_CHECKING:
    from lib_dreambooth.jobs.plan import RunPlan
    from lib_dreambooth.jobs.training import TrainingJob
    from lib_dreambooth.training.trainer.trainer import Ended

EXIT_DONE, EXIT_CANCELLED = 0, 130
MODELS_HELP = (
    "the folder of models; default: the environment variable DREAMBOOTH_MODELS, else the WebUI's models "
    "folder where this program lies in its extensions folder, else `models` in this program's own folder"
)
ADAPTER_KIND = "adapter"


def add_models(parser: argparse.ArgumentParser) -> None:
    """The option that says where models and results are."""
    parser.add_argument("--models", metavar="DIR", type=Path, help=MODELS_HELP)


def run_job(job: TrainingJob, out: Out, known: Collection[str] = (), models: Path | None = None) -> int:
    """Runs it, shows its progress, says what came of it; gives the exit code.

    Changed settings in `known` were said already; `models` is the folder that was asked for.
    """
    from lib_dreambooth.training.processes import launched

    job.process = launched()
    listener = listener_for(out, known)
    job.listeners = [*job.listeners, listener]
    try:
        with cancelling(job.box, out):
            ended = job.run()
    finally:
        listener.close()
    say_end(job, ended, out, models)
    return EXIT_DONE if ended.outcome == DONE else EXIT_CANCELLED


def taking_part(args: argparse.Namespace) -> int | None:
    """The exit code of a process that only takes part in the main one's run; None in the main process.

    `accelerate launch` and `torchrun` start the same command several times.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) <= 1 or os.environ.get("RANK", "0") == "0":
        return None
    if getattr(args, "dry_run", False):
        return EXIT_DONE
    # Only here: it brings the engine.
    from lib_dreambooth.jobs.together import follow
    from lib_dreambooth.training.processes import launched

    return EXIT_DONE if follow(launched()) else EXIT_CANCELLED


def say_end(job: TrainingJob, ended: Ended, out: Out, models: Path | None) -> None:
    """The files, how they are used, and where more is told."""
    words = {DONE: "Done", CANCELLED: "Cancelled", DISCARDED: "Cancelled without saving"}
    out.line(f"{words.get(ended.outcome, ended.outcome)} after {ended.step:,} steps.")
    for result in ended.results:
        out.line(f"  {result.path}")
    loras = [result for result in ended.results if result.kind == ADAPTER_KIND]
    if loras:
        out.line(f"In a prompt: <lora:{visible_line(loras[-1].path.stem)}:1>")
    if job.report is not None:
        out.line(f"Report: {job.report}")
    if ended.outcome != DONE:
        out.line(f"Go on with it: resume {as_typed(job.folder.name, models)}")
    out.result(as_json(job, ended))


def as_typed(name: str, models: Path | None) -> str:
    """A model as it is named to a command, with the folder of models where one was given."""
    flag = f' --models "{visible_line(str(models))}"' if models is not None else ""
    return f'"{visible_line(name)}"{flag}'


def as_json(job: TrainingJob, ended: Ended) -> dict[str, Any]:
    """The same for programs."""
    files = [
        {"path": str(result.path), "kind": result.kind, "step": result.step, "is_final": result.is_final}
        for result in ended.results
    ]
    return {
        "outcome": ended.outcome,
        "step": ended.step,
        "model": str(job.folder.path),
        "files": files,
        "report": str(job.report) if job.report else None,
    }


def say_findings(plan: RunPlan, out: Out) -> None:
    """What was found about the pictures, beside the plan."""
    for finding in plan.findings:
        if finding.severity != "note":
            text = finding.sentence()
            place = ", ".join(visible_line(path) for path in finding.paths[:3])
            out.note(f"{place}: {text}" if place else text)


def say_arithmetic(plan: RunPlan, out: Out) -> None:
    """How the pictures make up the steps."""
    beside = plan.run.class_pictures.relation == "beside"
    classes = 0 if beside else plan.num_class_visits
    out.line(plan_line(plan.length, plan.num_pictures, plan.repeats, classes, beside))
    if plan.new_class_pictures:
        out.line(f"{plan.new_class_pictures:,} class pictures are drawn first.")
    if not plan.disk.is_enough:
        out.note(f"The disk may be too small: {plan.disk.text()}.")
