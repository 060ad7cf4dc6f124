"""The README's table of speed and memory, from benchmarks/results and nowhere else.

    python benchmarks/quoted.py

Run it after a benchmark has written its results; a test compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README, RESULTS = ROOT / "README.md", ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- benchmarks/quoted.py -->", "<!-- end -->"
# Ours and its peer in each comparison.
KOHYA, DIFFUSERS = ("ours", "kohya"), ("ours, as diffusers", "diffusers")
NAMES = {"kohya": "kohya's scripts", "diffusers": "diffusers' script"}
SAME_LAYERS = ", attention alone"
ABOUT_DIFFUSERS = (
    "diffusers' script has networks beside attention alone, as ours then, and encodes pictures and captions "
    "in every step. "
)
HEAD = """| what | here | others | share | command |
|---|---|---|---|---|"""


def main() -> int:
    text = README.read_text(encoding="utf-8")
    README.write_text(quoted(text), encoding="utf-8")
    return 0


def quoted(text: str) -> str:
    """The README with the table of today's results between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def table() -> str:
    """Rows of every result that has a peer, then the machine."""
    of_steps = list(of_step(read("step")))
    rows = [*of_steps, *of_host(read("host")), *of_start(read("start"))]
    machine = read("start")["machine"]
    has_diffusers = any(NAMES[DIFFUSERS[1]] in line for line in of_steps)
    about = (
        f"Processor seconds, of starts seconds by the clock, on {machine['cores']} cores "
        f"({machine['processor']}), without a graphics card, "
        f"{machine['date']}; random weights, side by side in one run. "
        f"{ABOUT_DIFFUSERS if has_diffusers else ''}All else stands in `benchmarks/results`."
    )
    return "\n".join([HEAD, *rows, "", about])


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def of_step(result: dict[str, Any]) -> Iterator[str]:
    # What counts on a card is the clock, and the card's memory.
    is_card = bool(result["machine"]["cards"])
    time = "step_wall_s" if is_card else "step_cpu_s"
    key = "whole_peak_allocated_bytes" if is_card else "whole_peak_resident_bytes"
    for case, found in result["cases"].items():
        # A program that ran out of memory has neither.
        programs = {name: one for name, one in found["programs"].items() if key in one}
        in_gib = {name: {key: one[key] / 2**30} for name, one in programs.items()}
        for pair, of in ((KOHYA, ""), (DIFFUSERS, SAME_LAYERS if "lora" in case else "")):
            if pair[0] in programs:
                yield row(f"a step, {case}{of}", programs, time, "s", "step.py", pair)
                yield row(f"most memory, {case}{of}", in_gib, key, "GiB", "step.py", pair)


def of_host(result: dict[str, Any]) -> Iterator[str]:
    for family, programs in result["families"].items():
        yield row(f"a step's cost besides arithmetic, {family} LoRA", programs, "step_cpu_s", "s", "host.py")
        yield row(f"operators of a step, {family} LoRA", programs, "operators", "", "host.py")


def of_start(result: dict[str, Any]) -> Iterator[str]:
    starts = result["starts"]
    less = {name: {"wall": one["first_step_s"] - one["vae_s"]} for name, one in starts["cold"].items()}
    yield row("command to first step, cold, less the VAE's arithmetic", less, "wall", "s", "start.py")
    yield row("the same, with kept latents", starts["warm"], "first_step_s", "s", "start.py")


def row(
    what: str,
    programs: dict[str, dict[str, Any]],
    key: str,
    unit: str,
    command: str,
    pair: tuple[str, str] = KOHYA,
) -> str:
    ours, peer = programs[pair[0]][key], programs.get(pair[1], {}).get(key)
    other = "" if peer is None else f"{shown(peer, unit)} ({NAMES[pair[1]]})"
    share = "" if peer is None else f"{ours / peer:.2f}"
    return f"| {what} | {shown(ours, unit)} | {other} | {share} | `{command}` |"


def shown(value: float, unit: str) -> str:
    return f"{value:,.{digits(value)}f} {unit}".strip()


def digits(value: float) -> int:
    """Of the fraction, so that three figures are told."""
    return 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3


if __name__ == "__main__":
    sys.exit(main())
