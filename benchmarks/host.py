"""What a step costs besides its arithmetic: full-depth networks at a tenth of the width.

    python benchmarks/host.py [--peer DIR] [--peer-python FILE] [--rounds N] [--steps N]

Each program trains a LoRA on all 192 (SD 1.5) or 722 (SDXL) modules; a step is everything between two moves
of its optimizer. Operator calls and waits of the host are counted in one step of their own. "plain" is our
program with each network as four operators beside its layer. Writes benchmarks/results/host.json.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.race import command, contest, table  # noqa: E402
from benchmarks.race.plain import SETTINGS  # noqa: E402

SIDES = {"sd1": 64, "sdxl": 64}
NUM_KINDS = 40
HEAD = (
    "family",
    "program",
    "ms a step",
    "of kohya",
    "cpu ms",
    "of kohya",
    "operator calls",
    "of plain",
    "host waits",
)


def main() -> int:
    parser = command.parser(__doc__)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--families", nargs="+", default=["sd1", "sdxl"])
    args = parser.parse_args()
    found: dict[str, Any] = {}
    with command.bench(args) as bench:
        for family in args.families:
            found[family] = measured(bench, family, args)
            result = {"machine": contest.machine(), "steps": args.steps, "rounds": args.rounds}
            table.written("host", result | {"families": found})
    table.printed(HEAD, [row for family, one in found.items() for row in lines(family, one)])
    return 0


def measured(bench: contest.Bench, family: str, args: Any) -> dict[str, Any]:
    """Every program on one family."""
    one = contest.case(family, size="small", side=SIDES[family])
    plain = contest.case(family, size="small", side=SIDES[family], ours=SETTINGS)
    apart = contest.case(family, size="small", side=SIDES[family], ours={"memory": {"joined": "off"}})
    wanted = {
        "ours": (contest.OURS, one),
        "ours, not joined": (contest.OURS, apart),
        "plain": (contest.PLAIN, plain),
    }
    if bench.peer is not None:
        wanted["kohya"] = (contest.KOHYA, one)
    with bench.runners(wanted) as runners:
        rows = contest.by_turns(runners, args.steps, args.rounds)
        for name, runner in runners.items():
            counted = runner.counted()
            kinds = counted["kinds"].most_common(NUM_KINDS)
            rows[name] |= {**counted, "kinds": dict(kinds), **runner.first, "command": runner.command}
    return rows


def lines(family: str, found: dict[str, Any]) -> list[list[Any]]:
    """The table's lines of one family."""
    peer = found.get("kohya")
    plain = found.get("plain")
    return [
        [
            family,
            name,
            1000 * row["step_wall_s"],
            row["step_wall_s"] / peer["step_wall_s"] if peer else "",
            1000 * row["step_cpu_s"],
            row["step_cpu_s"] / peer["step_cpu_s"] if peer else "",
            row["operators"],
            row["operators"] / plain["operators"] if plain else "",
            row["host_waits"],
        ]
        for name, row in found.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
