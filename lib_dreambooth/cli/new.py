"""The command `new`: a model folder that knows its base. Nothing is copied or converted."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lib_dreambooth.base.showing import shown_bytes, visible_line
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.running import add_models

if TYPE_CHECKING:
    from lib_dreambooth.training.export.places import Folders


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="what the model is called; also the name of its folder")
    parser.add_argument(
        "--base",
        metavar="FILE",
        required=True,
        help="what it is trained from: a checkpoint or a diffusers folder; it is only read. With "
        "--download a name of the Hugging Face hub too (owner/name, owner/name/FILE.safetensors)",
    )
    parser.add_argument("--download", action="store_true", help="fetch the base where it is not there yet")
    add_models(parser)


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.jobs.completing import kind_of_base
    from lib_dreambooth.jobs.places import library
    from lib_dreambooth.runs.folder import ModelFolder

    found = library(args.models)
    path = fetched(args.base, found.results(), out) if args.download else Path(args.base)
    kind = kind_of_base(path)
    folder = ModelFolder.create(found.dreambooth, args.name, path, kind.family)
    base = str(path.absolute())
    out.line(f"{visible_line(folder.name)}: made in {visible_line(str(folder.path))}")
    out.line(f"It is trained from {visible_line(base)}, {kind.title()}.")
    out.line(f'Train it: train SETTINGS.toml --name "{visible_line(folder.name)}"')
    out.result({"name": folder.name, "path": str(folder.path), "base": base, "family": kind.family})
    return 0


def fetched(written: str, into: Folders, out: Out) -> Path:
    """The base on this machine, brought from the hub where it has to be; raises UserError."""
    from lib_dreambooth.jobs.hub import fetch, is_written_as_hub, look

    if not is_written_as_hub(written):
        return Path(written)
    found = look(written, into)
    if not found.is_there:
        with out.counting(f"Fetching {shown_bytes(found.num_bytes)}") as tell:
            fetch(found, tell)
    return found.target
