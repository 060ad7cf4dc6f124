"""The command `new`: a model folder that knows its base. Nothing is copied or converted."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.running import add_models


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="what the model is called; also the name of its folder")
    parser.add_argument(
        "--base",
        metavar="FILE",
        type=Path,
        required=True,
        help="what it is trained from: a checkpoint or a diffusers folder; it is only read",
    )
    add_models(parser)


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.jobs.completing import kind_of_base
    from lib_dreambooth.jobs.places import library
    from lib_dreambooth.runs.folder import ModelFolder

    kind = kind_of_base(args.base)
    folder = ModelFolder.create(library(args.models).dreambooth, args.name, args.base, kind.family)
    base = str(args.base.absolute())
    out.line(f"{visible_line(folder.name)}: made in {visible_line(str(folder.path))}")
    out.line(f"It is trained from {visible_line(base)}, {kind.title()}.")
    out.line(f'Train it: train SETTINGS.toml --name "{visible_line(folder.name)}"')
    out.result({"name": folder.name, "path": str(folder.path), "base": base, "family": kind.family})
    return 0
