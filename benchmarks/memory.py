"""The forecast of memory against what runs take, each in a process of its own.

    python benchmarks/memory.py [--folder DIR] [--device cuda] [--only NAME ...]

Makes checkpoints of random weights, asks for the forecast of each run, takes the run with its real trainer,
and compares the highest mark of memory, above what the process had after its imports: resident memory on a
CPU, allocated memory on a card. All presets are among the runs, with previews; on a card also what is chosen
for cards up to its size, each held to its room. Writes benchmarks/results/memory.json. The bounds: 10 % on a
CPU, 5 % on a card.
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
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.race.checkpoints import make_checkpoint  # noqa: E402
from benchmarks.race.memory import peaks, restart_peaks  # noqa: E402
from benchmarks.race.pictures import make_pictures  # noqa: E402
from benchmarks.race.table import printed, read, written  # noqa: E402
from lib_dreambooth import settings  # noqa: E402
from lib_dreambooth.settings.preset import applied, listed, named  # noqa: E402
from lib_dreambooth.settings.sources import Sourced  # noqa: E402

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy")
BOUNDS = {"cpu": 0.10, "cuda": 0.05}
NUM_PICTURES, NUM_STEPS = 2, 2
GIB = 1 << 30
UNET_ALONE = {"parts": {"text_encoder_1": {"train": False}, "text_encoder_2": {"train": False}}}
WHOLE = {"network": {"kind": "none"}}
FUSED = {
    **WHOLE,
    "optimizer": {"name": "AdaFactor", "max_grad_norm": 0},
    "memory": {"fused_backward": "on", "checkpointing": "on"},
}

# Family, size of the checkpoint, side of the pictures, settings.
PLAIN: dict[str, tuple[str, str, int, dict[str, Any]]] = {
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
        FUSED,
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
    "sd1/2 lora 256 bf16": ("sd1", "half", 256, {"precision": {"mixed": "bf16"}}),
    "sd1/2 whole 256 in half": (
        "sd1",
        "half",
        256,
        {**WHOLE, "precision": {"mixed": "bf16", "weights": "half"}},
    ),
    "sd1/2 whole 256 in half, fused": (
        "sd1",
        "half",
        256,
        {
            **FUSED,
            "precision": {"mixed": "bf16", "weights": "half"},
        },
    ),
    "sd1/2 lora 256, nothing kept": (
        "sd1",
        "half",
        256,
        {"memory": {"cache_latents": "off", "cache_text": "off"}},
    ),
    "sd1/2 whole 256 batch 1 of 2, away": (
        "sd1",
        "half",
        256,
        {
            **WHOLE,
            "length": {"accumulation": 2},
            "memory": {"checkpointing": "offload", "gradients": "system"},
        },
    ),
    "sd1/2 locon 320 batch 2, some": (
        "sd1",
        "half",
        320,
        {
            "network": {"conv_rank": 8},
            "length": {"batch_size": 2},
            "memory": {"checkpointing": "some"},
        },
    ),
    "sd1/2 lora 384 bf16, twice": (
        "sd1",
        "half",
        384,
        {"precision": {"mixed": "bf16"}, "memory": {"checkpointing": "on"}},
    ),
    "sdxl/10 dora 512, twice": (
        "sdxl",
        "small",
        512,
        {"network": {"rank": 8, "decompose": True}, "memory": {"checkpointing": "on"}},
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
# Family, size and side of runs by preset, the larger pictures those of SDXL; on a CPU, and on a card.
OF_PRESETS = {
    "cpu": (("sd1", "half", 256), ("sdxl", "small", 512)),
    "cuda": (("sd1", "real", 512), ("sdxl", "real", 1024)),
}
# What presets leave to the user.
IN_PRESETS: dict[str, Any] = {"words": [{"name": "zwx", "vectors": 4}]}
PREVIEWS = {"at_end": True, "steps": 2, "prompts": ["a red ring"], "batch_size": 1}
# Chosen for each card.
OF_CARDS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "sd1 lora 512": ("sd1", "real", 512, {}),
    "sd1 whole 512": ("sd1", "real", 512, WHOLE),
    "sdxl lora 1024": ("sdxl", "real", 1024, UNET_ALONE),
    "sdxl whole 1024": ("sdxl", "real", 1024, {**WHOLE, **UNET_ALONE}),
}
# Nothing of the forecast was chosen by these.
HELD_OUT = {
    "sd1/2 locon 320 batch 2, some",
    "sd1/2 lora 384 bf16, twice",
    "sdxl/10 dora 512, twice",
    "sd1/2 oft 256",
    "sd1/2 lora 256 rank 128 Prodigy",
    "sd1/2 lora 256 batch 2 of 2",
    "sd1/2 words 256",
    "sd1/2 whole 256 in half, fused",
    "sd1/2 lora 256, nothing kept",
    "sd1/2 whole 256 batch 1 of 2, away",
    "sd1/10 lora 512 batch 4",
    "sdxl/10 lora 512 batch 2",
}


@dataclass(frozen=True)
class Case:
    """A run: `preset` by name, or what suits a card of so many GB."""

    family: str
    size: str
    side: int
    changes: dict[str, Any]
    preset: str = ""
    card: float = 0.0


def cases(device: str) -> dict[str, Case]:
    """All runs of a kind of device, by name."""
    found = {name: Case(*one) for name, one in PLAIN.items()}
    for preset in listed():
        is_large = preset.settings.get("pictures", {}).get("resolution") == "1024"
        of_words = preset.settings.get("parts", {}).get("words", {}).get("train", False)
        family, size, side = OF_PRESETS[device][is_large]
        name = f'"{preset.name}" {family} {size} {side}'
        found[name] = Case(family, size, side, IN_PRESETS if of_words else {}, preset=preset.name)
    if device == "cuda":
        import torch

        from lib_dreambooth.jobs.suiting import CARDS_GIB

        there = torch.cuda.get_device_properties(0).total_memory / GIB
        for card in (card for card in CARDS_GIB if card <= there + 1):
            found |= {f"{card} GB: {name}": Case(*one, card=card) for name, one in OF_CARDS.items()}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where files are made for as long as this runs")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these runs alone")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(one_run(args.child, args.folder, args.device)))
        return 0
    kind = args.device.partition(":")[0]
    names = args.only or list(cases(kind))
    unknown = set(names) - set(cases(kind))
    if unknown:
        parser.error(f"no run is called {', '.join(unknown)}; there are: {', '.join(cases(kind))}")
    bound = BOUNDS[kind]
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

    case = cases(device.partition(":")[0])[name]
    base = folder / f"{case.family}-{case.size}.safetensors"
    if not base.exists():
        make_checkpoint(base, case.family, case.size)
    # A batch is never larger than the pictures are many.
    count = max(NUM_PICTURES, case.changes.get("length", {}).get("batch_size", 1))
    pictures = folder / f"{case.side}-{count}"
    for place in (pictures, of_class(pictures)):
        if not place.exists():
            make_pictures(place, count, case.side)
    # All that is imported on the way, by the same run of the miniature.
    train(folder, settings_of(replace(case, side=64, card=0), Path(MINI_CHECKPOINT), pictures, device))
    sourced = settings_of(case, base, pictures, device)
    told = forecast(folder, sourced)
    before = now(device)
    restart_peaks()
    if case.card:
        hold_to(case.card)
    marks = train(folder, sourced)
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


def of_class(pictures: Path) -> Path:
    """Where the class pictures of a folder of pictures are."""
    return pictures.with_name(f"class-{pictures.name}")


def settings_of(case: Case, base: Path, pictures: Path, device: str) -> Sourced:
    """The settings of a case on this base."""
    changes = case.changes
    previews = PREVIEWS if case.preset else {"at_end": False}
    of_preset = named(case.preset).settings if case.preset else {}
    brings_class_pictures = of_preset.get("class_pictures", {}).get("draw") is False
    beside = {"class_token": "ring", "class_folder": str(of_class(pictures))}
    own = {
        "model": {"base": str(base)},
        "concepts": [{"folder": str(pictures), **(beside if brings_class_pictures else {})}],
        "pictures": {"resolution": str(case.side), "buckets": False},
        "length": {"train_for": f"{NUM_STEPS} steps", "whole_epochs": False, **changes.get("length", {})},
        "previews": {"every": "never", "at_start": False, **previews},
        "saving": {"at_end": ["result"], "every": "never"},
        "rates": {"warmup": "0 steps"},
        "logging": {"report": False},
        "memory": {"device": device, **changes.get("memory", {})},
    }
    given = settings.read({name: value for name, value in changes.items() if name not in own})
    if case.preset:
        given = applied(named(case.preset), given)
    given = settings.read(own, base=given)
    if not case.card:
        return given
    from lib_dreambooth.jobs.suiting import room_of_card, suited

    return suited(given, room_of_card(case.card), may_change=True).sourced


def hold_to(card: float) -> None:
    """This process may have no more of the card than it would have of one of so many GB."""
    import torch

    from lib_dreambooth.jobs.suiting import room_of_card

    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, room_of_card(card) / whole))


def forecast(folder: Path, sourced: Sourced) -> Any:
    from lib_dreambooth.forecast.kept import Kept
    from lib_dreambooth.jobs.memory import forecast_of
    from lib_dreambooth.jobs.places import Library
    from lib_dreambooth.jobs.plan import plan_run

    plan = plan_run(sourced, "forecast", Library(folder / "models").results())
    # Nothing is known of this machine: earlier runs here must not help.
    return forecast_of(plan, kept=Kept(folder / "kept"), measures=False).to_json()


def train(folder: Path, sourced: Sourced) -> dict[str, int]:
    """Takes the run; the highest mark of each phase."""
    from lib_dreambooth.jobs.going_on import started_over
    from lib_dreambooth.jobs.orders import kind_of_base
    from lib_dreambooth.jobs.places import Library
    from lib_dreambooth.runs.events import Event, Phase, Step
    from lib_dreambooth.runs.folder import ModelFolder

    place = Library(folder / "models")
    name = f"m{time.time_ns()}"
    device, base = sourced.run.memory.device, Path(sourced.run.model.base)
    model = ModelFolder.create(place.dreambooth, name, base, kind_of_base(base).family)
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
