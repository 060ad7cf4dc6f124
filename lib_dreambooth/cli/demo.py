"""The command `demo`: the whole job on the bundled miniature."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.cli.output import Out


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("demo"), help="default: demo")
    parser.add_argument(
        "--steps", type=int, default=0, help="training steps; fewer are quicker and teach less"
    )


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.jobs.demo import NUM_STEPS, run_demo

    num_steps = args.steps or NUM_STEPS
    out.line("Training a subject that the small model does not know, from 8 drawn pictures of it.")
    with out.progress(num_steps, "training", "step") as advance:
        made = run_demo(args.out, lambda step, loss: advance(1), num_steps)
    out.line(f"LoRA:      {made.lora}")
    out.line(f"pictures:  {made.grid}  (before, at half strength, at full strength)")
    out.line()
    out.line(
        "In a WebUI with the miniature (python run.py mini --into WEBUI), put the file into models/Lora and"
    )
    out.line(f"prompt:    {made.prompt} <lora:{made.lora.stem}:1>")
    result = {
        "lora": str(made.lora),
        "grid": str(made.grid),
        "losses": list(made.losses),
        "prompt": made.prompt,
    }
    out.result(result)
    return 0
