"""The arithmetic of a step over the rate at which this machine multiplies matrices, as a fraction.

    python benchmarks/limit.py [--cases NAME ...] [--rounds N] [--steps N]

Operations of forward and backward pass are counted from the graph (products, convolutions, attention; two for
a multiplication with its addition). The machine's rate is the best of several products of large matrices in
the numbers that the case computes in. Writes benchmarks/results/limit.json.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.race import command, contest, table  # noqa: E402
from benchmarks.race.checkpoints import SIZES  # noqa: E402

ON_CPU: dict[str, dict[str, Any]] = {"sd1 lora 256 x1": {"side": 256}}
ON_CARD: dict[str, dict[str, Any]] = {
    "sd1 lora 512 x1": {"side": 512, "mixed": "bf16"},
    "sd1 lora 512 x4": {"side": 512, "batch": 4, "mixed": "bf16"},
    "sdxl lora 1024 x1": {"family": "sdxl", "side": 1024, "mixed": "bf16"},
    "sdxl lora 1024 x4": {"family": "sdxl", "side": 1024, "batch": 4, "mixed": "bf16"},
}
HEAD = ("case", "s a step", "TFLOP a step", "TFLOP/s", "of them possible", "fraction")
TERA = 1e12
WIDTHS_CPU, WIDTHS_CARD = (1024, 2048), (4096, 8192)


def main() -> int:
    import torch

    has_card = torch.cuda.is_available()
    cases = ON_CARD if has_card else ON_CPU
    parser = command.parser(__doc__)
    parser.add_argument("--steps", type=int, default=20 if has_card else 1)
    parser.add_argument("--size", choices=SIZES, default="real")
    parser.add_argument("--cases", nargs="+", choices=list(cases), default=list(cases))
    args = parser.parse_args()
    found = {}
    with command.bench(args) as bench:
        for name in args.cases:
            found[name] = measured(bench, contest.case(size=args.size, **cases[name]), args)
    table.printed(
        HEAD,
        [
            [name, *(row[key] for key in ("step_wall_s", "tflop", "rate", "best_rate", "fraction"))]
            for name, row in found.items()
        ],
    )
    table.written("limit", {"machine": contest.machine(), "cases": found})
    return 0


def measured(bench: contest.Bench, one: dict[str, Any], args: Any) -> dict[str, Any]:
    """Time, operations and rates of one case."""
    rates = [best_rate(one["mixed"])]
    with bench.runners({"ours": (contest.OURS, one)}) as runners:
        row = contest.by_turns(runners, args.steps, args.rounds)["ours"]
        operations = runners["ours"].operations()["operations"]
    rates.append(best_rate(one["mixed"]))
    rate = operations / row["step_wall_s"] / TERA
    return {
        **row,
        "case": one,
        "tflop": operations / TERA,
        "rate": rate,
        "best_rate": max(rates),
        "fraction": rate / max(rates),
    }


def best_rate(mixed: str) -> float:
    """Tera operations a second of the fastest large product, in the numbers of a case."""
    import torch

    has_card = torch.cuda.is_available()
    dtype = torch.bfloat16 if mixed == "bf16" else torch.float32
    device = "cuda" if has_card else "cpu"
    found = 0.0
    for width in WIDTHS_CARD if has_card else WIDTHS_CPU:
        left, right = (torch.randn(width, width, device=device, dtype=dtype) for _ in range(2))
        left @ right
        for _ in range(10 if has_card else 3):
            synchronized()
            started = time.perf_counter()
            left @ right
            synchronized()
            found = max(found, 2 * width**3 / (time.perf_counter() - started) / TERA)
    return found


def synchronized() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())
