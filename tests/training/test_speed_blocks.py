"""Transformers in a few expressions: the same answers and gradients, fewer operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.race.counting import Counting
from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.adapters.joining import joined
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.models.build import move
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.training.precision.attention import attention
from lib_dreambooth.training.precision.checkpointing import checkpointing
from lib_dreambooth.training.speed.blocks import in_expressions
from tests.adapters.test_joining import assert_alike, attached
from tests.models.tiny import tiny_sd1, tiny_sdxl

BLOCKS = {"sd1": 4, "sdxl": 5}


@pytest.fixture(scope="module", params=[tiny_sd1, tiny_sdxl])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return read_model(request.param(tmp_path_factory.mktemp("checkpoint")), dtype=torch.float64)


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return read_model(tiny_sd1(tmp_path_factory.mktemp("checkpoint")), dtype=torch.float64)


@contextmanager
def network(model: LoadedModel, changes: dict[str, Any] | None = None) -> Iterator[Attached]:
    found = attached(model, {"parts.text_encoder_1.train": False, **(changes or {})})
    try:
        yield found
    finally:
        found.eject()


@contextmanager
def short(model: LoadedModel, network: Attached) -> Iterator[int]:
    with joined(network), in_expressions(model.unet, network) as count:
        yield count


def asked(model: LoadedModel, count: int = 2, *, learns_states: bool = False) -> tuple[Tensor, Tensor]:
    """The UNet's answer, and the states that it was given."""
    sizes = model.unet.config
    dtype = model.dtype_of(UNET)
    values = torch.linspace(0.0, 400.0, count * sizes.in_channels * 64, dtype=dtype).sin()
    states = torch.linspace(0.0, 999.0, count * 77 * sizes.cross_attention_dim, dtype=dtype).sin()
    states = states.view(count, 77, -1).requires_grad_(learns_states)
    more: dict[str, Any] = {}
    if model.family.name == "sdxl":
        pooled = torch.linspace(-1.0, 1.0, count * 96, dtype=dtype).view(count, 96)
        more = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": torch.full((count, 6), 64.0)}}
    answer = model.unet(values.view(count, -1, 8, 8), torch.tensor([3, 700][:count]), states, **more).sample
    return answer, states


def step(model: LoadedModel, network: Attached, count: int = 2, *, learns_states: bool = False) -> Any:
    """The answer, and all gradients that follow from it."""
    for part in network.parts():
        part.parameter.grad = None
    answer, states = asked(model, count, learns_states=learns_states)
    answer.float().square().sum().backward()
    found = {part.name: part.parameter.grad for part in network.parts() if part.parameter.grad is not None}
    if states.grad is not None:
        found["states"] = states.grad
    return found | {"answer": answer.detach()}


@pytest.mark.parametrize("learns_states", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_answers_and_gradients_are_the_same(model: LoadedModel, count: int, learns_states: bool) -> None:
    with network(model) as one:
        wanted = step(model, one, count, learns_states=learns_states)
        with short(model, one) as blocks:
            found = step(model, one, count, learns_states=learns_states)
        assert blocks > 0
        assert len(found) == len(one.parts()) + 1 + learns_states
        assert_alike(found, wanted)
        again = step(model, one, count, learns_states=learns_states)["answer"]
        assert torch.equal(again, wanted["answer"])


@pytest.mark.parametrize(
    "changes",
    [
        {"network.alpha": 3.0},
        {"network.conv_rank": 2},
        {"network.targets": "cross"},
        {"network.layer_ranks": {"*attn1_to_k*": 2}},
        {"network.exclude": ["*to_out*"]},
        {"network.dropout": 0.1},
        {"network.decompose": True},
        {"network.kind": "loha"},
        {"network.train_norms": True},
    ],
    ids=str,
)
def test_whatever_stands_beside_layers_the_gradients_are_the_same(
    sd1: LoadedModel, changes: dict[str, Any]
) -> None:
    with network(sd1, changes) as one:
        one.training(False)
        wanted = step(sd1, one)
        with short(sd1, one):
            assert_alike(step(sd1, one), wanted)


@pytest.mark.parametrize("level", ["some", "on", "offload"])
def test_what_is_computed_twice_is_the_same(model: LoadedModel, level: str) -> None:
    with network(model) as one:
        wanted = step(model, one)
        with short(model, one), checkpointing({"unet": model.unet}, level) as forward, forward:
            assert_alike(step(model, one), wanted)


def test_another_strength_is_heeded(sd1: LoadedModel) -> None:
    with network(sd1) as one:
        for strength in (0.0, 0.5):
            one.strength(strength)
            wanted = asked(sd1)[0]
            with short(sd1, one):
                assert torch.allclose(asked(sd1)[0], wanted, rtol=1e-10, atol=1e-12)


def test_passes_for_pictures_give_what_they_gave(sd1: LoadedModel) -> None:
    with network(sd1) as one, torch.no_grad():
        wanted = asked(sd1)[0]
        with short(sd1, one):
            assert torch.equal(asked(sd1)[0], wanted)


@pytest.mark.parametrize("kind", ["sliced"])
def test_other_attention_is_left_alone(sd1: LoadedModel, kind: str) -> None:
    with network(sd1) as one, attention(sd1.unet, kind):
        wanted = step(sd1, one)
        with short(sd1, one) as blocks:
            assert blocks == 0
            assert_alike(step(sd1, one), wanted)


def test_a_part_that_rests_gets_no_gradient(sd1: LoadedModel) -> None:
    with network(sd1) as one, short(sd1, one):
        one.stop(UNET)
        found = step(sd1, one, learns_states=True)
        assert set(found) == {"states", "answer"}
        one.start(UNET)
        assert len(step(sd1, one)) == len(one.parts()) + 1


def test_fewer_operations_are_asked_for(sd1: LoadedModel) -> None:
    counts = []
    for is_short in (False, True):
        with network(sd1) as one, ExitStack() as open_:
            if is_short:
                open_.enter_context(short(sd1, one))
            with Counting() as counting:
                step(sd1, one)
            counts.append(counting)
    plain, fast = counts
    assert fast.operators() < 0.7 * plain.operators()
    # Turned and copied only where attention wants it otherwise.
    assert fast.calls["aten::mm"] < 0.5 * plain.calls["aten::mm"]


def test_all_is_back_afterwards(sd1: LoadedModel) -> None:
    with network(sd1) as one:
        with short(sd1, one):
            assert "forward" in sd1.unet.__dict__
        assert not any("forward" in module.__dict__ for module in sd1.unet.modules())


def test_native_half_precision_is_as_near_to_the_truth_as_mixed_precision(tmp_path: Any) -> None:
    """Without casts on the way: weights, activations and products are in bfloat16 by themselves."""
    model = read_model(tiny_sd1(tmp_path), dtype=torch.bfloat16)
    one = attached(model, {"parts.text_encoder_1.train": False}, torch.float32)
    # Nothing regular, which norms would make much of.
    chance = torch.Generator().manual_seed(1)
    values, states = torch.randn(1, 4, 32, 32, generator=chance), torch.randn(1, 77, 64, generator=chance)

    def found(is_short: bool, mixed: bool = True) -> tuple[Tensor, int]:
        with ExitStack() as open_:
            if is_short:
                open_.enter_context(short(model, one))
            counting = open_.enter_context(Counting())
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
                answer = model.unet(values, torch.tensor([3]), states).sample
            for part in one.parts():
                part.parameter.grad = None
            answer.float().square().sum().backward()
        gradients: list[Any] = [part.parameter.grad for part in one.parts()]
        return torch.cat([gradient.flatten() for gradient in gradients]), counting.calls["aten::_to_copy"]

    try:
        (mixed, many), (native, few) = found(False), found(True)
        move(model.unet, torch.device("cpu"), torch.float32)
        true, _ = found(False, mixed=False)
    finally:
        one.eject()
    assert native.dtype == torch.float32
    assert few < 0.7 * many
    away, usual = ((gradients - true).norm() / true.norm() for gradients in (native, mixed))
    assert 0.0 < away < 1.2 * usual < 0.1
