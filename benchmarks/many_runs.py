"""Whether many short runs in one process leave memory, threads or open files behind.

    python benchmarks/many_runs.py [--runs N]

Queues two steps of the bundled miniature again and again, as a WebUI's process does, and looks at the process
ten times on the way. What libraries keep for good is there after the first tenth; from then on nothing may
grow. Writes benchmarks/results/many_runs.json.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import gc
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import psutil
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lib_dreambooth import settings  # noqa: E402
from lib_dreambooth.assets import MINI_CHECKPOINT  # noqa: E402
from lib_dreambooth.assets.shapes import subject  # noqa: E402
from lib_dreambooth.base.host import Alone, HostPaths, HostSettings  # noqa: E402
from lib_dreambooth.jobs import orders  # noqa: E402
from lib_dreambooth.jobs.worker import Worker  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "many_runs.json"
PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy")
MAX_GROWTH_MB = 32.0


class Folders(Alone):
    """A host of plain folders."""

    name, language, reads = "benchmark", "", None
    settings = HostSettings(device="cpu")

    def __init__(self, root: Path) -> None:
        models = root / "models"
        names = {
            "adapters": "Lora",
            "checkpoints": "Stable-diffusion",
            "vae": "VAE",
            "diffusers": "diffusers",
        }
        places = {name: models / folder for name, folder in names.items()}
        self.paths = HostPaths(models=models, embeddings=root / "embeddings", **places)

    @contextlib.contextmanager
    def lend_gpu(self) -> Iterator[None]:
        yield

    def refresh(self, kind: str) -> None:
        """Nothing lists anything."""

    def busy(self) -> str:
        return ""


def short_run(pictures: Path) -> settings.Sourced:
    """Two steps of the miniature."""
    return settings.read(
        {
            "model": {"base": str(MINI_CHECKPOINT)},
            "concepts": [{"folder": str(pictures)}],
            "pictures": {"resolution": 64},
            "network": {"rank": 2},
            "length": {"train_for": "2 steps", "batch_size": 2},
            "draws": {"seed": 1},
            "saving": {"every": "never", "at_end": ["result"], "subfolder": False},
            "previews": {"every": "never", "at_start": False, "at_end": False},
            "logging": {"report": False},
        }
    )


def measured(process: psutil.Process) -> dict[str, Any]:
    """Megabytes in use, threads of the process and of Python, open files."""
    gc.collect()
    return {
        "memory_mb": round(process.memory_info().rss / 1e6),
        "threads": process.num_threads(),
        "python_threads": threading.active_count(),
        "open_files": len(process.open_files()),
    }


def looks(num_runs: int, root: Path) -> Iterator[dict[str, Any]]:
    """Carries the runs out; a look at the process after the first and after each tenth of them."""
    subject.write_subject(root / "pictures")
    host, process = Folders(root), psutil.Process()
    worker, sourced = Worker(host), short_run(root / "pictures")
    began = time.perf_counter()
    for number in range(1, num_runs + 1):
        entry = worker.add(orders.order_new(host, "model", sourced, over=True).entry)
        worker.wait()
        ended = worker.queue.entry(entry.id)
        assert ended.outcome == "done", ended.problem
        if number == 1 or number % max(1, num_runs // 10) == 0:
            yield {
                "runs": number,
                "seconds_each": round((time.perf_counter() - began) / number, 2),
                **measured(process),
            }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    with tempfile.TemporaryDirectory(prefix="sd-webui-dreambooth-") as place:
        for look in looks(args.runs, Path(place)):
            print(", ".join(f"{name} {value}" for name, value in look.items()), flush=True)
            found.append(look)
    # Memory goes up and down with where the allocator finds room: halves are compared.
    settled = found[1:]
    first, second = settled[: len(settled) // 2], settled[len(settled) // 2 :]
    growth = round(fmean(one["memory_mb"] for one in second) - fmean(one["memory_mb"] for one in first), 1)
    is_flat = growth <= MAX_GROWTH_MB and all(
        settled[-1][name] <= settled[0][name] for name in ("threads", "python_threads", "open_files")
    )
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "runs": args.runs,
        "growth_mb_first_half_to_second": growth,
        "is_flat": is_flat,
        "looks": found,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"memory from the first half to the second: {growth:+} MB; flat: {is_flat}")
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
