"""Several runs of one process: each as if it were alone, and nothing of them left behind."""

from __future__ import annotations

import gc
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    UNet2DConditionModel,
)  # here: a first import inside a run would leave its frames in a log
from safetensors.torch import load_file
from torch import Tensor, nn

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.assets.shapes import subject
from lib_dreambooth.jobs.places import Library
from lib_dreambooth.jobs.training import TrainingJob
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.kept_states import newest_whole

COMMON: dict[str, Any] = {
    "pictures": {"resolution": 64},
    "length": {"train_for": "2 steps", "batch_size": 2},
    "draws": {"seed": 1},
    "saving": {"every": "never", "subfolder": False},
    "previews": {"every": "1 steps", "at_start": False, "at_end": False, "steps": 2, "size": "64"},
    "logging": {"every": 1, "tensorboard": True},
}
LORA = {"network": {"rank": 4, "dropout": 0.1}, "rates": {"learning_rate": 1e-3}}
WHOLE = {
    "network": {"kind": "none"},
    "ema": {"use": True},
    "rates": {"learning_rate": 1e-6},
    "parts": {"text_encoder_1": {"rate": 1e-6}},
    "precision": {"mixed": "bf16", "weights": "half"},
    "memory": {"checkpointing": "on"},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(root: Path, name: str, own: dict[str, Any]) -> dict[str, Tensor]:
    """Trains a model of its own; gives the tensors of its state."""
    pictures = root / "pictures"
    if not pictures.is_dir():
        subject.write_subject(pictures)
    library = Library(root / "models")
    folder = ModelFolder.create(library.dreambooth, name, MINI_CHECKPOINT, "sd1")
    values = {**COMMON, "concepts": [{"folder": str(pictures)}], **own}
    assert TrainingJob(folder, settings.read(values), library.results()).run().outcome == "done"
    found = newest_whole(folder.states_dir).state
    assert found is not None
    return load_file(found.path / "tensors.safetensors")


def shared_things() -> dict[str, Any]:
    """What a run could leave changed for the host."""
    loggers = {
        name: (logger.level, len(logger.handlers), logger.disabled)
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and name.split(".")[0] in ("torch", "transformers", "diffusers")
    }
    return {
        "generator": torch.get_rng_state().tolist(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark),
        "tf32": (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
        "precision": torch.get_float32_matmul_precision(),
        "autocast": torch.is_autocast_enabled(),
        "hooks": len(nn.modules.module._global_forward_hooks),
        "root": (logging.root.level, len(logging.root.handlers)),
        "loggers": loggers,
        "alive": {thread.name for thread in threading.enumerate()},
    }


def unets() -> set[int]:
    """The UNets that are alive; other tests may keep some."""
    gc.collect()
    return {id(thing) for thing in gc.get_objects() if type(thing) is UNet2DConditionModel}


@pytest.mark.slow
def test_each_run_as_if_alone_and_nothing_left(tmp_path: Path) -> None:
    others = unets()
    alone = train(tmp_path, "first", LORA)
    # Loggers and lazy modules are there from now on, as they are in a host that has drawn a picture.
    before = shared_things()
    whole = train(tmp_path, "whole", WHOLE)
    assert {str(tensor.dtype) for name, tensor in whole.items() if name.startswith("trained/")} == {
        "torch.bfloat16"
    }
    again = train(tmp_path, "again", LORA)
    assert list(again) == list(alone)
    assert [name for name in alone if not torch.equal(alone[name], again[name])] == []
    after = shared_things()
    assert json.dumps(after, default=str, sort_keys=True) == json.dumps(before, default=str, sort_keys=True)
    assert unets() <= others
