"""The command `compare`: networks and words at several strengths, and checkpoints, in one sheet."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.sample import MINI_NAME, SAMPLERS, parse_size


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        metavar="FILE",
        type=Path,
        nargs="+",
        help="a LoRA, an embedding or a checkpoint (drawn once, in place of the base); one row each",
    )
    parser.add_argument("--base", metavar="FILE", required=True, help=f"a checkpoint, or `{MINI_NAME}`")
    parser.add_argument("--prompt", metavar="TEXT", action="append", required=True, help="may be repeated")
    parser.add_argument("--strengths", metavar="A,B,...", default="0,0.25,0.5,0.75,1", help="one column each")
    parser.add_argument("--negative", metavar="TEXT", default="")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True)
    parser.add_argument("--sampler", choices=SAMPLERS, default="euler a")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=7.0)
    parser.add_argument(
        "--size", metavar="WIDTHxHEIGHT", default="", help="default: as the model was trained"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("fp16", "bf16", "fp32"), default="", help="default: fits")
    parser.add_argument("--device", default="", help="default: a CUDA card where there is one")


def run(args: argparse.Namespace, out: Out) -> int:
    strengths = parse_strengths(args.strengths)
    # Only here, so that a wrong argument is said at once.
    from lib_dreambooth.assets import MINI_CHECKPOINT
    from lib_dreambooth.sampling.drawing import DrawJob
    from lib_dreambooth.tools.compare import compare

    job = DrawJob(
        base=MINI_CHECKPOINT if args.base == MINI_NAME else Path(args.base),
        prompts=tuple(args.prompt),
        negative=args.negative,
        sampler=args.sampler,
        steps=args.steps,
        guidance=args.guidance,
        size_wh=parse_size(args.size) if args.size else None,
        seed=args.seed,
        precision=args.precision,
        device=args.device,
    )
    with out.counting("Drawing") as tell:
        done = compare(job, args.files, strengths, args.out, tell=tell)
    out.line(str(done.path))
    files = [str(path) for path in done.files]
    out.result({"picture": str(done.path), "files": files, "strengths": list(done.strengths)})
    return 0


def parse_strengths(text: str) -> tuple[float, ...]:
    """Numbers with commas between them; raises UserError."""
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UserError(
            f"{text!r} are no strengths.", where="--strengths", todo="Write them as 0,0.5,1."
        ) from error
