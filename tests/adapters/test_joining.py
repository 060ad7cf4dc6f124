"""Plain networks in one expression with their layers: the same answers and gradients, fewer operations."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.race.counting import Counting
from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.adapters.build import attach
from lib_dreambooth.adapters.joining import groups, joined
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.adapter_names import Target, names_of
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.models.build import move
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from tests.models.tiny import tiny_sd1
from tests.training.made_batches import made_run

SETTINGS = {
    "network.kind": "lora",
    "network.rank": 3,
    "network.alpha": 1.5,
    "parts.text_encoder_1.train": True,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return read_model(tiny_sd1(tmp_path_factory.mktemp("checkpoint")), dtype=torch.float64)


def attached(model: LoadedModel, changes: dict[str, object], dtype: torch.dtype = torch.float64) -> Attached:
    """A network with values in all its tensors."""
    run = made_run({**SETTINGS, **changes})
    network = attach(run, model.modules, names_of(model.source.kind), "sd1", rules=model.rules, dtype=dtype)
    assert isinstance(network, Attached)
    for part in network.parts():
        values = Draw(1, "trained", part.name).normal(tuple(part.parameter.shape))
        part.parameter.data += 0.1 * torch.from_numpy(values).to(dtype)
    return network


@pytest.fixture
def network(model: LoadedModel, request: pytest.FixtureRequest) -> Iterator[Attached]:
    network = attached(model, getattr(request, "param", {}))
    yield network
    network.eject()


def step(model: LoadedModel, network: Attached, count: int = 2) -> dict[str, Tensor]:
    """The UNet's and the text encoder's answers, and all gradients that follow from them."""
    values = torch.linspace(-1.0, 1.0, count * 4 * 8 * 8, dtype=torch.float64).view(count, 4, 8, 8)
    states = model.encoders[0].module(torch.arange(count * 77).view(count, 77)).last_hidden_state
    answer = model.unet(values.sin(), torch.full((count,), 500), states).sample
    for part in network.parts():
        part.parameter.grad = None
    answer.square().sum().backward()
    gradients = {part.name: part.parameter.grad for part in network.parts()}
    assert all(gradient is not None for gradient in gradients.values())
    return {
        "answer": answer.detach(),
        **{name: value for name, value in gradients.items() if value is not None},
    }


def assert_alike(found: dict[str, Tensor], wanted: dict[str, Tensor], relative: float = 1e-9) -> None:
    assert found.keys() == wanted.keys()
    far = {
        name: float((found[name] - value).norm() / value.norm())
        for name, value in wanted.items()
        # The gradient of a key's bias-like part is nothing but rounding.
        if float(value.norm()) > 1e-9 and float((found[name] - value).norm()) > relative * float(value.norm())
    }
    assert far == {}


@pytest.mark.parametrize("network", [{}, {"network.alpha": 3.0}, {"network.conv_rank": 2}], indirect=True)
@pytest.mark.parametrize("count", [1, 2])
def test_answers_and_gradients_are_the_same(model: LoadedModel, network: Attached, count: int) -> None:
    wanted = step(model, network, count)
    with joined(network):
        assert_alike(step(model, network, count), wanted)
    assert torch.equal(step(model, network, count)["answer"], wanted["answer"])


def test_another_strength_is_heeded(model: LoadedModel, network: Attached) -> None:
    for strength in (0.0, 0.5):
        network.strength(strength)
        wanted = answer(model)
        with joined(network):
            assert torch.allclose(answer(model), wanted, rtol=1e-10, atol=1e-12)


def answer(model: LoadedModel) -> Tensor:
    states = torch.ones(1, 77, 64, dtype=torch.float64)
    found: Tensor = model.unet(states.new_ones(1, 4, 8, 8), 3, states).sample
    return found.detach()


def test_layers_of_one_input_are_together(network: Attached) -> None:
    found = groups(network)
    assert sorted({len(group) for group in found}) == [1, 2, 3]
    assert sum(map(len, found)) == len(network.adapters)
    for group in found:
        stems = {target.path.rpartition(".")[0] for target in group}
        assert len(stems) == 1


@pytest.mark.parametrize(
    "network",
    [{"network.dropout": 0.1}, {"network.decompose": True}, {"network.kind": "loha"}],
    indirect=True,
)
def test_what_is_not_plain_stays_as_it_is(model: LoadedModel, network: Attached) -> None:
    with joined(network) as count:
        assert count == 0


def test_other_ranks_are_not_put_together(model: LoadedModel) -> None:
    network = attached(model, {"network.layer_ranks": {"*attn1_to_k*": 2}})
    try:
        together = {target.path for group in groups(network) if len(group) > 1 for target in group}
        assert not any("attn1" in path for path in together if path.startswith("down_blocks"))
    finally:
        network.eject()


def test_passes_for_pictures_give_what_they_gave(model: LoadedModel, network: Attached) -> None:
    with torch.no_grad():
        wanted = answer(model)
        with joined(network):
            assert torch.equal(answer(model), wanted)


def test_weights_that_were_moved_are_packed_anew(model: LoadedModel, network: Attached) -> None:
    with joined(network):
        wanted = step(model, network)
        move(model.unet, torch.device("cpu"), torch.float32)
        move(model.unet, torch.device("cpu"), torch.float64)
        for part in network.parts():
            part.parameter.data = part.parameter.data.clone()
        assert_alike(step(model, network), wanted, 1e-5)


def test_weights_that_left_take_no_memory(model: LoadedModel, network: Attached) -> None:
    attention = "mid_block.attentions.0.transformer_blocks.0.attn1"
    layers: list[Any] = [network.layer(Target(UNET, f"{attention}.to_{name}")) for name in "qkv"]

    def memory() -> set[int]:
        return {layer.weight.untyped_storage().data_ptr() for layer in layers}

    with joined(network):
        step(model, network)
        [pack] = memory()
        for layer in layers:
            layer.weight.data = layer.weight.data.clone()
        tensors = [one for one in gc.get_objects() if type(one) in (Tensor, nn.Parameter)]
        assert not [one for one in tensors if one.untyped_storage().data_ptr() == pack]
        step(model, network)
        assert len(memory()) == 1


def test_a_state_is_whole_and_can_be_put_back(model: LoadedModel, network: Attached) -> None:
    with joined(network):
        wanted = step(model, network)
        state = {name: value.clone() for name, value in network.state().items()}
        for value in network.state().values():
            value.add_(1.0)
        network.load(state)
        assert_alike(step(model, network), wanted)


def test_a_part_that_rests_gets_no_gradient(model: LoadedModel, network: Attached) -> None:
    with joined(network):
        network.stop(UNET)
        states = model.encoders[0].module(torch.arange(77)[None]).last_hidden_state
        model.unet(states.new_ones(1, 4, 8, 8), 3, states).sample.sum().backward()
        moved = {part.part for part in network.parts() if part.parameter.grad is not None}
        assert moved == {part.part for part in network.parts()} - {UNET}
        network.start(UNET)


def test_everything_is_back_afterwards(model: LoadedModel, network: Attached) -> None:
    layer = network.layer(next(iter(network.adapters)))
    hooks = dict(layer._forward_hooks)
    with joined(network):
        assert "forward" in layer.__dict__
        assert not layer._forward_hooks
        assert network.is_attached
    assert "forward" not in layer.__dict__
    assert len(layer._forward_hooks) == len(hooks) == 1


def test_a_network_that_is_ejected_inside_stays_away(model: LoadedModel) -> None:
    network = attached(model, {})
    target = Target(UNET, "mid_block.attentions.0.proj_in")
    with joined(network):
        network.eject()
    assert not network.layer(target)._forward_hooks
    assert not network.is_attached


@pytest.mark.parametrize(("is_joined", "most"), [(False, 1.0), (True, 0.76)])
def test_fewer_operations_are_asked_for(
    model: LoadedModel, network: Attached, is_joined: bool, most: float
) -> None:
    before = operators(model, network)
    with joined(network) if is_joined else nullcontext():
        assert operators(model, network) <= most * before


def operators(model: LoadedModel, network: Attached) -> int:
    with Counting() as counting:
        step(model, network)
    return counting.operators()


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_mixed_precision_is_the_same_within_its_rounding(
    tmp_path_factory: pytest.TempPathFactory, dtype: torch.dtype
) -> None:
    model = read_model(tiny_sd1(tmp_path_factory.mktemp("half")), dtype=dtype)
    network = attached(model, {"parts.text_encoder_1.train": False}, torch.float32)
    states = torch.linspace(0, 900, 77 * 64).sin().view(1, 77, 64)
    # Not flat, which norms would divide by nothing.
    values = torch.linspace(0, 400, 4 * 16 * 16).sin().view(1, 4, 16, 16)

    def gradients() -> Any:
        for part in network.parts():
            part.parameter.grad = None
        with torch.autocast("cpu", dtype=dtype):
            answer = model.unet(values, 3, states).sample
        answer.float().square().sum().backward()
        return torch.cat([part.parameter.grad.flatten() for part in network.parts()])  # type: ignore[union-attr]

    try:
        wanted = gradients()
        with joined(network):
            found = gradients()
        assert found.dtype == torch.float32
        assert float((found - wanted).norm() / wanted.norm()) < 0.1
    finally:
        network.eject()
