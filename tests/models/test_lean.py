"""Blocks without what changes no number: the same bits, fewer operations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.race.counting import Counting
from lib_dreambooth.models.lean import lean
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.training.precision.checkpointing import checkpointing
from tests.models.tiny import tiny_sd1, tiny_sdxl


@pytest.fixture(scope="module", params=[tiny_sd1, tiny_sdxl])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder: Path = tmp_path_factory.mktemp("checkpoint")
    return read_model(request.param(folder))


def step(model: LoadedModel) -> tuple[Tensor, Tensor]:
    """The answer, and the gradient of what was put in."""
    width = model.unet.config.cross_attention_dim
    values = torch.linspace(0.0, 99.0, 2 * 4 * 8 * 8).sin().view(2, 4, 8, 8).requires_grad_()
    states = torch.linspace(0.0, 999.0, 2 * 77 * width).sin().view(2, 77, width)
    more: dict[str, Any] = {}
    if model.family.name == "sdxl":
        pooled = torch.linspace(-1.0, 1.0, 2 * 96).view(2, 96)
        more = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": torch.full((2, 6), 64.0)}}
    answer = model.unet(values, torch.tensor([3, 700]), states, **more).sample
    answer.square().sum().backward()
    assert values.grad is not None
    return answer.detach(), values.grad


@pytest.mark.parametrize("level", ["off", "on"])
def test_not_a_bit_is_different(model: LoadedModel, level: str) -> None:
    with checkpointing({"unet": model.unet}, level):
        wanted = step(model)
    with lean(model.unet) as count, checkpointing({"unet": model.unet}, level):
        assert count > 10
        found = step(model)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_weights_of_the_noise_level_learn_the_same(model: LoadedModel) -> None:
    weight = model.unet.time_embedding.linear_1.weight.requires_grad_()
    found = []
    try:
        for level in ("off", "on"):
            with lean(model.unet), checkpointing({"unet": model.unet}, level):
                weight.grad = None
                step(model)
            found.append(weight.grad)
        weight.grad = None
        step(model)
        assert all(torch.allclose(one, weight.grad, rtol=1e-4, atol=1e-6) for one in found)
    finally:
        weight.requires_grad_(False)
        weight.grad = None


def test_fewer_operations_are_asked_for(model: LoadedModel) -> None:
    with Counting() as before:
        step(model)
    with lean(model.unet), Counting() as after:
        step(model)
    # Each residual block but the first; gradients go through none of these activations.
    saved = sum(type(one).__name__ == "ResnetBlock2D" for one in model.unet.modules()) - 1
    assert before.calls["aten::silu"] - after.calls["aten::silu"] == saved > 5
    assert before.operators() - after.operators() == saved


def test_pictures_go_the_usual_way_and_all_is_back_afterwards(model: LoadedModel) -> None:
    block = model.unet.mid_block.resnets[0]
    with lean(model.unet), torch.no_grad(), Counting() as inside:
        model_answer(model)
    with torch.no_grad(), Counting() as outside:
        model_answer(model)
    assert inside.calls == outside.calls
    assert "forward" not in block.__dict__


def model_answer(model: LoadedModel) -> None:
    """One pass of the middle."""
    width, time = model.unet.config.block_out_channels[-1], model.unet.time_embedding.linear_2.out_features
    model.unet.mid_block.resnets[0](torch.ones(1, width, 4, 4), torch.ones(1, time))
