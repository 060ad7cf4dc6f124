"""Blocks compiled for steps: the same numbers, and the modules as they were afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.adapters.build import attach
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.models.read import read_model
from lib_dreambooth.runs.events import DONE, Step, Warned
from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.notices import notices
from lib_dreambooth.training.precision import compiling
from lib_dreambooth.training.precision.checkpointing import checkpointing, units
from lib_dreambooth.training.precision.compiling import compiled, compiles, why_not
from lib_dreambooth.training.trainer import trainer as trainer_module
from tests.models.tiny import tiny_sd1
from tests.training.made_batches import made_run
from tests.training.made_runs import LORA, MadeRun, joined

CPU = torch.device("cpu")


def counting() -> tuple[Any, list[int]]:
    """A backend that computes as it stands and counts what it was given."""
    graphs: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(len(graph.graph.nodes))
        return graph.forward

    return backend, graphs


@pytest.mark.slow
@pytest.mark.needs("torch>=2.4")
def test_compiled_blocks_give_the_same_gradients(tmp_path: Path) -> None:
    model = read_model(tiny_sd1(tmp_path), dtype=torch.float32)
    run = made_run({"network.rank": 2})
    trained = attach(run, model.modules, names_of(model.source.kind), "sd1", rules=model.rules)
    torch.manual_seed(0)
    noisy, context = torch.randn(1, 4, 8, 8), torch.randn(1, 77, model.unet.config.cross_attention_dim)

    def gradients() -> list[torch.Tensor]:
        for part in trained.parts():
            part.parameter.grad = None
        model.unet(noisy, torch.tensor([7]), context).sample.square().sum().backward()
        return [part.parameter.grad for part in trained.parts() if part.parameter.grad is not None]

    expected = gradients()
    backend, graphs = counting()
    with compiled({UNET: model.unet}, backend) as count, checkpointing({UNET: model.unet}, "on") as forward:
        assert count == len(units(UNET, model.unet, "on"))
        with forward:
            found = gradients()
        with torch.no_grad():
            compiled_so_far = len(graphs)
            trained.strength(0.5)
            model.unet(noisy, torch.tensor([7]), context)
            assert len(graphs) == compiled_so_far, "pictures are drawn by the modules as they are"
    assert len(graphs) >= 2
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(expected, found, strict=True))
    assert not any("forward" in vars(module) for module in model.unet.modules())


def test_only_on_is_on() -> None:
    assert [compiles(setting) for setting in ("auto", "off", "on")] == [False, False, True]


def test_an_older_torch_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.1.2+cu121")
    assert why_not(CPU) == "it needs PyTorch 2.4, and this is 2.1.2+cu121"


@pytest.mark.slow
@pytest.mark.needs("torch>=2.4")
def test_what_stands_against_it_is_said() -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler here")

    assert why_not(CPU, counting()[0]) == ""
    assert "no compiler here" in why_not(CPU, broken)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.needs("torch>=2.4")
@pytest.mark.usefixtures("quick")
def test_a_run_compiles_or_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = joined(
        LORA,
        {"network": {"dropout": 0.0, "rank_dropout": 0.0, "module_dropout": 0.0}},
        {"length": {"train_for": "2 steps"}, "parts": {"text_encoder_1": {"train": False}}},
    )
    backend, graphs = counting()
    monkeypatch.setattr(trainer_module, "why_not", lambda device: "")
    monkeypatch.setattr(trainer_module, "compiled", lambda modules: compiling.compiled(modules, backend))
    losses = {}
    for setting in ("off", "on"):
        run = MadeRun(tmp_path / setting, joined(values, {"memory": {"compile": setting}}), num_pictures=4)
        assert run.run().outcome == DONE
        losses[setting] = [event.loss for event in run.told(Step)]
        assert bool(graphs) is (setting == "on")
    assert losses["on"] == pytest.approx(losses["off"], rel=1e-4)
    monkeypatch.setattr(trainer_module, "why_not", lambda device: "no compiler")
    run = MadeRun(tmp_path / "without", joined(values, {"memory": {"compile": "on"}}), num_pictures=4)
    assert run.run().outcome == DONE
    [told] = [event for event in run.told(Warned) if event.code == "no-compile"]
    assert "no compiler" in told.text


def test_cuda_graphs_are_not_promised() -> None:
    sourced = settings.update(settings.defaults(), {"memory.cuda_graphs": "on"}, "test")
    assert [n.where for n in notices(sourced, Facts()) if n.code == "untried"] == ["memory.cuda_graphs"]
    assert not [n for n in notices(settings.defaults(), Facts()) if n.where == "memory.cuda_graphs"]
