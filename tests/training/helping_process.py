"""One of two processes of a run, started by a test: `python -m tests.training.helping_process ORDERS`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_dreambooth import settings
from lib_dreambooth.jobs.going_on import resumed
from lib_dreambooth.jobs.together import follow
from lib_dreambooth.jobs.training import TrainingJob
from lib_dreambooth.runs.commands import StopAfterStep
from lib_dreambooth.runs.events import Event, Step
from lib_dreambooth.training.optimizers.optimizer import Optimizer
from lib_dreambooth.training.processes import Processes, launched
from lib_dreambooth.training.trainer import preparing
from tests.training.made_runs import MadeRun

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 240
GRADIENTS = "gradients.pt"


def in_double_precision() -> None:
    """Weights and arithmetic of runs in float64, which no setting offers."""
    resolved = preparing.resolve
    wide = dict.fromkeys(("weights", "frozen", "frozen_unet"), torch.float64)
    preparing.resolve = lambda *args, **named: replace(resolved(*args, **named), **wide)  # type: ignore[arg-type]


def keeping_gradients(path: Path, process: Processes) -> None:
    """Writes the gradients of the first step as they are before the weights move: those of all processes."""
    clip = Optimizer.clip

    def kept(self: Optimizer, loss_scale: float = 1.0) -> Tensor:
        if process.is_main and not path.exists():
            torch.save([grad for mover in self.moving() for grad in mover.gradients()], path)
        return clip(self, loss_scale)

    Optimizer.clip = kept  # type: ignore[method-assign]


def carry_on(orders: Sequence[Mapping[str, Any]]) -> None:
    """One run after the other; what is changed for them is put back however they end."""
    torch.set_num_threads(1)
    resolve, clip = preparing.resolve, Optimizer.clip
    try:
        for order in orders:
            os.environ["MASTER_PORT"] = str(order.get("port", 0))
            root = Path(order["root"])
            preparing.resolve, Optimizer.clip = resolve, clip  # type: ignore[method-assign]
            if order.get("double"):
                in_double_precision()
            process = launched()
            keeping_gradients(root / GRADIENTS, process)
            if process.is_main:
                job_of(root, order, process).run()
            else:
                assert follow(process) is ("stop_at" not in order)
    finally:
        preparing.resolve, Optimizer.clip = resolve, clip  # type: ignore[method-assign]


def job_of(root: Path, order: Mapping[str, Any], process: Processes) -> TrainingJob:
    """The job of the main process: a new run, or more of one."""
    run = MadeRun(root, order["values"])
    if "changes" not in order:
        job = run.first()
    else:

        def change(sourced: settings.Sourced) -> settings.Sourced:
            return settings.update(sourced, order["changes"], "test")

        job = resumed(run.folder, run.library.results(), change, processes=process.count)
    job.process = process
    if "stop_at" in order:

        def stop(event: Event) -> None:
            if isinstance(event, Step) and event.step == order["stop_at"]:
                job.box.send(StopAfterStep())

        job.listeners = (stop,)
    return job


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


def launch(count: int, *orders: Mapping[str, Any]) -> None:
    """Has so many processes do the orders, to their end."""
    told = json.dumps([{**order, "port": free_port()} for order in orders])
    started = []
    for rank in range(count):
        environment = os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        environment |= {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.training.helping_process", told]
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
    carry_on(json.loads(sys.argv[1]))
