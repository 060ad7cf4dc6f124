"""The forecast of memory against what runs take, each in a process of its own.

    python benchmarks/memory.py [--folder DIR] [--only NAME ...]

Makes checkpoints of random weights, asks for the forecast of each run, takes the run with its real trainer,
and compares the highest mark of memory, above what the process had after its imports: resident memory on a
CPU, allocated memory on a card. Writes benchmarks/results/memory.json. The bounds: 10 % on a CPU, 5 % on a
card.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.race.checkpoints import make_checkpoint  # noqa: E402
from benchmarks.race.memory import peaks, restart_peaks  # noqa: E402
from benchmarks.race.pictures import make_pictures  # noqa: E402
from benchmarks.race.table import printed, read, written  # noqa: E402

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy")
BOUNDS = {"cpu": 0.10, "cuda": 0.05}
NUM_PICTURES, NUM_STEPS = 2, 2
UNET_ALONE = {"parts": {"text_encoder_1": {"train": False}, "text_encoder_2": {"train": False}}}
WHOLE = {"network": {"kind": "none"}}

# Family, size of the checkpoint, side of the pictures, settings.
CASES: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "sd1 lora 256": ("sd1", "real", 256, {}),
    "sd1 lora 256, twice": ("sd1", "real", 256, {"memory": {"checkpointing": "on"}}),
    "sd1/2 lora 512": ("sd1", "half", 512, {}),
    "sd1/2 lora 512 batch 2, some": (
        "sd1",
        "half",
        512,
        {"length": {"batch_size": 2}, "memory": {"checkpointing": "some"}},
    ),
    "sd1/2 whole 256 AdamW": ("sd1", "half", 256, WHOLE),
    "sd1/2 whole 256 AdaFactor fused": (
        "sd1",
        "half",
        256,
        {
            **WHOLE,
            "optimizer": {"name": "AdaFactor", "max_grad_norm": 0},
            "memory": {"fused_backward": "on", "checkpointing": "on"},
        },
    ),
    "sd1/2 loha 384": ("sd1", "half", 384, {"network": {"kind": "loha", "rank": 4}}),
    "sd1/2 lora 256 batch 4": ("sd1", "half", 256, {"length": {"batch_size": 4}}),
    "sd1/2 lokr 256": ("sd1", "half", 256, {"network": {"kind": "lokr", "rank": 4}}),
    "sd1/2 dora 320": ("sd1", "half", 320, {"network": {"rank": 8, "decompose": True}}),
    "sd1/2 oft 256": ("sd1", "half", 256, {"network": {"kind": "oft"}}),
    "sd1/2 glora 256": ("sd1", "half", 256, {"network": {"kind": "glora", "rank": 8}}),
    "sd1/2 lora 256 rank 128 Prodigy": (
        "sd1",
        "half",
        256,
        {"network": {"rank": 128}, "optimizer": {"name": "Prodigy"}},
    ),
    "sd1/2 lora 256 batch 2 of 2": ("sd1", "half", 256, {"length": {"batch_size": 2, "accumulation": 2}}),
    "sd1/2 words 256": (
        "sd1",
        "half",
        256,
        {
            **WHOLE,
            "parts": {
                "unet": {"train": False},
                "text_encoder_1": {"train": False},
                "words": {"train": True},
            },
            "words": [{"name": "zwx", "vectors": 4}],
        },
    ),
    "sd1/2 whole 256 Lion, averages": (
        "sd1",
        "half",
        256,
        {**WHOLE, "optimizer": {"name": "Lion"}, "ema": {"use": True}},
    ),
    "sd1/10 lora 512 batch 4": ("sd1", "small", 512, {"length": {"batch_size": 4}}),
    "sdxl/10 lora 512 batch 2": ("sdxl", "small", 512, {"length": {"batch_size": 2}}),
    "sdxl/2 lora 512": ("sdxl", "half", 512, UNET_ALONE),
    "sdxl/2 lora 512 batch 2, twice": (
        "sdxl",
        "half",
        512,
        {**UNET_ALONE, "length": {"batch_size": 2}, "memory": {"checkpointing": "on"}},
    ),
    "sdxl/10 whole 512": ("sdxl", "small", 512, {**WHOLE, **UNET_ALONE}),
}
# Nothing of the forecast was chosen by these.
HELD_OUT = {
    "sd1 lora 256, twice",
    "sd1/2 oft 256",
    "sd1/2 lora 256 rank 128 Prodigy",
    "sd1/2 lora 256 batch 2 of 2",
    "sd1/2 words 256",
    "sd1/10 lora 512 batch 4",
    "sdxl/10 lora 512 batch 2",
    "sdxl/2 lora 512 batch 2, twice",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where files are made for as long as this runs")
    parser.add_argument("--only", nargs="*", choices=list(CASES), help="these runs alone")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(one_run(args.child, args.folder, args.device)))
        return 0
    names = args.only or list(CASES)
    bound = BOUNDS[args.device.partition(":")[0]]
    rows = []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for name in names:
            row = {"run": name, "torch": version("torch"), "is_held_out": name in HELD_OUT}
            rows.append({**row, **child(name, Path(folder), args.device)})
            print(json.dumps(rows[-1]), flush=True)
            # Each as it comes, beside what was measured before.
            written("memory", together(rows, args.device, bound))
    printed(
        ("run", "forecast GB", "measured GB", "error"),
        [(r["run"], r["forecast"] / 1e9, r["measured"] / 1e9, f"{r['error']:+.1%}") for r in rows],
    )
    return 0 if all(abs(row["error"]) <= bound for row in rows) else 1


def together(rows: list[dict[str, Any]], device: str, bound: float) -> dict[str, Any]:
    """These rows with those of before that are of other runs, or of another PyTorch or device."""
    here = {
        "date": time.strftime("%Y-%m-%d"),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "device": device,
        "versions": {"python": platform.python_version(), **{one: version(one) for one in PACKAGES}},
    }
    before = read("memory")
    taken = {(row["run"], row["torch"]) for row in rows}
    kept = [row for row in before.get("runs", []) if "torch" in row]
    kept = [row for row in kept if (row["run"], row["torch"]) not in taken]
    return {
        "what": "highest mark above the imports; CPU: resident memory, card: allocated memory; bytes",
        "bound": bound,
        "environments": {**before.get("environments", {}), version("torch"): here},
        "runs": [*kept, *rows],
        "is_within_bounds": all(abs(row["error"]) <= bound for row in [*kept, *rows]),
    }


def child(name: str, folder: Path, device: str) -> dict[str, Any]:
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--child", name, "--folder", str(folder), "--device", device]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8").stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def one_run(name: str, folder: Path, device: str) -> dict[str, Any]:
    """Forecast and highest mark of a run."""
    from lib_dreambooth.assets import MINI_CHECKPOINT

    family, size, side, changes = CASES[name]
    base = folder / f"{family}-{size}.safetensors"
    if not base.exists():
        make_checkpoint(base, family, size)
    # A batch is never larger than the pictures are many.
    count = max(NUM_PICTURES, changes.get("length", {}).get("batch_size", 1))
    pictures = folder / f"{side}-{count}"
    if not pictures.exists():
        make_pictures(pictures, count, side)
    # All that is imported on the way, by the same run of the miniature.
    train(folder, MINI_CHECKPOINT, pictures, 64, changes, device)
    told = forecast(folder, base, pictures, side, changes, device)
    before = now(device)
    restart_peaks()
    marks = train(folder, base, pictures, side, changes, device)
    measured = max(marks.values()) - before
    steps = marks["training"] - before
    return {
        "forecast": told["peak"],
        "measured": measured,
        "error": told["peak"] / measured - 1,
        "phase": told["largest_phase"],
        "step_forecast": told["phases"]["step"]["total"],
        "step_measured": steps,
        "step_error": told["phases"]["step"]["total"] / steps - 1,
        "parts": told["phases"]["step"]["parts"],
        "totals": {name: need["total"] for name, need in told["phases"].items()},
        "marks": {name: most - before for name, most in marks.items()},
    }


def settings_of(base: Path, pictures: Path, side: int, changes: dict[str, Any], device: str) -> Any:
    from lib_dreambooth import settings

    own = {
        "model": {"base": str(base)},
        "concepts": [{"folder": str(pictures)}],
        "pictures": {"resolution": str(side), "buckets": False},
        "length": {"train_for": f"{NUM_STEPS} steps", **changes.get("length", {})},
        "previews": {"every": "never", "at_start": False, "at_end": False},
        "saving": {"at_end": ["result"]},
        "logging": {"report": False},
        "memory": {"device": device, **changes.get("memory", {})},
    }
    return settings.read({**{k: v for k, v in changes.items() if k not in ("length", "memory")}, **own})


def forecast(
    folder: Path, base: Path, pictures: Path, side: int, changes: dict[str, Any], device: str
) -> Any:
    from lib_dreambooth.forecast.kept import Kept
    from lib_dreambooth.jobs.memory import forecast_of
    from lib_dreambooth.jobs.places import Library
    from lib_dreambooth.jobs.plan import plan_run

    sourced = settings_of(base, pictures, side, changes, device)
    plan = plan_run(sourced, "forecast", Library(folder / "models").results())
    # Nothing is known of this machine: earlier runs here must not help.
    return forecast_of(plan, kept=Kept(folder / "kept"), measures=False).to_json()


def train(
    folder: Path, base: Path, pictures: Path, side: int, changes: dict[str, Any], device: str
) -> dict[str, int]:
    """Takes the run; the highest mark of each phase."""
    from lib_dreambooth.jobs.going_on import started_over
    from lib_dreambooth.jobs.orders import kind_of_base
    from lib_dreambooth.jobs.places import Library
    from lib_dreambooth.runs.events import Event, Phase, Step
    from lib_dreambooth.runs.folder import ModelFolder

    place = Library(folder / "models")
    name = f"m{time.time_ns()}"
    model = ModelFolder.create(place.dreambooth, name, base, kind_of_base(base).family)
    sourced = settings_of(base, pictures, side, changes, device)
    job = started_over(model, sourced, place.results())
    marks: dict[str, int] = {}
    doing = ["starting"]

    def heard(event: Event) -> None:
        if isinstance(event, (Phase, Step)):
            marks[doing[0]] = max(marks.get(doing[0], 0), mark(device))
        if isinstance(event, Phase) and event.name != doing[0]:
            doing[0] = event.name
            restart_peaks()

    job.listeners = [heard]
    job.run()
    return marks


def mark(device: str) -> int:
    """The highest mark of the memory that is meant."""
    found = peaks()
    return found["peak_resident_bytes"] if device == "cpu" else found["peak_allocated_bytes"]


def now(device: str) -> int:
    """What the process has now."""
    import gc

    import psutil
    import torch

    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()
        return torch.cuda.memory_allocated()
    return psutil.Process().memory_info().rss


if __name__ == "__main__":
    sys.exit(main())
