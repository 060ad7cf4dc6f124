"""How long a forecast takes, from the settings to the answer, after imports and in a process of its own.

    python benchmarks/forecast.py [--only NAME ...] [--rounds N]

For this machine's processor, and for cards of several sizes, which need not be here: what is worked out is
the same. Bases are as large as real ones and hold nothing, since a forecast reads no weight; how fast a
machine is was measured before. `first`: nothing is known of this base and these settings. `offers`: what
would fit, where it does not, which is told after it. `changed`: the next one in the same process, after a
change of the learning rate and the rank or the optimizer. `again`: the same once more. Writes
benchmarks/results/forecast.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.race import contest, table  # noqa: E402
from benchmarks.race.checkpoints import make_hollow  # noqa: E402
from benchmarks.race.pictures import make_pictures  # noqa: E402

WHOLE: dict[str, Any] = {"network": {"kind": "none"}}
UNET_ALONE = {"parts": {"text_encoder_1": {"train": False}, "text_encoder_2": {"train": False}}}
# Family, side of the pictures, settings, and what is changed after the first forecast.
CASES: dict[str, tuple[str, int, dict[str, Any], dict[str, Any]]] = {
    "sd1 lora 512": ("sd1", 512, {}, {"network.rank": 8}),
    "sd1 whole 512": ("sd1", 512, WHOLE, {"optimizer.name": "Lion"}),
    "sdxl lora 1024": ("sdxl", 1024, UNET_ALONE, {"network.rank": 8}),
    "sdxl whole 1024": ("sdxl", 1024, {**WHOLE, **UNET_ALONE}, {"optimizer.name": "Lion"}),
}
CPU, NO_ROOM = "cpu", "card"
# Where steps are taken: the processor, a card of which nobody knows the room, cards as they are sold.
PLACES = (CPU, NO_ROOM, "24 GB", "12 GB", "8 GB", "6 GB")
COLUMNS = ("first_s", "first_cpu_s", "offers_s", "changed_s", "again_s")
NUM_PICTURES = 10


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where files are made for as long as this runs")
    parser.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("NAME", "PLACE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(asked(*args.child, args.folder)))
        return 0
    with tempfile.TemporaryDirectory(dir=args.folder, ignore_cleanup_errors=True) as folder:
        for name in args.only:
            family, side, *_ = CASES[name]
            make_hollow(Path(folder) / f"{family}.safetensors", family, "real")
            make_pictures(Path(folder) / str(side), NUM_PICTURES, side)
        rows = [summed_up(name, place, args.rounds, Path(folder)) for name in args.only for place in PLACES]
    head = ("run", "on", "fits", *COLUMNS)
    table.printed(head, [[row[key] for key in head] for row in rows])
    table.written("forecast", {"machine": contest.machine(), "forecasts": rows})
    return 0


def summed_up(name: str, place: str, rounds: int, folder: Path) -> dict[str, Any]:
    """The median of so many processes."""
    call = [sys.executable, __file__, "--folder", str(folder), "--child", name, place]
    found = []
    for _ in range(rounds):
        said = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8").stdout
        found.append(json.loads(said.splitlines()[-1]))
    times = {column: statistics.median(one[column] for one in found) for column in COLUMNS}
    each = {f"all_{column}": [round(one[column], 2) for one in found] for column in COLUMNS}
    return {"run": name, "on": place, **found[0], **times, **each}


def asked(name: str, on: str, folder: Path) -> dict[str, Any]:
    """The times of one process."""
    from lib_dreambooth import settings
    from lib_dreambooth.forecast.kept import Kept
    from lib_dreambooth.jobs.memory import Target, forecast_of
    from lib_dreambooth.jobs.places import Library
    from lib_dreambooth.jobs.plan import plan_run
    from lib_dreambooth.jobs.suiting import USUAL_CARD, room_of_card

    family, side, changes, change = CASES[name]
    own = {
        "model": {"base": str(folder / f"{family}.safetensors")},
        "concepts": [{"folder": str(folder / str(side))}],
        "pictures": {"resolution": str(side)},
    }
    sourced = settings.read({**changes, **own})
    room = None if on in (CPU, NO_ROOM) else room_of_card(float(on.removesuffix(" GB")))
    target = None if on == CPU else Target("cuda", USUAL_CARD, room)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        kept = Kept(Path(place))

        def told(sourced: Any, *, offering: bool = False) -> Any:
            plan = plan_run(sourced, "forecast", Library(Path(place) / "models").results())
            return forecast_of(plan, kept=kept, target=target, measures=False, offering=offering)

        wall, cpu = time.perf_counter(), time.process_time()
        first = told(sourced)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        started = time.perf_counter()
        whole = told(sourced, offering=True) if first.fits is False else first
        offers = time.perf_counter() - started if first.fits is False else 0.0
        started = time.perf_counter()
        told(settings.update(sourced, {**change, "rates.learning_rate": 3e-5}, "the page"))
        changed = time.perf_counter() - started
        started = time.perf_counter()
        told(sourced)
        again = time.perf_counter() - started
    return {
        "fits": first.fits,
        "forecast_bytes": first.forecast.bytes,
        "level": first.forecast.manner.level,
        "offers": len(whole.offers),
        "first_s": wall,
        "first_cpu_s": cpu,
        "offers_s": offers,
        "changed_s": changed,
        "again_s": again,
    }


if __name__ == "__main__":
    sys.exit(main())
