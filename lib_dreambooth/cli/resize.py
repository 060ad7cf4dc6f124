"""The command `resize`: a LoRA of a smaller rank."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.cli.output import Out


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="LORA", type=Path, help="a LoRA or LoCon file")
    parser.add_argument("--to", metavar="TARGET.safetensors", type=Path, required=True)
    parser.add_argument("--conv-rank", type=int, default=0, help="of convolutions (default: the same)")
    add_size(parser)
    parser.add_argument("--precision", choices=("fp16", "bf16", "fp32"), default="", help="default: as it is")
    parser.add_argument("--replace", action="store_true", help="write over a file of that name")


def add_size(parser: argparse.ArgumentParser) -> None:
    """How small it gets, for every command that works out ranks."""
    parser.add_argument("--rank", type=int, default=0, help="the largest rank of a layer")
    parser.add_argument(
        "--keep",
        metavar="SHARE",
        type=float,
        default=0.0,
        help="as few ranks in each layer as keep this share, such as 0.95; with --rank no more than that",
    )
    parser.add_argument(
        "--of",
        choices=("frobenius", "sum", "ratio"),
        default="frobenius",
        help="what it is a share of: the length of the change (sv_fro in kohya's scripts), the sum of its "
        "singular values (sv_cumulative), or ratio: values no smaller than the largest one divided by it "
        "(sv_ratio)",
    )


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.tools.resize import Size, resize

    size = Size(args.rank, args.conv_rank, args.keep, args.of)
    with out.counting("Resizing") as tell:
        done = resize(args.source, args.to, size, precision=args.precision, replaces=args.replace, tell=tell)
    layers = sum(done.ranks.values())
    out.line(f"{layers} layers of rank {done.ranks_text}; {done.lost:.1%} of the change is gone.")
    if done.num_kept:
        out.note(f"{done.num_kept} modules of other kinds stayed as they are.")
    out.line(f"wrote {done.path}")
    out.result(
        {
            "path": str(done.path),
            "ranks": {str(rank): count for rank, count in sorted(done.ranks.items())},
            "lost": done.lost,
            "num_bytes": done.num_bytes,
            "kept": done.num_kept,
        }
    )
    return 0
