"""From the command to the first step, and to a finished file: SD 1.5 of real size, 8 pictures at 256.

    python benchmarks/start.py [--peer DIR] [--peer-python FILE] [--rounds N] [--size small]
    python benchmarks/start.py --webui DIR --webui-python FILE [--rounds N]

Each start is a process of its own, by turns, cold and then with kept latents; the checkpoint is in the
system's cache for all. The first step begins with its pass through the UNet, and is the last one too: after
it the file is written. Time in the VAE, which every program takes from diffusers, is counted apart. The
processor's time stands beside the clock's, which other work on the machine disturbs. With a WebUI's folder:
what this extension adds to its start (`race/webui.py`). Writes benchmarks/results/start.json.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.race import command, contest, table, webui  # noqa: E402
from benchmarks.race.checkpoints import SIZES  # noqa: E402

HEAD = (
    "start", "program", "s", "cpu s", "of them VAE", "of peer", "of peer, less VAE", "the same, cpu",
    "s to the file", "of peer",
)  # fmt: skip
KEYS = ("first_step_s", "first_step_cpu_s", "vae_s", "vae_cpu_s", "file_s", "peak_resident_bytes")
# Where a program leaves its file, in its folder.
RESULTS = {contest.OURS: "models/Lora", contest.KOHYA: "output"}


def main() -> int:
    parser = command.parser(__doc__)
    parser.add_argument("--size", choices=SIZES, default="real")
    parser.add_argument("--webui", type=Path, help="a WebUI's folder: its start is measured alone")
    parser.add_argument("--webui-python", default=sys.executable, help="its Python, with what it needs")
    args = parser.parse_args()
    if args.webui is not None:
        return of_webui(args)
    one = contest.case(size=args.size, keeps_latents=True, steps=1)
    taken: dict[str, dict[str, list[dict[str, Any]]]] = {"cold": {}, "warm": {}}
    with command.bench(args) as bench:
        programs = [contest.OURS, *([contest.KOHYA] if bench.peer else [])]
        for number in range(args.rounds):
            for program in programs:
                place = bench.folder / f"{program}-{number}"
                bench.prepare(program, one, place)
                for rows in taken.values():
                    rows.setdefault(program, []).append(started(bench, program, one, place))
    found = {kind: {name: medians(each) for name, each in rows.items()} for kind, rows in taken.items()}
    table.printed(HEAD, [line for kind, rows in found.items() for line in lines(kind, rows)])
    before = table.read("start")
    table.written("start", {**before, "machine": contest.machine(), "case": one, "starts": found})
    return 0


def of_webui(args: Any) -> int:
    """The start of a WebUI with this extension and without; what else was measured stays."""
    with command.bench(args) as bench:
        found = webui.start_up(args.webui, args.webui_python, bench.folder, args.rounds)
    table.printed(
        ("WebUI", "s to the page", "cpu s", "more s", "more cpu s"),
        [
            [
                kind,
                row["wall_s"],
                row["cpu_s"],
                *found["added"].get(kind, {"wall_s": "", "cpu_s": ""}).values(),
            ]
            for kind, row in found["starts"].items()
        ],
    )
    table.printed(("part of ours, by the WebUI's own record", "s"), list(found["own"]["parts"].items()))
    table.written("start", {**table.read("start"), "webui": {"machine": contest.machine(), **found}})
    return 0


def started(bench: contest.Bench, program: str, one: dict[str, Any], place: Path) -> dict[str, Any]:
    """One start, left alone behind the first step until its file is there."""
    began = time.time()
    runner = bench.start(program, one, place)
    runner.finish()
    [file] = (place / RESULTS[program]).rglob("*.safetensors")
    found = {**runner.first, "file_s": file.stat().st_mtime - began, "command": runner.command}
    file.unlink()
    return found


def medians(each: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {key: round(statistics.median(one[key] for one in each), 3) for key in KEYS}
    found["all_first_step_s"] = [round(one["first_step_s"], 2) for one in each]
    return {**found, "versions": each[0]["versions"], "command": each[0]["command"]}


def lines(kind: str, rows: dict[str, dict[str, Any]]) -> list[list[Any]]:
    peer = rows.get(contest.KOHYA)
    found = []
    for name, row in rows.items():
        clock, cpu = (without_vae(row, place) for place in (0, 1))
        of_peer: list[Any] = ["", "", ""]
        file_of_peer: Any = ""
        if peer is not None:
            of_peer = [
                row["first_step_s"] / peer["first_step_s"],
                clock / without_vae(peer, 0),
                cpu / without_vae(peer, 1),
            ]
            file_of_peer = row["file_s"] / peer["file_s"]
        start = [row["first_step_s"], row["first_step_cpu_s"], row["vae_s"]]
        found.append([kind, name, *start, *of_peer, row["file_s"], file_of_peer])
    return found


def without_vae(row: dict[str, Any], place: int) -> float:
    """Seconds by the clock (0) or of the processor (1), less the VAE's."""
    return float(row[KEYS[place]] - row[KEYS[place + 2]])


if __name__ == "__main__":
    sys.exit(main())
