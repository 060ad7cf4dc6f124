"""What more of something costs: pictures in a batch, pictures in a folder, processes.

    python benchmarks/scale.py [--size small|real] [--steps N] [--rounds N] [--most-pictures N]

Time a picture with batches of 1 to 16, from the command to the first step with 10 to 10,000 pictures, and
pictures a second of 1 and 2 processes (`torchrun`, which shares this machine's cores between them). Networks
of full depth at a tenth of the width, unless asked for others. Writes benchmarks/results/scale.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.race import command, contest, ours, table  # noqa: E402
from benchmarks.race.checkpoints import SIZES  # noqa: E402

BATCHES = (1, 2, 4, 8, 16)
COUNTS = (10, 100, 1_000, 10_000)
PROCESSES = (1, 2)
PARTS = ("batches", "pictures", "processes")
SIDE = 64
# Of a run in several processes, which is timed as a whole.
MANY_STEPS = 20


def main() -> int:
    parser = command.parser(__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--most-pictures", type=int, default=COUNTS[-1])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    with command.bench(args) as bench:
        batches = {count: batch(bench, count, args) for count in BATCHES if "batches" in args.parts}
        folders = COUNTS if "pictures" in args.parts else ()
        counts = {count: folder(bench, count, args) for count in folders if count <= args.most_pictures}
        together_ = PROCESSES if "processes" in args.parts else ()
        processes = {count: together(bench, count, args) for count in together_}
    table.printed(
        ("batch", "ms a step", "cpu ms a picture"),
        [
            (count, 1000 * row["step_wall_s"], 1000 * row["step_cpu_s"] / count)
            for count, row in batches.items()
        ],
    )
    table.printed(
        ("pictures", "s to the first step", "cpu s", "of them VAE", "cpu ms a step", "peak GiB"),
        [
            (
                count,
                row["first_step_s"],
                row["first_step_cpu_s"],
                row["vae_cpu_s"],
                1000 * row["step_cpu_s"],
                row["peak_resident_bytes"] / 2**30,
            )
            for count, row in counts.items()
        ],
    )
    table.printed(("processes", "s a step of all", "pictures a second"), list(map(tuple, processes.values())))
    found = {"batches": batches, "pictures": counts, "processes": processes}
    # What was not asked for stays as it was measured before.
    before = table.read("scale") if args.parts != list(PARTS) else {}
    measured = {part: found[part] for part in args.parts}
    table.written("scale", {**before, "machine": contest.machine(), **measured})
    return 0


def batch(bench: contest.Bench, count: int, args: Any) -> dict[str, Any]:
    """Steps of so many pictures."""
    one = contest.case(size=args.size, side=SIDE, batch=count, pictures=32)
    with bench.runners({"ours": (contest.OURS, one)}) as runners:
        return contest.by_turns(runners, args.steps, args.rounds)["ours"]


def folder(bench: contest.Bench, count: int, args: Any) -> dict[str, Any]:
    """A start with so many pictures, and steps after it."""
    one = contest.case(size=args.size, side=SIDE, pictures=count)
    with bench.runners({"ours": (contest.OURS, one)}) as runners:
        first = runners["ours"].first
        return {**contest.by_turns(runners, args.steps, args.rounds)["ours"], **first}


def together(bench: contest.Bench, count: int, args: Any) -> list[float]:
    """So many processes, the seconds of a step of all of them, and pictures a second."""
    steps = max(MANY_STEPS, args.steps * args.rounds)
    work = bench.folder / f"processes-{count}"
    taken = []
    # A run of twice the length takes longer by its steps alone.
    for length in (steps, 2 * steps):
        place = work / str(length)
        place.mkdir(parents=True)
        one = contest.case(size=args.size, side=SIDE, steps=length, pictures=32)
        files = {
            "checkpoint": str(bench.checkpoint("sd1", args.size)),
            "pictures": str(bench.pictures(32, SIDE)),
            "work": str(place),
        }
        launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={count}"] if count > 1 else []
        call = [sys.executable, *launcher, "-m", "lib_dreambooth", *ours.arguments(one, files)]
        with (place / "log.txt").open("wb") as log:
            subprocess.run(call, check=True, stdout=log, stderr=log, cwd=ROOT, env=dict(os.environ))
        taken.append(seconds_of_steps(place))
    step = (taken[1] - taken[0]) / steps
    return [count, step, count / step]


def seconds_of_steps(place: Path) -> float:
    """From the first step of a run to its end, by the times of its events."""
    [path] = place.rglob("events.jsonl")
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    begun = next(event["time"] for event in events if event["kind"] == "started")
    return float(events[-1]["time"] - begun)


if __name__ == "__main__":
    sys.exit(main())
