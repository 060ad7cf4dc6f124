"""The command `sample`: pictures from a checkpoint, with or without LoRA files."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.cli.output import Out

MINI_NAME = "mini"
WEIGHT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")
SAMPLERS = ("euler", "euler a", "ddim", "dpm++ 2m karras", "unipc")


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", metavar="FILE", required=True, help=f"a checkpoint, or `{MINI_NAME}`")
    parser.add_argument("--lora", metavar="FILE:WEIGHT", action="append", default=[], help="may be repeated")
    parser.add_argument(
        "--embedding",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="a word of prompts, named as the file is; may be repeated",
    )
    parser.add_argument("--prompt", metavar="TEXT", action="append", required=True, help="may be repeated")
    parser.add_argument("--negative", metavar="TEXT", default="")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True)
    parser.add_argument("--vae", metavar="FILE", type=Path, help="a VAE in place of the checkpoint's own")
    parser.add_argument("--sampler", choices=SAMPLERS, default="euler a")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=7.0)
    parser.add_argument(
        "--size", metavar="WIDTHxHEIGHT", default="", help="default: as the model was trained"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first picture; the next ones count up")
    parser.add_argument("--count", type=int, default=1, help="pictures of each prompt")
    parser.add_argument("--clip-skip", type=int, default=1)
    parser.add_argument("--noise-source", choices=("GPU", "CPU", "NV"), default="GPU")
    parser.add_argument("--batch", type=int, default=1, help="pictures at a time")
    parser.add_argument(
        "--vae-stripes",
        action="store_true",
        help="decode in stripes: less memory, the same picture; done anyway where memory is short",
    )
    parser.add_argument(
        "--precision", choices=("fp16", "bf16", "fp32"), default="", help="default: fits the device"
    )
    parser.add_argument("--device", default="", help="default: a CUDA card where there is one")


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.assets import MINI_CHECKPOINT
    from lib_dreambooth.sampling.drawing import DrawJob, draw_to_folder
    from lib_dreambooth.sampling.loras import LoraUse

    size = parse_size(args.size) if args.size else None
    if args.count < 1:
        raise UserError(f"{args.count} is not possible.", where="--count", todo="Choose 1 or more.")
    job = DrawJob(
        base=MINI_CHECKPOINT if args.base == MINI_NAME else Path(args.base),
        loras=tuple(LoraUse(*parse_lora(text)) for text in args.lora),
        embeddings=tuple(args.embedding),
        prompts=tuple(args.prompt) * args.count,
        negative=args.negative,
        vae=args.vae,
        sampler=args.sampler,
        steps=args.steps,
        guidance=args.guidance,
        size_wh=size,
        seed=args.seed,
        clip_skip=args.clip_skip,
        noise_source=args.noise_source,
        batch_size=args.batch,
        is_striped=args.vae_stripes,
        precision=args.precision,
        device=args.device,
    )
    with out.progress(len(job.prompts), "drawing", "picture") as advance:
        paths = []
        for path in draw_to_folder(job, args.out):
            paths.append(path)
            advance(1)
    for path in paths:
        out.line(str(path))
    out.result({"pictures": [str(path) for path in paths]})
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """`512x768` as width and height; `512` for a square."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise UserError(f"{text!r} is no size.", where="--size", todo="Write it as 512x768.")
    return int(sides[0]), int(sides[-1])


def parse_lora(text: str) -> tuple[Path, float]:
    """`FILE:WEIGHT`, or `FILE` for a weight of 1; a drive letter's colon is no weight."""
    path, _, weight = text.rpartition(":")
    if path and WEIGHT.fullmatch(weight):
        return Path(path), float(weight)
    return Path(text), 1.0
