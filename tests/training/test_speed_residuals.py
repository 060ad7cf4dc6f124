"""Residual blocks as one expression each: the same answers and gradients, less kept for the way back."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_dreambooth.adapters.joining import joined
from lib_dreambooth.models.lean import lean
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.models.unet_layers import ResnetBlock2D
from lib_dreambooth.training.precision.checkpointing import checkpointing
from lib_dreambooth.training.speed.blocks import in_expressions
from lib_dreambooth.training.speed.residuals import Block, residuals
from tests.adapters.test_joining import assert_alike
from tests.models.tiny import tiny_sd1, tiny_sdxl
from tests.training.test_speed_blocks import network, step


@pytest.fixture(scope="module", params=[tiny_sd1, tiny_sdxl])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return read_model(request.param(tmp_path_factory.mktemp("checkpoint")), dtype=torch.float64)


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return read_model(tiny_sd1(tmp_path_factory.mktemp("checkpoint")), dtype=torch.float64)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The short way for every number type: in float64 differences that are none of rounding are seen."""
    monkeypatch.setattr(Block, "fits", lambda block, x: True)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("level", ["off", "on"])
def test_answers_and_gradients_are_the_same(model: LoadedModel, level: str) -> None:
    num_blocks = sum(isinstance(one, ResnetBlock2D) for one in model.unet.modules())
    with network(model) as of, joined(of), in_expressions(model.unet, of), lean(model.unet):
        with checkpointing({"unet": model.unet}, level):
            wanted = step(model, of)
        with residuals(model.unet) as count, checkpointing({"unet": model.unet}, level):
            assert count == num_blocks
            found = step(model, of)
    assert torch.equal(found["answer"], wanted["answer"])
    assert_alike(found, wanted)


@pytest.mark.usefixtures("everywhere")
def test_networks_beside_the_level_and_the_first_convolutions_learn_the_same(sd1: LoadedModel) -> None:
    with network(sd1, {"network.conv_rank": 2}) as of:
        wanted = step(sd1, of)
        with residuals(sd1.unet) as count:
            # Those with a network beside what the expression computes go their usual way.
            assert count == 0
            assert_alike(step(sd1, of), wanted)
    only_level = {"network.conv_rank": 2, "network.include": ("*time_emb_proj*",)}
    with network(sd1, only_level) as of:
        wanted = step(sd1, of)
        assert len(wanted) > 10
        with residuals(sd1.unet) as count:
            assert count > 0
            assert_alike(step(sd1, of), wanted)


def test_blocks_that_learn_go_their_usual_way(sd1: LoadedModel) -> None:
    weight = sd1.unet.mid_block.resnets[0].conv1.weight.requires_grad_()
    try:
        with residuals(sd1.unet) as fewer:
            pass
    finally:
        weight.requires_grad_(False)
    with residuals(sd1.unet) as all_:
        pass
    assert fewer == all_ - 1


def test_float32_goes_its_usual_way(sd1: LoadedModel) -> None:
    with residuals(sd1.unet):
        block = sd1.unet.mid_block.resnets[0]
        x = torch.randn(1, block.conv1.in_channels, 4, 4, dtype=torch.float64, requires_grad=True)
        level = torch.randn(1, block.time_emb_proj.in_features, dtype=torch.float64)
        assert "Residual" not in type(block(x, level).grad_fn).__name__


@pytest.mark.usefixtures("everywhere")
def test_pictures_are_drawn_the_usual_way(sd1: LoadedModel) -> None:
    block: Any = sd1.unet.mid_block.resnets[0]
    x = torch.randn(1, block.conv1.in_channels, 4, 4, dtype=torch.float64)
    level = torch.randn(1, block.time_emb_proj.in_features, dtype=torch.float64)
    with torch.no_grad():
        wanted = block(x, level)
        with residuals(sd1.unet):
            assert torch.equal(block(x, level), wanted)


def kept(model: LoadedModel, short: bool) -> tuple[int, Tensor]:
    """Bytes that a block keeps for going back, and what it gives, in mixed precision."""
    block: Any = model.unet.mid_block.resnets[0]
    torch.manual_seed(0)
    x = torch.randn(1, block.conv1.in_channels, 16, 16).to(torch.bfloat16).requires_grad_()
    level = torch.randn(1, block.time_emb_proj.in_features)
    seen: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    saved = torch.autograd.graph.saved_tensors_hooks(note, lambda one: one)
    with residuals(model.unet) if short else nullcontext(), torch.autocast("cpu", torch.bfloat16), saved:
        given = block(x, level)
    given.float().sum().backward()
    return sum(seen.values()), given.detach().float()


def test_less_is_kept_in_mixed_precision(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("checkpoint")
    model = read_model(tiny_sd1(folder), dtype=torch.bfloat16)
    whole = read_model(tiny_sd1(folder), dtype=torch.float32)
    (few, found), (many, usual) = kept(model, True), kept(model, False)
    assert few < 0.4 * many
    exact = kept(whole, False)[1]
    # No further from the exact answer than the usual way is.
    assert (found - exact).norm() <= 1.5 * (usual - exact).norm()
