"""A training that can be stopped at any time and gone on with: modules, optimizer and step in two files."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from lib_dreambooth.base import files

SAVE_EVERY_S = 120.0

Stage = tuple[int, int, float]  # side in pixels, batch, and the share of all steps that is spent on it


class Progress:
    """Keeps `modules` and `optimizer` in a folder under a stage's name."""

    def __init__(
        self, folder: Path, stage: str, modules: dict[str, torch.nn.Module], optimizer: torch.optim.Optimizer
    ):
        self.tensors_path = folder / f"{stage}.safetensors"
        self.state_path = folder / f"{stage}.json"
        self.modules = modules
        self.optimizer = optimizer
        self.saved_at = time.monotonic()
        self.started_at = time.monotonic()

    def resume(self) -> int:
        """Loads what was saved; returns the next step."""
        if not self.state_path.exists():
            return 0
        tensors = load(self.tensors_path.read_bytes())
        for name, module in self.modules.items():
            prefix = f"{name}."
            module.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
        state = self.optimizer.state_dict()
        state["state"] = unflatten({k: v for k, v in tensors.items() if k.startswith("optimizer.")})
        self.optimizer.load_state_dict(state)
        return int(json.loads(self.state_path.read_text(encoding="utf-8"))["step"])

    def save(self, step: int, **facts: Any) -> None:
        tensors = {
            f"{name}.{key}": value.detach().contiguous()
            for name, module in self.modules.items()
            for key, value in module.state_dict().items()
        }
        for index, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer.{index}.{key}": torch.as_tensor(value).contiguous()
                for key, value in entry.items()
            }
        files.write_bytes(self.tensors_path, save(tensors))
        files.write_json(self.state_path, {"step": step, **facts})
        self.saved_at = time.monotonic()

    def save_if_due(self, step: int, **facts: Any) -> None:
        if time.monotonic() - self.saved_at >= SAVE_EVERY_S:
            self.save(step, **facts)


def unflatten(tensors: dict[str, torch.Tensor]) -> dict[int, dict[str, torch.Tensor]]:
    """`optimizer.3.exp_avg` -> {3: {"exp_avg": ...}}."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        _, index, key = name.split(".", 2)
        state.setdefault(int(index), {})[key] = value
    return state


def stage_at(stages: tuple[Stage, Stage], step: int, num_steps: int) -> tuple[int, int]:
    """Side in pixels and batch of a step."""
    size_px, batch, _ = stages[0] if step < round(stages[0][2] * num_steps) else stages[1]
    return size_px, batch


def cosine_rate(step: int, num_steps: int, peak: float, warmup: int = 50, floor: float = 0.03) -> float:
    """Rises over `warmup` steps, then falls along a cosine to `floor` of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, num_steps - warmup))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))
