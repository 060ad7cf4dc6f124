"""Steps per second and peak memory, by turns with a peer: same weights, same pictures, same settings.

    python benchmarks/step.py [--peer DIR] [--peer-python FILE] [--diffusers DIR] [--diffusers-python FILE]
                              [--cases NAME ...] [--rounds N] [--steps N] [--size real|small]

On a CPU a LoRA for SD 1.5 at 256; on a card LoRA and whole weights of SD 1.5 at 512 and of SDXL at 1024.
Weights are random and of real size. Each peer is measured by turns with ours; beside diffusers' scripts,
whose LoRA is in attention alone, ours has the same layers ("ours, as diffusers"). A program that does not fit
is said to run out of memory. Each round begins its count of memory anew, so that peaks are those of steps.
Writes benchmarks/results/step.json.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.race import command, contest, diffusers_scripts, table  # noqa: E402
from benchmarks.race.checkpoints import SIZES  # noqa: E402
from benchmarks.race.link import Died  # noqa: E402

ON_CPU: dict[str, dict[str, Any]] = {"sd1 lora 256 x1": {"side": 256}}
ON_CARD: dict[str, dict[str, Any]] = {
    "sd1 lora 512 x1": {"side": 512},
    "sd1 lora 512 x4": {"side": 512, "batch": 4},
    "sd1 whole 512 x1": {"side": 512, "kind": "whole", "rate": 1e-5},
    "sdxl lora 1024 x1": {"family": "sdxl", "side": 1024},
    "sdxl lora 1024 x4": {"family": "sdxl", "side": 1024, "batch": 4, "checkpointing": True},
    "sdxl whole 1024 x1": {
        "family": "sdxl",
        "side": 1024,
        "kind": "whole",
        "rate": 1e-5,
        "checkpointing": True,
    },
}
HEAD = (
    "case",
    "program",
    "weights",
    "s",
    "cpu s",
    "of peer",
    "cpu",
    "GiB in steps",
    "of peer",
    "GiB in all",
    "of peer",
)
GIB = 2**30
OURS, KOHYA, LIKE_DIFFUSERS, DIFFUSERS = "ours", "kohya", "ours, as diffusers", "diffusers"
PEERS = {OURS: KOHYA, KOHYA: KOHYA, LIKE_DIFFUSERS: DIFFUSERS, DIFFUSERS: DIFFUSERS}


def main() -> int:
    import torch

    has_card = torch.cuda.is_available()
    cases = ON_CARD if has_card else ON_CPU
    parser = command.parser(__doc__)
    parser.add_argument("--steps", type=int, default=20 if has_card else 1)
    parser.add_argument("--size", choices=SIZES, default="real", help="results are kept of real ones alone")
    parser.add_argument("--cases", nargs="+", choices=list(cases), default=list(cases))
    args = parser.parse_args()
    found = {}
    with command.bench(args) as bench:
        for name in args.cases:
            one = contest.case(size=args.size, **({"mixed": "bf16"} if has_card else {}), **cases[name])
            rows: dict[str, Any] = {}
            for pair in pairs(bench, one):
                rows |= measured(bench, pair, args)
            found[name] = {"case": one, "programs": rows}
    table.printed(HEAD, [row for name, one in found.items() for row in lines(name, one["programs"])])
    result = {"machine": contest.machine(), "steps": args.steps, "rounds": args.rounds, "cases": found}
    if args.size == "real":
        table.written("step", result)
    return 0


def pairs(bench: contest.Bench, one: dict[str, Any]) -> list[dict[str, tuple[str, dict[str, Any]]]]:
    """What is measured by turns: ours with each peer, and with what that peer trains."""
    first = {OURS: (contest.OURS, one)}
    if bench.peer is not None:
        first[KOHYA] = (contest.KOHYA, one)
    if bench.diffusers is None:
        return [first]
    like = one | {"ours": diffusers_scripts.same_layers(one)}
    return [first, {LIKE_DIFFUSERS: (contest.OURS, like), DIFFUSERS: (contest.DIFFUSERS, one)}]


def measured(bench: contest.Bench, wanted: Any, args: Any) -> dict[str, Any]:
    """The rows of a pair. Where both do not fit beside each other they are measured one after the other."""
    try:
        return together(bench, wanted, args)
    except Died as died:
        if "out of memory" not in str(died).lower() or len(wanted) == 1:
            raise
    rows: dict[str, Any] = {}
    for name, each in wanted.items():
        try:
            rows |= together(bench, {name: each}, args)
        except Died as died:
            rows[name] = {"failed": str(died).splitlines()[-1]}
    return rows


def together(bench: contest.Bench, wanted: Any, args: Any) -> dict[str, Any]:
    """Programs by turns."""
    with bench.runners(wanted) as runners:
        rows = contest.by_turns(runners, args.steps, args.rounds)
        for name, runner in runners.items():
            rows[name] |= {"first": runner.first, "command": runner.command}
            # Reading the model included.
            for key in [key for key in runner.first if key.startswith("peak_")]:
                rows[name][f"whole_{key}"] = max(rows[name][key], runner.first[key])
    return rows


def lines(case: str, rows: dict[str, Any]) -> list[list[Any]]:
    """The table's lines of one case."""
    found: list[list[Any]] = []
    for name, row in rows.items():
        peer = rows.get(PEERS[name], {})
        if "failed" in row:
            found.append([case, name, "", row["failed"], *[""] * 7])
            continue
        peak = "peak_allocated_bytes" if "peak_allocated_bytes" in row else "peak_resident_bytes"
        keys = ("step_wall_s", "step_cpu_s", peak, f"whole_{peak}")
        wall, cpu, memory, whole = (row[key] / peer[key] if key in peer else "" for key in keys)
        times = [row["step_wall_s"], row["step_cpu_s"], wall, cpu]
        weights = row["first"]["trained_numbers"]
        found.append(
            [case, name, weights, *times, row[peak] / GIB, memory, row[f"whole_{peak}"] / GIB, whole]
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
