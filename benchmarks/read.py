"""How long a real-size checkpoint takes to become modules, and how much memory.

    python benchmarks/read.py [--folder DIR] [--rounds N]

Makes an SD 1.5 file of random float16 weights (2.1 GB) and reads it by turns as modules and as copies of all
its tensors. Each reading is the first one of a process of its own, after its imports, with the file in the
system's cache. Writes benchmarks/results/read.json. The bounds: twice the time of the copying read, 1.15
times the file in anonymous memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

RESULT = ROOT / "benchmarks" / "results" / "read.json"
MAX_TIME_RATIO = 2.0
MAX_MEMORY_RATIO = 1.15
SAMPLE_S = 0.005
PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where the file is made for as long as this runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", choices=("copies", "modules", "make"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child == "make":
        make_file(args.file)
        return 0
    if args.child is not None:
        print(json.dumps(measured(READERS[args.child](args.file))))
        return 0
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder) / "sd15.safetensors"
        child("make", path)
        child("copies", path)
        taken: dict[str, list[dict[str, float]]] = {"copies": [], "modules": []}
        for _ in range(args.rounds):
            for name, results in taken.items():
                results.append(json.loads(child(name, path).splitlines()[-1]))
        result = judged(path.stat().st_size, taken)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    return 0 if result["is_within_bounds"] else 1


def child(what: str, path: Path) -> str:
    """What one step says in a process of its own."""
    command = [sys.executable, __file__, "--child", what, "--file", str(path)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8").stdout


def judged(size: int, taken: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    medians = {
        name: {key: round(statistics.median(one[key] for one in results), 3) for key in results[0]}
        for name, results in taken.items()
    }
    time_ratio = medians["modules"]["wall_s"] / medians["copies"]["wall_s"]
    memory_ratio = max(one["peak_bytes"] for one in taken["modules"]) / size
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "memory_gib": memory_gib(),
            "load": [round(load, 1) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "file_bytes": size,
        "medians": medians,
        "all_wall_s": {name: [round(one["wall_s"], 3) for one in results] for name, results in taken.items()},
        "time_ratio": round(time_ratio, 3),
        "time_ratio_cpu": round(medians["modules"]["cpu_s"] / medians["copies"]["cpu_s"], 3),
        "max_time_ratio": MAX_TIME_RATIO,
        "memory_ratio": round(memory_ratio, 3),
        "max_memory_ratio": MAX_MEMORY_RATIO,
        "is_within_bounds": time_ratio <= MAX_TIME_RATIO and memory_ratio <= MAX_MEMORY_RATIO,
    }


def make_file(path: Path) -> None:
    """An SD 1.5 checkpoint with random weights, tensor by tensor."""
    import torch

    from lib_dreambooth.formats.clip_keys import ClipLayout, hf_links
    from lib_dreambooth.formats.safetensors_write import Pending, write_safetensors
    from lib_dreambooth.formats.unet_keys import unet_links
    from lib_dreambooth.formats.unet_layout import UNetLayout
    from lib_dreambooth.formats.vae_keys import VaeLayout, vae_links

    depths = ((1, 1),) * 3 + ((0, 0),), ((0,) * 3,) + ((1,) * 3,) * 3, 1
    unet = UNetLayout(4, 4, (320, 640, 1280, 1280), *depths, 768, 1280, 0, is_linear=False)
    parts = {
        "model.diffusion_model.": unet_links(unet),
        "first_stage_model.": vae_links(VaeLayout(3, 3, 4, (128, 256, 512, 512), 2, has_quant=True)),
        "cond_stage_model.transformer.": hf_links(ClipLayout(49408, 77, 768, 3072, 12, 0)),
    }

    def maker(shape: tuple[int, ...]) -> Callable[[], torch.Tensor]:
        return lambda: torch.randn(shape).mul_(0.02).half()

    waiting = {
        prefix + link.key: Pending(torch.float16, link.file_shape, maker(link.file_shape))
        for prefix, links in parts.items()
        for link in links
    }
    write_safetensors(path, waiting)


def measured(read: Callable[[], Any]) -> dict[str, float]:
    """Seconds, and bytes of anonymous memory above what the imports took."""
    before = anonymous_bytes()
    with PeakMeter() as meter:
        wall, cpu = time.perf_counter(), time.process_time()
        kept = read()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = anonymous_bytes() - before
    assert kept is not None
    return {"wall_s": wall, "cpu_s": cpu, "peak_bytes": max(meter.peak - before, after), "after_bytes": after}


def modules_reader(path: Path) -> Callable[[], Any]:
    import diffusers
    import transformers

    from lib_dreambooth.models.read import read_model

    # The classes themselves are imported when first asked for.
    assert diffusers.UNet2DConditionModel and diffusers.AutoencoderKL and transformers.CLIPTextModel
    return lambda: read_model(path)


def copies_reader(path: Path) -> Callable[[], Any]:
    """Every tensor of the file as memory of its own, by the safetensors library."""
    import torch
    from safetensors import safe_open

    assert torch.get_num_threads()

    def read() -> Any:
        with safe_open(str(path), framework="pt") as file:
            return {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118

    return read


READERS = {"modules": modules_reader, "copies": copies_reader}


class PeakMeter:
    """Samples this process' anonymous memory while open."""

    def __init__(self) -> None:
        self.peak = 0
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_done.wait(SAMPLE_S):
            self.peak = max(self.peak, anonymous_bytes())


def anonymous_bytes() -> int:
    """Memory that no file stands behind; where the system does not say, all that is this process' own."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    import psutil

    return psutil.Process().memory_full_info().uss


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def memory_gib() -> float | None:
    """The machine's memory, where the system says."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


if __name__ == "__main__":
    sys.exit(main())
