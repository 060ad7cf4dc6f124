"""The command `tell`: asks a run in another process for something."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.running import add_models
from lib_dreambooth.runs.commands import (
    Command,
    GoOn,
    MakeFiles,
    Pause,
    SampleNow,
    SaveNow,
    StopAfterStep,
    StopAtEpochEnd,
    StopWithoutSaving,
    leave,
)

if TYPE_CHECKING:
    from lib_dreambooth.runs.folder import ModelFolder

COMMANDS: dict[str, tuple[Command, str]] = {
    "pause": (Pause(), "leaves the card to others until `go-on`"),
    "go-on": (GoOn(), "ends a pause"),
    "save": (SaveNow(), "saves what a regular save would, and a state"),
    "make": (MakeFiles(), "writes the files that --file names, and goes on"),
    "sample": (SampleNow(), "draws previews"),
    "cancel": (StopAfterStep(), "ends after this step and saves what the settings say for it"),
    "finish-epoch": (StopAtEpochEnd(), "ends when every picture had its turn, and saves as at the end"),
    "discard": (StopWithoutSaving(), "ends at once and saves nothing"),
}
FILES = ("result", "checkpoint", "diffusers")
WAIT_S = 10.0
LOOK_EVERY_S = 0.1


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="NAME|FOLDER", help="a model by its name or its folder")
    said = "; ".join(f"{name}: {text}" for name, (_, text) in COMMANDS.items())
    parser.add_argument("command", metavar="COMMAND", choices=list(COMMANDS), help=said)
    parser.add_argument(
        "--file",
        metavar="KIND",
        action="append",
        choices=FILES,
        help=f"what `make` writes, {', '.join(FILES)}; default: {FILES[0]}; may be given several times",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=float,
        default=WAIT_S,
        help=f"how long to wait until the run has taken it; default: {WAIT_S:g}",
    )
    add_models(parser)


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.jobs.places import library
    from lib_dreambooth.runs.folder import ModelFolder
    from lib_dreambooth.runs.lock import holder_of

    folder = ModelFolder.open(args.model, library(args.models).dreambooth)
    if holder_of(folder.path) is None:
        raise nothing_runs(folder)
    command, _ = COMMANDS[args.command]
    if isinstance(command, MakeFiles):
        command = MakeFiles(files=tuple(args.file or FILES[:1]))
    path = leave(folder.inbox_dir, command)
    is_taken = wait_until_gone(path, args.wait)
    if not is_taken and holder_of(folder.path) is None:
        path.unlink(missing_ok=True)
        raise nothing_runs(folder)
    name = visible_line(folder.name)
    if is_taken:
        out.line(f"{name}: the run has taken `{args.command}`.")
    else:
        out.line(f"{name}: `{args.command}` is left for the run, which takes it after the step it is at.")
    out.result({"model": str(folder.path), "command": args.command, "is_taken": is_taken})
    return 0


def wait_until_gone(path: Path, seconds: float) -> bool:
    """Whether whoever the file is for took it in this time."""
    end = time.monotonic() + seconds
    while path.exists():
        if time.monotonic() >= end:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def nothing_runs(folder: ModelFolder) -> UserError:
    """The sentence for a model that nobody trains."""
    return UserError(
        "nothing is running for this model.",
        where=folder.name,
        todo="Start it first, with train or resume.",
        code="not-running",
    )
