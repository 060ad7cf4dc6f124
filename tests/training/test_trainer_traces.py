"""Whatever way a run ends, its process is as it was: nothing of it stays in modules, switches or memory."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.runs.commands import StopAfterStep, StopWithoutSaving
from lib_dreambooth.runs.events import Finished
from lib_dreambooth.training.trainer import preparing, stepping
from tests.training.made_runs import LORA, WHOLE, MadeRun, at_step, in_phase, joined

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.once]

SHORT: dict[str, Any] = joined(
    {
        "length": {"train_for": "2 steps", "batch_size": 2},
        "previews": {"at_end": True},
        "memory": {"checkpointing": "on", "attention": "sliced"},
        "precision": {"tf32": True},
    }
)
KINDS = {"lora": joined(LORA, SHORT), "whole": joined(WHOLE, SHORT)}


class Ours(Exception):
    """What nobody expects."""


def step_fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    real = stepping.losses_of

    def fail(*args: Any, **kwargs: Any) -> Any:
        losses = real(*args, **kwargs)
        losses.total.backward()
        raise error

    monkeypatch.setattr(stepping, "losses_of", fail)


def end(run: MadeRun, ending: str, monkeypatch: pytest.MonkeyPatch) -> BaseException | None:
    """Has a run end; gives the error, which its traceback keeps alive."""
    orders = {
        "done": [],
        "cancelled": [at_step(1, StopAfterStep())],
        "discarded": [at_step(1, StopWithoutSaving())],
        "cancelled early": [in_phase("encoding pictures", StopAfterStep())],
    }
    if ending == "memory":
        step_fails(monkeypatch, RuntimeError("CUDA out of memory. Tried to allocate"))
    elif ending == "mistake":
        step_fails(monkeypatch, Ours("of ours"))
    elif ending == "setting":
        run.values = joined(run.values, {"optimizer": {"arguments": {"betas": [2.0, 3.0]}}})
    try:
        run.run(*orders.get(ending, []))
    except (UserError, Ours) as error:
        return error
    return None


ENDINGS = ("done", "cancelled", "discarded", "cancelled early", "memory", "mistake", "setting")
QUICK = {
    ("lora", "done"),
    ("whole", "memory"),
    ("lora", "setting"),
}
CASES = [
    pytest.param(kind, ending, marks=() if (kind, ending) in QUICK else pytest.mark.slow)
    for kind in KINDS
    for ending in ENDINGS
]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LoadedModel]]:
    """The models that runs read."""
    found: list[LoadedModel] = []
    real = preparing.read_model

    def read(*args: Any, **kwargs: Any) -> LoadedModel:
        found.append(real(*args, **kwargs))
        return found[-1]

    monkeypatch.setattr(preparing, "read_model", read)
    yield found
    found.clear()


def switches() -> dict[str, Any]:
    """Everything of the process that a run could have left otherwise."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return {
        "tf32": (matmul.allow_tf32, cudnn.allow_tf32),
        "cudnn": (cudnn.deterministic, cudnn.benchmark),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "autocast": torch.is_autocast_enabled(),
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),  # type: ignore[index, union-attr]
        "python": random.getstate(),
        "workers": sum(thread.name.startswith("dreambooth") for thread in threading.enumerate()),
    }


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "ending"), CASES)
def test_the_process_and_the_modules_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: list[LoadedModel], kind: str, ending: str
) -> None:
    run = MadeRun(tmp_path, KINDS[kind], num_pictures=4)
    kept: list[nn.Module] = []
    real = preparing.read_model

    def read(*args: Any, **kwargs: Any) -> LoadedModel:
        model = real(*args, **kwargs)
        # The run empties its list of modules; a host may hold them all the same.
        kept.extend(model.modules.values())
        return model

    monkeypatch.setattr(preparing, "read_model", read)
    before = switches()
    error = end(run, ending, monkeypatch)
    assert (error is None) == (ending in ENDINGS[:4])
    assert switches() == before
    assert len(run.told(Finished)) == 1 and len(kept) == 3
    for root in kept:
        for module in root.modules():
            assert not module._forward_hooks and not module._forward_pre_hooks and not module._backward_hooks
            assert "forward" not in vars(module), type(module)
            assert not module.training
        for parameter in root.parameters():
            assert parameter.grad is None and not parameter.requires_grad
    assert models[0].modules == {}
    assert {one.kind for one in kept[0].attentions} == {"sdpa"}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "ending"), CASES)
def test_the_model_leaves_memory_even_while_the_error_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, ending: str
) -> None:
    alive: list[weakref.ref[nn.Module]] = []
    real = preparing.read_model

    def read(*args: Any, **kwargs: Any) -> LoadedModel:
        model = real(*args, **kwargs)
        alive.extend(weakref.ref(module) for module in model.modules.values())
        return model

    monkeypatch.setattr(preparing, "read_model", read)
    run = MadeRun(tmp_path, KINDS[kind], num_pictures=4)
    # The run gives memory back by itself; nobody looks for garbage after it.
    gc.disable()
    try:
        error = end(run, ending, monkeypatch)
        left = [module for module in alive if module() is not None]
    finally:
        gc.enable()
    assert len(alive) == 3 and left == []
    if error is not None:
        assert error.__traceback__ is not None


@pytest.mark.slow
def test_the_weights_of_a_lora_run_s_base_are_never_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, torch.Tensor] = {}
    roots: list[nn.Module] = []
    real = preparing.read_model

    def read(*args: Any, **kwargs: Any) -> LoadedModel:
        model = real(*args, **kwargs)
        for part, root in model.modules.items():
            roots.append(root)
            kept.update({f"{part}.{name}": tensor.clone() for name, tensor in root.state_dict().items()})
        return model

    monkeypatch.setattr(preparing, "read_model", read)
    MadeRun(tmp_path, KINDS["lora"], num_pictures=4).run()
    after = [tensor for root in roots for tensor in root.state_dict().values()]
    assert all(torch.equal(one, other) for one, other in zip(kept.values(), after, strict=True))
