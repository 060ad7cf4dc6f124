"""The command `inspect`: what a file is, what it holds, and what is wrong with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lib_dreambooth.cli.output import Out


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="a checkpoint, LoRA, embedding, VAE or folder"
    )
    parser.add_argument("--check", action="store_true", help="read every tensor and name those with NaN")
    parser.add_argument("--metadata", action="store_true", help="show all of the metadata")


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.formats.inspection import inspect_file

    found = inspect_file(args.file, reads_all=args.check)
    out.line(f"{args.file.name} is {found.title}.")
    out.table(list(found.facts.items()), indent="  ")
    for warning in found.warnings:
        out.note(warning)
    if args.metadata:
        out.table([(key, shortened(value)) for key, value in sorted(found.metadata.items())], indent="  ")
    result: dict[str, Any] = {"title": found.title, **found.values, "warnings": list(found.warnings)}
    out.result(result | {"metadata": dict(found.metadata)})
    return 0


def shortened(value: str, most: int = 100) -> str:
    """A value that fits on a line."""
    flat = " ".join(value.split())
    return flat if len(flat) <= most else f"{flat[: most - 3]}..."
