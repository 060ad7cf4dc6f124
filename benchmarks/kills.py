"""Whether a run that is killed again and again ends as if nothing had been.

    python benchmarks/kills.py [--kills N] [--seed N] [--folder DIR]

Trains the bundled miniature for 20 steps, a LoRA and whole weights with their average by turns, each in a
process of its own that is killed (as `kill -9`) at a random moment of a random place: while reading, drawing
class pictures, encoding, in a step, saving a file, writing a state, drawing samples. After each kill the run
goes on by itself, until it is done. Every state that was told of must be there and whole after every kill,
and the last state and file must have the bytes of a run that nobody disturbed. Writes
benchmarks/results/kills.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.training.killed_runs import PLACES, Killed, assert_same_end, killed, made, straight  # noqa: E402
from tests.training.made_runs import NUM_STEPS  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "kills.json"
KINDS = ("lora", "whole")
KILLS_OF_A_RUN = 5
BEFORE_STEPS = PLACES[:3]
PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the runs are made for as long as this works")
    args = parser.parse_args()
    chance, began = random.Random(args.seed), time.monotonic()
    reports: list[Killed] = []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        undisturbed = {kind: straight(Path(folder) / f"straight {kind}", kind) for kind in KINDS}
        while (left := args.kills - sum(len(report.kills) for report in reports)) > 0:
            kind = KINDS[len(reports) % len(KINDS)]
            whole, lengths = undisturbed[kind]
            root = Path(folder) / f"killed {len(reports)}"
            report = killed(root, kind, places(chance)[:left], lengths, chance)
            assert_same_end(whole, made(root, kind))
            reports.append(report)
            print(f"{kind}: same bytes after {', '.join(kill.landed for kill in report.kills)}", flush=True)
    result = summed(reports, args.seed, time.monotonic() - began)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    return 0


def places(chance: random.Random) -> list[str]:
    """Where a run is killed: once before its steps, then anywhere; those that a start passes early first."""
    later = [place for place in PLACES if place not in BEFORE_STEPS]
    return [chance.choice(BEFORE_STEPS), *chance.sample([*later, "reading"], k=KILLS_OF_A_RUN - 1)]


def summed(reports: list[Killed], seed: int, seconds: float) -> dict[str, Any]:
    """What is kept of the reports; a failed check would have ended the work before."""
    kills = [kill for report in reports for kill in report.kills]
    meant, landed = Counter(kill.place for kill in kills), Counter(kill.landed for kill in kills)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "seed": seed,
        "steps": NUM_STEPS,
        "runs": dict(Counter(report.kind for report in reports)),
        "kills": len(kills),
        "meant_for": dict(meant),
        "landed_in": dict(landed),
        "states_lost": 0,
        "states_damaged": 0,
        "runs_that_needed_a_hand": 0,
        "runs_that_ended_in_other_bytes": 0,
        "files_left_behind": sum(report.leftovers for report in reports),
        "seconds": round(seconds),
    }


def machine() -> dict[str, Any]:
    return {"system": platform.platform(), "cores": os.cpu_count()}


if __name__ == "__main__":
    sys.exit(main())
