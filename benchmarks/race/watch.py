"""What a child process is told to measure between the moves of its optimizer, whoever's program it runs.

PyTorch calls a hook after every move of any optimizer. From one to the next a program has done a whole step,
with everything that it does per step. The hook waits for an order, so that several programs can be measured
by turns, and none works while another is measured.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.race.counting import Counting
from benchmarks.race.memory import peaks, restart_peaks

FEWEST_WEIGHTS = 8


class Watch:
    """Answers orders at each move of the first optimizer that moves anything."""

    def __init__(self, link: Connection, started: float) -> None:
        self.link = link
        self.started = started
        self._optimizer: Any = None
        self._left: float = 0
        self._clock = (0.0, 0.0)
        self._counting: Counting | None = None
        self._arithmetic: Any = None
        self._vae_s = self._vae_cpu_s = 0.0
        self._began: dict[str, float] = {}
        self._handles: list[Any] = []

    def watch(self) -> None:
        """From here on."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        register_optimizer_step_post_hook(self._moved)
        self._time_vae()
        self._time_start()

    def _time_start(self) -> None:
        """Notes when a UNet is first asked for something that is to be learned from."""
        import torch
        from torch.nn.modules.module import register_module_forward_pre_hook

        def asked(module: Any, _: Any) -> None:
            if self._began or not torch.is_grad_enabled() or "UNet2D" not in type(module).__name__:
                return
            now, taken = time.time() - self.started, time.process_time()
            self._began = {"first_step_s": now, "first_step_cpu_s": taken}
            for one in (handle, *self._handles):
                one.remove()

        handle = register_module_forward_pre_hook(asked)

    def _time_vae(self) -> None:
        """Counts the time in the VAE's encoder, which is called the same in every program."""
        from torch.nn.modules.module import (
            register_module_forward_hook,
            register_module_forward_pre_hook,
        )

        begun: list[tuple[float, float]] = []

        def asked(module: Any, _: Any) -> None:
            if type(module).__name__ == "Encoder":
                begun.append((time.perf_counter(), time.process_time()))

        def answered(module: Any, *_: Any) -> None:
            if type(module).__name__ == "Encoder" and begun:
                waited()
                wall, cpu = begun.pop()
                self._vae_s += time.perf_counter() - wall
                self._vae_cpu_s += time.process_time() - cpu

        self._handles = [register_module_forward_pre_hook(asked), register_module_forward_hook(answered)]

    def _moved(self, optimizer: Any, *_: Any) -> None:
        if self._optimizer is None:
            if sum(len(group["params"]) for group in optimizer.param_groups) < FEWEST_WEIGHTS:
                # Somebody tries out what the optimizer can do.
                return
            self._optimizer = optimizer
            waited()
            vae = {"vae_s": self._vae_s, "vae_cpu_s": self._vae_cpu_s}
            self.link.send(self._began | vae | weights_of(optimizer) | peaks() | versions())
            self._obey()
            return
        if optimizer is not self._optimizer:
            return
        self._left -= 1
        if self._left > 0:
            return
        waited()
        self.link.send(self._measured())
        self._obey()

    def _measured(self) -> dict[str, Any]:
        wall, cpu = time.perf_counter(), time.process_time()
        if self._arithmetic is not None:
            self._arithmetic.__exit__(None, None, None)
            counter, self._arithmetic = self._arithmetic, None
            return {"operations": counter.get_total_flops()}
        if self._counting is not None:
            self._counting.__exit__(None, None, None)
            found, self._counting = self._counting, None
            return {"operators": found.operators(), "host_waits": found.waits, "kinds": Counter(found.calls)}
        return {"wall_s": wall - self._clock[0], "cpu_s": cpu - self._clock[1], **peaks()}

    def _obey(self) -> None:
        """Waits for what is next: so many steps, one that is counted, the end, or to be left alone."""
        order, number = self.link.recv()
        if order == "finish":
            self._left = math.inf
            return
        if order == "end":
            self.link.close()
            # Nothing that the program would do now is measured.
            os._exit(0)
        self._left = number
        if order == "count":
            self._counting = Counting()
            self._counting.__enter__()
        elif order == "operations":
            from torch.utils.flop_counter import FlopCounterMode

            self._arithmetic = FlopCounterMode(display=False)
            self._arithmetic.__enter__()
        else:
            restart_peaks()
        self._clock = time.perf_counter(), time.process_time()


def waited() -> None:
    """Lets a card finish what it was told."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def weights_of(optimizer: Any) -> dict[str, int]:
    """How much an optimizer moves: tensors, and numbers in them."""
    moved = [weight for group in optimizer.param_groups for weight in group["params"]]
    return {"trained_tensors": len(moved), "trained_numbers": sum(weight.numel() for weight in moved)}


def versions() -> dict[str, Any]:
    """What the program stands on."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in ("torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"versions": found}
