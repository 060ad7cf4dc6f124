"""The command `demo`: the whole job on the bundled miniature."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.cli.interrupts import cancelling
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.run_progress import listener_for

CANCELLED = 130


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("demo"), help="default: demo")
    parser.add_argument(
        "--steps", type=int, default=0, help="training steps; fewer are quicker and teach less"
    )


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.jobs.demo import NUM_STEPS, before_and_after, demo_job
    from lib_dreambooth.runs.events import DONE

    job = demo_job(args.out.absolute(), args.steps or NUM_STEPS)
    out.line("Training a subject that the small model does not know, from 8 drawn pictures of it.")
    listener = listener_for(out)
    job.listeners = [listener]
    try:
        with cancelling(job.box, out):
            ended = job.run()
    finally:
        listener.close()
    if ended.outcome != DONE:
        out.line("Cancelled.")
        return CANCELLED
    made = before_and_after(ended.results[-1].path, args.out)
    out.line(f"LoRA:      {made.lora}")
    out.line(f"pictures:  {made.grid}  (before, at half strength, at full strength)")
    out.line(f"report:    {job.report}")
    out.line()
    out.line(
        "In a WebUI with the miniature (python run.py mini --into WEBUI), put the file into models/Lora and"
    )
    out.line(f"prompt:    {made.prompt} <lora:{made.lora.stem}:1>")
    found = {"lora": made.lora, "grid": made.grid, "report": job.report, "prompt": made.prompt}
    out.result({key: str(value) for key, value in found.items()})
    return 0
