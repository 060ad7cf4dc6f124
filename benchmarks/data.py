"""How fast folders are read and batches fed: `python benchmarks/data.py` writes benchmarks/results/data.json.

Pictures are made for it: a few hundred different JPEGs, each copied under many names with other trailing
bytes, so that every file has a content of its own. Files are in the system's memory when they are read, as
they were just written; a cold disk adds its own time. Beside the time on the clock stands the processor time:
where other programs keep the machine busy, that is what the work itself takes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lib_dreambooth.data.cache.latents import LatentCache, Wanted  # noqa: E402
from lib_dreambooth.data.cache.stores import DiskStore, MemoryStore  # noqa: E402
from lib_dreambooth.data.dataset import Dataset  # noqa: E402
from lib_dreambooth.data.feeding.batch import Assembler  # noqa: E402
from lib_dreambooth.data.feeding.feed import feed  # noqa: E402
from lib_dreambooth.data.scanning.scan import Scan, scan  # noqa: E402
from lib_dreambooth.diffusion.draws import Draw  # noqa: E402
from lib_dreambooth.settings.schema import Concept, Draws, Length, Pictures, Run  # noqa: E402
from lib_dreambooth.settings.values import Size  # noqa: E402

DIFFERENT = 200
STEP_S = 0.03
SHAPES = [(512, 768), (640, 640), (768, 512), (600, 900)]


def make_pictures(folder: Path, count: int) -> int:
    """Pictures with captions; gives the bytes written."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    originals = []
    for k in range(min(DIFFERENT, count)):
        width, height = SHAPES[k % len(SHAPES)]
        small = draw.integers(0, 255, (height // 16, width // 16, 3), dtype=np.uint8)
        path = folder / "original.jpg"
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=95)
        originals.append(path.read_bytes())
        path.unlink()
    written = 0
    for k in range(count):
        data = originals[k % len(originals)] + f"{k:012d}".encode()
        (folder / f"picture {k:06d}.jpg").write_bytes(data)
        tags = ", ".join(f"tag{(k * 7 + j) % 500}" for j in range(20))
        (folder / f"picture {k:06d}.txt").write_text(f"riho, {tags}", encoding="utf-8")
        written += len(data)
    return written


@dataclass(frozen=True)
class Took:
    """Seconds on the clock and of the processor, all threads together."""

    clock_s: float
    processor_s: float


def timed(work: Callable[[], Any], times: int = 1) -> tuple[Took, Any]:
    """The shortest of some tries and the last result."""
    clock, processor, result = float("inf"), float("inf"), None
    for _ in range(times):
        start, used = time.perf_counter(), time.process_time()
        result = work()
        clock = min(clock, time.perf_counter() - start)
        processor = min(processor, time.process_time() - used)
    return Took(clock, processor), result


def made_run(folder: Path, batch_size: int = 4) -> Run:
    return Run(
        concepts=(Concept(folder=str(folder)),),
        pictures=Pictures(resolution=Size(512, 512)),
        draws=Draws(seed=0),
        length=Length(batch_size=batch_size),
    )


def measure_scans(work: Path, counts: list[int]) -> dict[str, Any]:
    """First and second scan of folders of growing size."""
    rows = []
    for count in counts:
        folder, index = work / f"pictures{count}", work / f"index{count}.json"
        num_bytes = make_pictures(folder, count)
        run = made_run(folder)
        first, scanned = timed(lambda run=run, index=index: scan(run, index))
        second, again = timed(lambda run=run, index=index: scan(run, index), 3)
        assert again == scanned and len(scanned.items) == count and not scanned.findings
        rows.append(
            {
                "pictures": count,
                "megabytes": round(num_bytes / 1e6, 1),
                "first_scan_s": round(first.clock_s, 3),
                "first_scan_processor_s": round(first.processor_s, 3),
                "second_scan_s": round(second.clock_s, 3),
                "second_scan_processor_s": round(second.processor_s, 3),
                "first_scan_processor_us_per_picture": round(first.processor_s / count * 1e6, 1),
                "bytes_per_picture": round(memory_of(run, index) / count),
            }
        )
    return {"scans": rows}


def memory_of(run: Run, index: Path) -> int:
    """Bytes that stay in memory for the items, their captions and the order of an epoch."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept: list[Any] = []

    def load() -> None:
        dataset = Dataset(run, scan(run, index))
        dataset.captions_of([dataset.plan.step(0)])
        kept.append(dataset)

    load()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown


def encode(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Stands in for the VAE: the right shapes in no time."""
    mean = torch.nn.functional.avg_pool2d(pixels, 8).repeat(1, 2, 1, 1)[:, :4].contiguous()
    return mean, mean.abs() + 0.01


def measure_feeding(work: Path, scanned: Scan, run: Run) -> dict[str, Any]:
    """What a training step waits for its batch, and what a batch costs in all."""
    dataset = Dataset(run, scanned)
    cache = LatentCache(MemoryStore(), "vae")
    cache.fill(dataset.wanted(dataset.plan.pairs_of_epoch(0)), encode)
    assembler = Assembler(dataset, cache)
    plan = dataset.plan
    steps = min(plan.steps_per_epoch, 200)
    batches = [batch for number in range(steps) for batch in plan.step(number)]
    made, _ = timed(lambda: [assembler.make(batch) for batch in batches], 3)
    waited = []
    source = feed(plan, assembler.make, 0, steps, workers=1)
    for _ in range(steps):
        start = time.perf_counter()
        next(source)
        waited.append(time.perf_counter() - start)
        time.sleep(STEP_S)
    return {
        "batch": "4 pictures of 512 x 512, latents drawn afresh from mean and spread",
        "wait_ms_per_batch": round(float(np.median(waited[2:])) * 1e3, 4),
        "wait_ms_per_batch_99_percent": round(float(np.quantile(waited[2:], 0.99)) * 1e3, 4),
        "made_ahead_ms_per_batch": round(made.clock_s / len(batches) * 1e3, 3),
        "made_ahead_processor_ms_per_batch": round(made.processor_s / len(batches) * 1e3, 3),
        "step_assumed_ms": STEP_S * 1e3,
    }


def measure_disk(work: Path, scanned: Scan, run: Run) -> dict[str, Any]:
    """Reading entries of the disk cache against reading its files."""
    dataset = Dataset(run, scanned)
    folder = work / "cache"
    wants = dataset.wanted(dataset.plan.pairs_of_epoch(0))
    LatentCache(DiskStore(folder), "vae").fill(wants, encode)
    files = sorted(folder.iterdir())
    num_bytes = sum(path.stat().st_size for path in files)
    whole, _ = timed(lambda: [len(path.read_bytes()) for path in files], 5)
    single = as_single_files(work / "single", files, len(wants))
    apart, _ = timed(lambda: [len(path.read_bytes()) for path in single], 5)
    rows = {
        "entries": len(wants),
        "megabytes": round(num_bytes / 1e6, 1),
        "plain_large_files_mb_per_s": round(num_bytes / whole.clock_s / 1e6),
        "plain_file_per_picture_mb_per_s": round(num_bytes / apart.clock_s / 1e6),
    }
    for name, again in (("first_read_checked", False), ("later_reads", True)):
        took = read_entries(folder, wants, again)
        rows[f"{name}_mb_per_s"] = round(num_bytes / took.clock_s / 1e6)
        rows[f"{name}_share_of_file_per_picture"] = round(apart.processor_s / took.processor_s, 2)
        rows[f"{name}_share_of_large_files"] = round(whole.processor_s / took.processor_s, 2)
    opened, _ = timed(lambda: DiskStore(folder), 3)
    rows["open_ms"] = round(opened.clock_s * 1e3, 2)
    return rows


def as_single_files(folder: Path, files: list[Path], count: int) -> list[Path]:
    """The same bytes as one file for each entry."""
    folder.mkdir()
    data = b"".join(path.read_bytes() for path in files)
    size = -(-len(data) // count)
    paths = [folder / f"{k}.bin" for k in range(count)]
    for k, path in enumerate(paths):
        path.write_bytes(data[k * size : (k + 1) * size])
    return paths


def read_entries(folder: Path, wants: list[Wanted], again: bool) -> Took:
    """All entries, each read and checked for the first time, or read again."""
    tries = []
    for _ in range(5):
        store = DiskStore(folder)
        cache = LatentCache(store, "vae")
        cache.groups(wants)
        names = cache.names()
        if again:
            for key in names:
                store.read(key)
        tries.append(timed(lambda store=store, names=names: [store.read(key) is None for key in names])[0])
    return Took(min(took.clock_s for took in tries), min(took.processor_s for took in tries))


def measure_draws() -> dict[str, Any]:
    """Normal numbers for one picture's latent, and one small draw."""
    latent, _ = timed(lambda: [Draw(0, "noise", "x", k).normal((4, 64, 64)) for k in range(50)], 3)
    small, _ = timed(lambda: [Draw(0, "flip", "x", k).uniform() for k in range(2000)], 3)
    return {
        "latent_512_processor_ms": round(latent.processor_s / 50 * 1e3, 3),
        "one_number_processor_us": round(small.processor_s / 2000 * 1e6, 2),
    }


def processor() -> str:
    """The processor's name, where the system tells it."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "load_average": [round(x, 1) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "data.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    work = Path(tempfile.mkdtemp(prefix="dreambooth-bench-"))
    try:
        result = {"machine": machine()}
        result |= measure_scans(work, sorted({max(1, asked.pictures // 10), asked.pictures}))
        few = work / f"pictures{max(1, asked.pictures // 10)}"
        run = made_run(few)
        scanned = scan(run)
        result["feeding"] = measure_feeding(work, scanned, run)
        result["disk_cache"] = measure_disk(work, scanned, run)
        result["draws"] = measure_draws()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
