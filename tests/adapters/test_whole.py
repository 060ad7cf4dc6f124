"""The model's own weights, trained in place."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch

from lib_dreambooth.adapters.build import attach
from lib_dreambooth.adapters.whole import Whole
from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET
from lib_dreambooth.models.loaded import LoadedModel
from tests.adapters.conftest import loss_of, outputs, run_of


def a_copy(model: LoadedModel) -> LoadedModel:
    return dataclasses.replace(model, modules=copy.deepcopy(model.modules))


def whole(model: LoadedModel, dtype: torch.dtype = torch.float32, /, **values: Any) -> Whole:
    run = run_of(**{"network": {"kind": "none"}, **values})
    names = names_of(model.source.kind)
    found = attach(run, model.modules, names, model.family.name, rules=model.rules, dtype=dtype)
    assert isinstance(found, Whole)
    return found


@pytest.mark.parametrize("clip_skip", [1, 2])
def test_exactly_what_gets_a_gradient_is_trained(sd1: LoadedModel, clip_skip: int) -> None:
    model = a_copy(sd1)
    trained = whole(model, model={"clip_skip": clip_skip})
    names = {part.name for part in trained.parts()}
    for root in model.modules.values():
        root.requires_grad_(True)
    loss_of(model, clip_skip).backward()
    reached = {
        f"{part}.{name}"
        for part, root in model.modules.items()
        for name, parameter in root.named_parameters()
        if parameter.grad is not None
    }
    assert names == reached
    assert "text_encoder.text_model.embeddings.token_embedding.weight" in names
    last = "text_encoder.text_model.encoder.layers.2.mlp.fc1.weight"
    assert (last in names) == (clip_skip == 1)


def test_exactly_what_gets_a_gradient_is_trained_in_sdxl(sdxl: LoadedModel) -> None:
    model = a_copy(sdxl)
    trained = whole(model, parts={"text_encoder_2": {"train": True}})
    assert trained.trained_roots() == {UNET, TEXT, TEXT_2}
    for root in model.modules.values():
        root.requires_grad_(True)
    loss_of(model).backward()
    reached = {
        f"{part}.{name}"
        for part, root in model.modules.items()
        for name, parameter in root.named_parameters()
        if parameter.grad is not None
    }
    assert {part.name for part in trained.parts()} == reached


def test_state_and_load_are_inverse(sd1: LoadedModel) -> None:
    model = a_copy(sd1)
    trained = whole(model)
    before = outputs(model)
    kept = {name: tensor.clone() for name, tensor in trained.state().items()}
    parameters = [part.parameter for part in trained.parts()]
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.05)
    assert not torch.equal(outputs(model)[0], before[0])
    trained.load(kept)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(outputs(model), before, strict=True))
    assert all(part.parameter is known for part, known in zip(trained.parts(), parameters, strict=True))


def test_eject_freezes_and_leaves_the_weights(sd1: LoadedModel) -> None:
    model = a_copy(sd1)
    trained = whole(model)
    loss_of(model).backward()
    with torch.no_grad():
        trained.parts()[0].parameter.add_(1.0)
    trained.eject()
    trained.eject()
    tensors = [p for root in model.modules.values() for p in root.parameters()]
    assert not any(p.requires_grad or p.grad is not None for p in tensors)
    assert not torch.equal(outputs(model)[0], outputs(sd1)[0])


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"unet": {"train": False}}, {TEXT}),
        ({"text_encoder_1": {"train": False}}, {UNET}),
        ({}, {UNET, TEXT}),
    ],
)
def test_parts(sd1: LoadedModel, parts: dict[str, Any], expected: set[str]) -> None:
    trained = whole(a_copy(sd1), parts=parts)
    assert trained.trained_roots() == {part.part for part in trained.parts()} == expected
    trained.stop(TEXT)
    assert trained.trained_roots() == expected - {TEXT}
    trained.start(TEXT)
    assert trained.trained_roots() == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("blocks", "starts"),
    [
        (["mid"], ("mid_block.",)),
        (["up*"], ("up_blocks.",)),
        (["up.1", "down_blocks.0"], ("up_blocks.1.", "down_blocks.0.")),
        (["input_blocks.0", "middle_block"], ("conv_in.", "mid_block.")),
        (["*.attentions.*"], ("",)),
    ],
)
def test_chosen_blocks(sd1: LoadedModel, blocks: list[str], starts: tuple[str, ...]) -> None:
    trained = whole(a_copy(sd1), parts={"unet": {"blocks": blocks}, "text_encoder_1": {"train": False}})
    found = {part.name.removeprefix("unet.") for part in trained.parts()}
    everything = {name for name, _ in sd1.unet.named_parameters()}
    expected = {name for name in everything if name.startswith(starts)}
    if blocks == ["*.attentions.*"]:
        expected = {name for name in everything if ".attentions." in name}
    assert found == expected and found != everything


def test_rates_of_blocks_and_layers(sd1: LoadedModel) -> None:
    rates = [0.5] * 12 + [0.0] + [2.0] * 12
    trained = whole(a_copy(sd1), parts={"unet": {"block_rates": rates, "layer_rates": {"*.to_q": 3.0}}})
    found = {part.name: part.rate for part in trained.parts()}
    assert not any(name.startswith("unet.mid_block") for name in found)
    assert found["unet.conv_in.weight"] == 0.5 and found["unet.conv_out.bias"] == 2.0
    assert found["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"] == 1.5
    assert found["text_encoder.text_model.encoder.layers.0.mlp.fc1.weight"] == 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_precision_of_trained_weights(sd1: LoadedModel, dtype: torch.dtype) -> None:
    model = a_copy(sd1)
    trained = whole(model, dtype, parts={"unet": {"blocks": ["mid"]}, "text_encoder_1": {"train": False}})
    assert {part.parameter.dtype for part in trained.parts()} == {dtype}
    assert model.unet.conv_in.weight.dtype == torch.float32
    lengths = torch.stack([part.parameter.detach().float().norm() for part in trained.parts()])
    assert float(trained.norms()[UNET]) == pytest.approx(float(lengths.norm()))


@pytest.mark.parametrize(
    ("unet", "where"),
    [
        ({"blocks": ["middle"]}, "parts.unet.blocks"),
        ({"layer_rates": {"up_blocks.9*": 1.0}}, "parts.unet.layer_rates"),
    ],
)
def test_patterns_that_fit_nothing(sd1: LoadedModel, unet: dict[str, Any], where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        whole(a_copy(sd1), parts={"unet": unet})
    assert [problem.where for problem in caught.value.problems] == [where]


def test_nothing_left(sd1: LoadedModel) -> None:
    rates = [0.0] * 25
    with pytest.raises(UserError, match="no layer of the model is left to train"):
        whole(a_copy(sd1), parts={"unet": {"block_rates": rates}, "text_encoder_1": {"train": False}})
