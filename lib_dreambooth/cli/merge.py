"""The command `merge`: LoRA files into a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.cli.output import Out


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", metavar="CHECKPOINT", type=Path, help="a checkpoint or diffusers folder")
    parser.add_argument(
        "--lora",
        metavar="FILE:WEIGHT",
        action="append",
        required=True,
        help="a LoRA of any kind and how much of it (default 1); may be repeated",
    )
    parser.add_argument("--to", metavar="TARGET.safetensors", type=Path, required=True)
    parser.add_argument("--precision", choices=("fp16", "bf16", "fp32"), default="", help="default: as it is")
    parser.add_argument("--replace", action="store_true", help="write over a file of that name")


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.adapters.merging import parse_merge
    from lib_dreambooth.tools.merge import merge

    files = [parse_merge(entry) for entry in args.lora]
    with out.counting("Merging") as tell:
        done = merge(args.base, files, args.to, precision=args.precision, replaces=args.replace, tell=tell)
    out.line(f"{done.num_changed} tensors of {args.base.name} changed.")
    for path in done.paths:
        out.line(f"wrote {path}")
    for warning in done.warnings:
        out.note(warning)
    paths = [str(path) for path in done.paths]
    out.result({"paths": paths, "changed": done.num_changed, "warnings": list(done.warnings)})
    return 0
