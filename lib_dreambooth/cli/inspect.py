"""The command `inspect`: what a file is, what it holds, and what is wrong with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lib_dreambooth.cli.output import Out

BAD_INPUT = 2


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="a checkpoint, LoRA, embedding, VAE or folder"
    )
    parser.add_argument(
        "--quick", action="store_true", help="read the header alone: values that are no numbers stay unseen"
    )
    parser.add_argument("--metadata", action="store_true", help="show all of the metadata")


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.formats.inspection import inspect_file

    found = inspect_file(args.file, reads_all=not args.quick)
    out.line(f"{args.file.name} is {found.title}.")
    out.table(list(found.facts.items()), indent="  ")
    for warning in found.warnings:
        out.note(warning)
    if args.metadata:
        out.table([(key, shortened(value)) for key, value in sorted(found.metadata.items())], indent="  ")
    result: dict[str, Any] = {"title": found.title, **found.values, "warnings": list(found.warnings)}
    result["metadata"] = dict(found.metadata)
    if found.problem is not None:
        out.note(found.problem.sentence(), "red")
        result["error"] = found.problem.to_json()
    out.result(result)
    return BAD_INPUT if found.problem is not None else 0


def shortened(value: str, most: int = 100) -> str:
    """A value that fits on a line."""
    flat = " ".join(value.split())
    return flat if len(flat) <= most else f"{flat[: most - 3]}..."
