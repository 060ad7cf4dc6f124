"""Many short runs in one process: memory and threads, ten times over. `python benchmarks/many_runs.py [N]`"""

from __future__ import annotations

import contextlib
import gc
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.assets.shapes import subject
from lib_dreambooth.base.host import Alone, HostPaths, HostSettings
from lib_dreambooth.jobs import orders
from lib_dreambooth.jobs.worker import Worker

NUM_RUNS = 100


class Folders(Alone):
    """A host of plain folders."""

    name, language = "benchmark", ""
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


def measured(process: psutil.Process) -> tuple[float, int, int]:
    """Megabytes in use, threads of the process, and threads of Python."""
    gc.collect()
    return process.memory_info().rss / 1e6, process.num_threads(), threading.active_count()


def main(num_runs: int) -> None:
    torch.set_num_threads(1)
    process = psutil.Process()
    with tempfile.TemporaryDirectory(prefix="sd-webui-dreambooth-") as place:
        root = Path(place)
        subject.write_subject(root / "pictures")
        host = Folders(root)
        worker = Worker(host)
        sourced = short_run(root / "pictures")
        print("run    s each    memory MB    threads    of Python")
        began = time.perf_counter()
        for number in range(1, num_runs + 1):
            entry = worker.add(orders.order_new(host, "model", sourced, over=True).entry)
            worker.wait()
            ended = worker.queue.entry(entry.id)
            assert ended.outcome == "done", ended.problem
            if number == 1 or number % max(1, num_runs // 10) == 0:
                memory, threads, of_python = measured(process)
                each = (time.perf_counter() - began) / number
                print(f"{number:3d} {each:9.2f} {memory:12.0f} {threads:10d} {of_python:12d}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else NUM_RUNS)
