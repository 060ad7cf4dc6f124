"""The command `convert`: a model in another form or precision."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.cli.output import Out


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FILE", type=Path, help="a checkpoint, a part of one, or a folder")
    parser.add_argument(
        "--to", metavar="TARGET", type=Path, required=True, help="NAME.safetensors, or a new diffusers folder"
    )
    parser.add_argument("--precision", choices=("fp16", "bf16", "fp32"), default="", help="default: as it is")
    parser.add_argument("--vae", metavar="FILE", type=Path, help="a VAE in place of the model's own")
    parser.add_argument("--ema", action="store_true", help="take the averaged weights where there are any")
    parser.add_argument("--drop-ema", action="store_true", help="leave the averaged weights out")


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.tools.convert import convert

    done = convert(
        args.source,
        args.to,
        precision=args.precision,
        prefer_ema=args.ema,
        keep_ema=not args.drop_ema,
        vae_path=args.vae,
    )
    out.line(f"{args.source.name} is {done.title}.")
    for path in done.paths:
        out.line(f"wrote {path}")
    for warning in done.warnings:
        out.note(warning)
    paths = [str(path) for path in done.paths]
    out.result({"title": done.title, "paths": paths, "warnings": list(done.warnings)})
    return 0
