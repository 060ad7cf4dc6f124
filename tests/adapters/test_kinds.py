"""Every kind of network beside a small model: nothing at first, equal to merged weights, gone in the end."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.dense import Dense
from lib_dreambooth.adapters.lora import attach_file
from lib_dreambooth.adapters.merging import merge_files
from lib_dreambooth.adapters.parts import previewing
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import TEXT, UNET
from lib_dreambooth.formats.lora import read_adapter, write_adapter
from lib_dreambooth.models.loaded import LoadedModel
from tests.adapters.conftest import as_if_trained, attached_to, loss_of, outputs
from tests.adapters.plain_kinds import plain_weight
from tests.adapters.variants import KINDS, few

pytestmark = pytest.mark.once

EVERY = pytest.mark.parametrize("kind", KINDS)
SOME_FAST = pytest.mark.parametrize(
    "kind",
    [kind if kind in ("lokr", "dora") else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)


def are_equal(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def in_double(model: LoadedModel) -> LoadedModel:
    """A copy of the model in double precision."""
    modules = {part: copy.deepcopy(module).double() for part, module in model.modules.items()}
    return LoadedModel(model.family, model.schedule, model.prediction, model.source, modules, model.rules)


def merged(model: LoadedModel, changes: Mapping[Any, Mapping[str, Tensor]], share: float) -> LoadedModel:
    """A copy of the model with shares of the changes in its weights."""
    other = in_double(model)
    for target, tensors in changes.items():
        layer = other.modules[target.part].get_submodule(target.path)
        for name, change in tensors.items():
            layer.get_parameter(name).data += share * change
    return other


@SOME_FAST
def test_nothing_at_first_and_nothing_afterwards(sd1: LoadedModel, kind: str) -> None:
    before = outputs(sd1)
    state = torch.get_rng_state()
    attached = attached_to(sd1, network=few(kind))
    assert torch.equal(torch.get_rng_state(), state)
    assert are_equal(outputs(sd1), before)
    loss_of(sd1).backward()
    assert all(part.parameter.grad is not None for part in attached.parts())
    as_if_trained(attached)
    assert not torch.allclose(outputs(sd1)[0], before[0], atol=1e-3)
    with previewing(attached, 0.0):
        assert are_equal(outputs(sd1), before)
    attached.eject()
    assert are_equal(outputs(sd1), before)
    assert not any(parameter.grad is not None for parameter in sd1.unet.parameters())
    # Where a kind is on offer, it is at work: not plain LoRA under another name.
    made = {beside.kind for beside in attached.adapters.values() if isinstance(beside, Dense)}
    assert made == {KINDS[kind]["kind"]}


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_merging_equals_applying(sd1: LoadedModel, kind: str, strength: float) -> None:
    """Against formulas of our own: see `plain_kinds`; half strength is half of the change, as in WebUIs."""
    model = in_double(sd1)
    attached = attached_to(model, network=few(kind))
    for part in attached.parts():
        part.parameter.data = part.parameter.data.double()
    as_if_trained(attached)
    with previewing(attached, strength):
        found = outputs_in_double(model)
    changes = {
        target: {name: make() for name, make in all_.items()} for target, all_ in attached.changes().items()
    }
    attached.eject()
    for target, module in attached.export().items():
        weight = model.modules[target.part].get_submodule(target.path).weight
        if weight.dim() > 1:
            expected = plain_weight(module.parts, module.alpha, weight) - weight
            change = changes[target]["weight"]
            # Plain LoRA, which convolutions of GLoRA have, is merged in float32.
            relative = 1e-7 if change.dtype == torch.float64 else 1e-5
            assert (change - expected).norm() <= relative * expected.norm()
    expected = outputs_in_double(merged(sd1, changes, strength))
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).norm() < 1e-7 * theirs.norm()


@torch.no_grad()
def outputs_in_double(model: LoadedModel) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn((1, 4, 8, 8), generator=generator).double()
    tokens = torch.arange(77)[None]
    states = model.modules[TEXT](input_ids=tokens).last_hidden_state
    return model.unet(latents, 300.0, states).sample, states


@pytest.mark.slow
@EVERY
def test_a_file_read_back_gives_the_same_picture(sd1: LoadedModel, kind: str, tmp_path: Path) -> None:
    names = names_of(sd1.source.kind)
    attached = attached_to(sd1, network=few(kind))
    as_if_trained(attached)
    with previewing(attached):
        preview = outputs(sd1)
    attached.eject()
    path = tmp_path / "network.safetensors"
    write_adapter(path, attached.export(), names, metadata={"ss_base_model_version": "sd_v1"})
    file = read_adapter(path)
    back = attach_file(file, sd1.modules, names, "sd1")
    found = outputs(sd1)
    back.eject()
    assert are_equal(found, preview)
    assert file.unknown_keys == ()
    # What is written again is the same file.
    assert {target: dict(module.parts) for target, module in back.export().items()}.keys() == (
        attached.export().keys()
    )
    for target, module in back.export().items():
        first = attached.export()[target]
        assert module.alpha == first.alpha
        assert all(torch.equal(first.parts[name], tensor) for name, tensor in module.parts.items())
        assert module.parts.keys() == first.parts.keys()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["loha", "lokr both", "ia3", "oft bound", "glora", "full", "dora"])
def test_files_are_merged_into_the_base(sd1: LoadedModel, kind: str, tmp_path: Path) -> None:
    names = names_of(sd1.source.kind)
    attached = attached_to(sd1, network=few(kind))
    as_if_trained(attached)
    attached.eject()
    path = tmp_path / "network.safetensors"
    write_adapter(path, attached.export(), names, metadata={"ss_base_model_version": "sd_v1"})
    other = LoadedModel(
        sd1.family, sd1.schedule, sd1.prediction, sd1.source, copy.deepcopy(sd1.modules), sd1.rules
    )
    merge_files([f"{path}:0.5"], other.modules, names, "sd1")
    back = attach_file(read_adapter(path), sd1.modules, names, "sd1", unet_strength=0.5, text_strength=0.5)
    expected = outputs(sd1)
    back.eject()
    for ours, theirs in zip(outputs(other), expected, strict=True):
        assert (ours - theirs).norm() < 1e-4 * theirs.norm()


def test_state_and_load_are_inverse(sd1: LoadedModel) -> None:
    values = few("lokr scalar")
    attached = attached_to(sd1, network=values)
    as_if_trained(attached)
    kept = {name: tensor.clone() for name, tensor in attached.state().items()}
    with_it = outputs(sd1)
    attached.eject()
    again = attached_to(sd1, network=values)
    again.load(kept)
    assert are_equal(outputs(sd1), with_it)
    again.eject()
    assert any(name.endswith(".scalar") for name in kept)


def test_new_weights_depend_on_seed_and_layer_alone(sd1: LoadedModel) -> None:
    states = []
    for seed, include in ((1, ["*mid*"]), (1, ["unet.*"]), (2, ["*mid*"])):
        torch.manual_seed(len(states))
        attached = attached_to(sd1, network={"kind": "loha", "include": include}, draws={"seed": seed})
        attached.eject()
        states.append(attached.state())
    first, more, other = states
    name = next(name for name in first if "mid_block" in name and name.endswith("hada_w1_a"))
    assert torch.equal(first[name], more[name]) and not torch.equal(first[name], other[name])
    assert float(first[name].std()) == pytest.approx(0.1, rel=0.2)


def test_ia3_stands_where_the_webui_reads_it(sd1: LoadedModel) -> None:
    """A1111 reads factors of a convolution on its inputs alone."""
    attached = attached_to(sd1, network={"kind": "ia3"})
    attached.eject()
    for target, module in attached.export().items():
        layer = sd1.modules[target.part].get_submodule(target.path)
        is_on_input = isinstance(layer, nn.Conv2d) or target.path.endswith((".ff.net.2", ".mlp.fc2"))
        assert int(module.parts["on_input"]) == int(is_on_input)
        inputs_or_outputs = layer.weight.shape[1] if is_on_input else layer.weight.shape[0]
        assert module.parts["weight"].numel() == inputs_or_outputs and module.alpha is None


def test_glora_is_what_webuis_read(sd1: LoadedModel) -> None:
    """Linear layers with alpha in the matrices, which A1111 would leave aside; convolutions are plain."""
    attached = attached_to(sd1, network=few("glora"))
    as_if_trained(attached)
    attached.eject()
    for target, module in attached.export().items():
        outputs_, inputs, *kernel = sd1.modules[target.part].get_submodule(target.path).weight.shape
        if kernel:
            assert set(module.parts) == {"lora_up", "lora_down"}
            continue
        assert module.alpha == 3.0
        assert {name: tuple(tensor.shape) for name, tensor in module.parts.items()} == {
            "a1": (3, inputs), "a2": (inputs, 3), "b1": (3, inputs), "b2": (outputs_, 3),
        }  # fmt: skip
        own = dict(attached.adapters[target].named_parameters())
        assert torch.equal(module.parts["b2"], own["b2"] * 0.5) and torch.equal(module.parts["b1"], own["b1"])


@pytest.mark.parametrize("kind", ["dora", "dora loha", "dora lokr"])
def test_dora_has_a_length_for_each_input(sd1: LoadedModel, kind: str) -> None:
    attached = attached_to(sd1, network=few(kind))
    attached.eject()
    for target, module in attached.export().items():
        weight = sd1.modules[target.part].get_submodule(target.path).weight
        assert module.parts["dora_scale"].shape == (1, weight.shape[1], *(1 for _ in weight.shape[2:]))
        lengths = weight.transpose(0, 1).flatten(1).norm(dim=1)
        assert torch.allclose(module.parts["dora_scale"].flatten(), lengths)
    assert {target.part for target in attached.export()} == {UNET, TEXT}
