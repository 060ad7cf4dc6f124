"""One of two processes of a run, started by a test: `python -m tests.training.helping_process ROOT JSON`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_dreambooth.jobs.together import follow
from lib_dreambooth.training.processes import Processes, launched
from lib_dreambooth.training.trainer import preparing
from tests.training.made_runs import MadeRun

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 240


def in_double_precision() -> None:
    """Weights and arithmetic of runs in float64, which no setting offers."""
    resolved = preparing.resolve
    wide = dict.fromkeys(("weights", "frozen", "frozen_unet"), torch.float64)
    preparing.resolve = lambda *args, **named: replace(resolved(*args, **named), **wide)  # type: ignore[arg-type]


def keeping_gradients(path: Path) -> None:
    """Writes the gradients of the first step, added up over all processes."""
    summed = Processes.sum_gradients

    def kept(self: Any, parameters: list[Tensor]) -> None:
        summed(self, parameters)
        if self.is_main and not path.exists():
            torch.save([parameter.grad for parameter in parameters], path)

    Processes.sum_gradients = kept  # type: ignore[method-assign, assignment]


def carry_on(root: Path, order: Mapping[str, Any]) -> None:
    torch.set_num_threads(1)
    if order.get("double"):
        in_double_precision()
    keeping_gradients(root / f"gradients of {order['name']}.pt")
    process = launched()
    if not process.is_main:
        assert follow(process)
        return
    run = MadeRun(root, order["values"])
    if order.get("resume"):
        from lib_dreambooth.jobs.going_on import resumed

        job = resumed(
            run.folder,
            run.library.results(),
            lambda sourced: order_changes(sourced, order),
            processes=process.count,
        )
    else:
        job = run.first()
    job.process = process
    job.run()


def order_changes(sourced: Any, order: Mapping[str, Any]) -> Any:
    from lib_dreambooth import settings

    return settings.update(sourced, order.get("changes", {}), "test")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True)
class Launched:
    """Processes at work."""

    processes: tuple[subprocess.Popen[str], ...]

    def wait(self) -> None:
        for process in self.processes:
            output, _ = process.communicate(timeout=TIMEOUT_S)
            assert process.returncode == 0, output[-4000:]


def launch(root: Path, count: int, **order: Any) -> None:
    """Runs so many processes to their end."""
    port = free_port()
    started = []
    for rank in range(count):
        environment = os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.training.helping_process", str(root), json.dumps(order)]
        started.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
            )
        )
    Launched(tuple(started)).wait()


if __name__ == "__main__":
    carry_on(Path(sys.argv[1]), json.loads(sys.argv[2]))
