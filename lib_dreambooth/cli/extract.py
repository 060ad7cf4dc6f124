"""The command `extract`: a LoRA of what two checkpoints differ in."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.resize import add_size


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", metavar="BASE", type=Path, help="the checkpoint that it was trained from")
    parser.add_argument("tuned", metavar="TRAINED", type=Path, help="the checkpoint that was trained")
    parser.add_argument("--to", metavar="TARGET.safetensors", type=Path, required=True)
    parser.add_argument("--conv-rank", type=int, default=0, help="also convolutions, of this rank")
    add_size(parser)
    parser.add_argument("--precision", choices=("fp16", "bf16", "fp32"), default="fp16")
    parser.add_argument("--replace", action="store_true", help="write over a file of that name")


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.tools.extract import extract
    from lib_dreambooth.tools.resize import Size

    size = Size(args.rank, args.conv_rank, args.keep, args.of)
    with out.counting("Extracting") as tell:
        done = extract(
            args.base, args.tuned, args.to, size, precision=args.precision, replaces=args.replace, tell=tell
        )
    out.line(f"{sum(done.ranks.values())} layers differ; {done.lost:.1%} of the change is gone.")
    out.line(f"wrote {done.path}")
    out.result(
        {
            "path": str(done.path),
            "ranks": {str(rank): count for rank, count in sorted(done.ranks.items())},
            "same": done.num_same,
            "lost": done.lost,
        }
    )
    return 0
