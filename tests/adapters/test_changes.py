"""What networks of each kind change by: as LyCORIS computes it, and in the forms that other tools write."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.dense import Dense
from lib_dreambooth.adapters.kinds import beside_from_file
from lib_dreambooth.adapters.low_rank import NO_DROPOUTS, LowRank
from lib_dreambooth.adapters.lycoris_parts import LOGGER, Wanted, new_dense
from lib_dreambooth.adapters.norms import NormDifference
from lib_dreambooth.base.errors import MissingPackage
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.lora import AdapterModule

LINEAR, CONV = "linear", "convolution"
OTHER_NAMES = {"a1": "a2", "a2": "a1", "b1": "b2", "b2": "b1"}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer_of(sort: str) -> nn.Module:
    torch.manual_seed(3)
    if sort == LINEAR:
        return nn.Linear(24, 16)
    return nn.Conv2d(24, 16, 3, stride=2, padding=1)


def input_of(sort: str) -> Tensor:
    return numbers(2, 5, 24, seed=8) if sort == LINEAR else numbers(2, 24, 7, 7, seed=8)


def library(name: str) -> Any:
    """A module class of LyCORIS; what it prints when it is first imported is none of ours."""
    import importlib

    module, _, attribute = name.partition(".")
    with contextlib.redirect_stdout(io.StringIO()):
        return getattr(importlib.import_module(f"lycoris.modules.{module}"), attribute)


def theirs(made: Any, layer: nn.Module, x: Tensor) -> Tensor:
    """What the library's module gives where the layer stands."""
    found: Tensor = made.eval()(x)
    return found.detach()


def ours(beside: Dense | LowRank, layer: nn.Module, x: Tensor, strength: float = 1.0) -> Tensor:
    with torch.no_grad():
        found: Tensor = beside.eval().changed(layer(x), x, layer, strength)
    return found


CASES: dict[str, tuple[str, Wanted, dict[str, Any]]] = {
    "dora": ("locon.LoConModule", Wanted("lora", 3, 1.5, is_decomposed=True), {"weight_decompose": True}),
    "loha": ("loha.LohaModule", Wanted("loha", 3, 1.5), {}),
    "loha tucker": ("loha.LohaModule", Wanted("loha", 3, 1.5, is_tucker=True), {"use_tucker": True}),
    "loha scalar": ("loha.LohaModule", Wanted("loha", 3, 1.5, has_scalar=True), {"use_scalar": True}),
    "loha dora": ("loha.LohaModule", Wanted("loha", 3, 1.5, is_decomposed=True), {"weight_decompose": True}),
    "lokr": ("lokr.LokrModule", Wanted("lokr", 1, 0.5, factor=4), {"factor": 4}),
    "lokr both": (
        "lokr.LokrModule", Wanted("lokr", 1, 0.5, factor=4, decompose_both=True),
        {"factor": 4, "decompose_both": True},
    ),
    "lokr tucker": (
        "lokr.LokrModule", Wanted("lokr", 1, 0.5, factor=2, is_tucker=True),
        {"factor": 2, "use_tucker": True},
    ),
    "lokr whole": ("lokr.LokrModule", Wanted("lokr", 32, 0.5), {}),
    "lokr dora": ("lokr.LokrModule", Wanted("lokr", 1, 0.5, is_decomposed=True), {"weight_decompose": True}),
    "ia3": ("ia3.IA3Module", Wanted("ia3", 1, 0.0), {}),
    "ia3 on input": ("ia3.IA3Module", Wanted("ia3", 1, 0.0, is_on_input=True), {"train_on_input": True}),
    "oft": ("diag_oft.DiagOFTModule", Wanted("oft", 4, 0.0), {}),
    "oft bound": (
        "diag_oft.DiagOFTModule", Wanted("oft", 4, 0.0, constraint=0.02, is_rescaled=True),
        {"constraint": 0.02, "rescaled": True},
    ),
    "glora": ("glora.GLoRAModule", Wanted("glora", 3, 1.5), {}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "sort"),
    # Convolutions of GLoRA are plain LoRA here.
    [(name, sort) for name in CASES for sort in (LINEAR, CONV) if (name, sort) != ("glora", CONV)],
)
def test_at_full_strength_it_is_what_lycoris_computes(name: str, sort: str) -> None:
    class_name, wanted, arguments = CASES[name]
    layer, x = layer_of(sort), input_of(sort)
    own = new_dense(wanted, layer, Draw(1, "test"), NO_DROPOUTS)
    assert torch.equal(ours(own, layer, x), layer(x).detach())
    made = library(class_name)(
        "", layer, lora_dim=wanted.rank, alpha=wanted.alpha, wd_on_out=False, bypass_mode=False, **arguments
    )
    named = {name.removesuffix(".weight"): tensor for name, tensor in made.named_parameters()}
    assert len(named) == len(list(own.parameters()))
    for seed, (part, tensor) in enumerate(own.named_parameters()):
        is_length = part in ("dora_scale", "rescale")
        values = 0.3 * numbers(*tensor.shape, seed=seed)
        tensor.data = tensor.data * (1 + values) if is_length else values
        their_name = OTHER_NAMES.get(part, part) if wanted.kind == "glora" else part
        assert named[their_name].shape == tensor.shape
        named[their_name].data.copy_(tensor.data)
    found = ours(own, layer, x)
    assert torch.allclose(found, theirs(made, layer, x), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, layer(x), atol=1e-2)
    back = beside_from_file(own.to_file(), tuple(layer.weight.shape))
    assert isinstance(back, Dense)
    assert torch.equal(ours(back, layer, x), found)


def read(parts: Mapping[str, Tensor], alpha: float | None, weight: Tensor) -> Tensor:
    """A file's change of a weight."""
    layer = nn.Linear(weight.shape[1], weight.shape[0]) if weight.dim() == 2 else nn.Conv2d(
        weight.shape[1], weight.shape[0], weight.shape[2]
    )  # fmt: skip
    layer.weight.data = weight
    found = beside_from_file(AdapterModule(dict(parts), alpha), tuple(weight.shape))
    assert isinstance(found, Dense)
    return found.weight_for(layer)


def test_glora_the_other_way_round() -> None:
    """As LyCORIS has written it since: b1 b2 and W a1 a2, with alpha to divide by."""
    weight = numbers(6, 8, seed=1)
    parts = {"a1": numbers(8, 2), "a2": numbers(2, 8), "b1": numbers(6, 2), "b2": numbers(2, 8)}
    expected = (parts["b1"] @ parts["b2"] + weight @ parts["a1"] @ parts["a2"]) * 0.5
    assert torch.allclose(read(parts, 1.0, weight), expected, atol=1e-5)


def test_oft_by_its_turns() -> None:
    """`oft_diag` of old files is what is turned by."""
    weight = numbers(6, 8, seed=1)
    turns = torch.linalg.qr(numbers(3, 2, 2, seed=2))[0]
    expected = torch.block_diag(*(turn.T for turn in turns)) @ weight - weight
    assert torch.allclose(read({"oft_diag": turns}, 2.0, weight), expected, atol=1e-5)


@pytest.mark.parametrize("sort", [LINEAR, CONV])
def test_boft(sort: str) -> None:
    layer, x = layer_of(sort), input_of(sort)
    made = library("boft.ButterflyOFTModule")("", layer, lora_dim=4, rescaled=True, bypass_mode=False)
    made.oft_blocks.data = 0.3 * numbers(*made.oft_blocks.shape, seed=2)
    made.rescale.data = 1 + 0.3 * numbers(*made.rescale.shape, seed=5)
    parts = {"oft_blocks": made.oft_blocks.detach(), "rescale": made.rescale.detach()}
    assert parts["oft_blocks"].dim() == 4
    found = beside_from_file(AdapterModule(parts, 0.0), tuple(layer.weight.shape))
    assert isinstance(found, Dense)
    assert torch.allclose(ours(found, layer, x), theirs(made, layer, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(6, 1), (6,)])
def test_dora_with_a_length_for_each_output(shape: tuple[int, ...]) -> None:
    """As LyCORIS does by default, and PEFT without the empty size."""
    weight = numbers(6, 8, seed=1)
    parts = {
        "lora_up": numbers(6, 2),
        "lora_down": numbers(2, 8),
        "dora_scale": numbers(*shape, seed=4).abs(),
    }
    merged = weight + parts["lora_up"] @ parts["lora_down"]
    lengths = parts["dora_scale"].reshape(6, 1) / merged.norm(dim=1, keepdim=True)
    assert torch.allclose(read(parts, 2.0, weight), merged * lengths - weight, atol=1e-5)


def test_matrices_for_pointwise_convolutions_and_the_other_way() -> None:
    matrix, kernel = numbers(6, 8, seed=1), numbers(6, 8, 1, 1, seed=1)
    flat = {"diff": numbers(6, 8), "diff_b": numbers(6)}
    deep = {"diff": numbers(6, 8, 1, 1)}
    assert read(flat, None, kernel).shape == kernel.shape and read(deep, None, matrix).shape == matrix.shape
    loha = {
        "hada_w1_a": numbers(6, 2), "hada_w1_b": numbers(2, 8, 1, 1),
        "hada_w2_a": numbers(6, 2), "hada_w2_b": numbers(2, 8, 1, 1),
    }  # fmt: skip
    product = (loha["hada_w1_a"] @ loha["hada_w1_b"].flatten(1)) ** 2
    assert torch.allclose(read(loha, None, matrix), product, atol=1e-5)
    up, down = numbers(6, 2, 1, 1), numbers(2, 8, 1, 1)
    dora = {"lora_up": up, "lora_down": down, "dora_scale": torch.ones(1, 8, 1, 1)}
    expected = nn.functional.normalize(matrix + up.flatten(1) @ down.flatten(1), dim=0)
    assert torch.allclose(read(dora, 2.0, matrix) + matrix, expected, atol=1e-5)


def test_differences_of_norms_under_either_name() -> None:
    for weight, bias in (("w_norm", "b_norm"), ("diff", "diff_b")):
        found = beside_from_file(AdapterModule({weight: numbers(8), bias: numbers(8, seed=1)}), (8,))
        assert isinstance(found, NormDifference) and torch.equal(found.bias, numbers(8, seed=1))
    alone = beside_from_file(AdapterModule({"diff": numbers(8)}), (8,))
    assert isinstance(alone, NormDifference) and not bool(alone.bias.any())


@pytest.mark.parametrize(
    "parts",
    [
        {"hada_w1_a": numbers(6, 2), "hada_w1_b": numbers(2, 9),
         "hada_w2_a": numbers(6, 2), "hada_w2_b": numbers(2, 9)},
        {"hada_w1_a": numbers(6, 2), "hada_w1_b": numbers(2, 8)},
        {"lokr_w1": numbers(3, 2), "lokr_w2": numbers(2, 2)},
        {"lokr_w1": numbers(3, 2)},
        {"weight": numbers(8), "on_input": torch.tensor(0)},
        {"diff": numbers(6, 9)},
        {"diff": numbers(6, 8), "diff_b": numbers(8)},
        {"a1": numbers(2, 8), "a2": numbers(8, 2), "b1": numbers(2, 9), "b2": numbers(6, 2)},
        {"a1": numbers(2, 8)},
        {"oft_blocks": numbers(2, 2, 2)},
        {"oft_blocks": numbers(2, 2)},
        {"oft_blocks": numbers(3, 2, 2), "rescale": numbers(5, 1)},
        {"lora_up": numbers(6, 2), "lora_down": numbers(2, 8), "dora_scale": numbers(1, 7)},
        {"scalar": torch.tensor(1.0)},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_seen(parts: dict[str, Tensor]) -> None:
    assert beside_from_file(AdapterModule(parts, 1.0), (6, 8)) is None


def test_the_library_s_logger_is_left_as_it_was() -> None:
    log = logging.getLogger(LOGGER)
    new_dense(Wanted("oft", 4, 0.0), layer_of(LINEAR), Draw(1, "test"), NO_DROPOUTS)
    level, state = log.level, torch.get_rng_state()
    new_dense(Wanted("loha", 4, 1.0), layer_of(LINEAR), Draw(2, "test"), NO_DROPOUTS)
    assert log.level == level and torch.equal(torch.get_rng_state(), state)


def test_without_the_library_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "lycoris.modules.loha", None)
    with pytest.raises(MissingPackage) as caught:
        new_dense(Wanted("loha", 4, 1.0), layer_of(LINEAR), Draw(1, "test"), NO_DROPOUTS)
    assert caught.value.where == "network.kind" and "pip install lycoris-lora" in caught.value.todo
    full = new_dense(Wanted("full", 4, 1.0), layer_of(LINEAR), Draw(1, "test"), NO_DROPOUTS)
    assert {name for name, _ in full.named_parameters()} == {"diff", "diff_b"}


@pytest.mark.parametrize("kind", ["loha", "oft"])
def test_under_autocast_the_change_keeps_its_digits(kind: str) -> None:
    layer, x = layer_of(LINEAR), input_of(LINEAR)
    own = new_dense(Wanted(kind, 4, 2.0), layer, Draw(1, "test"), NO_DROPOUTS)
    for seed, tensor in enumerate(own.parameters()):
        tensor.data = 0.3 * numbers(*tensor.shape, seed=seed)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(x)
        found = own.changed(output, x, layer)
        found.float().sum().backward()
    assert found.dtype == torch.bfloat16
    change = nn.functional.linear(x.bfloat16(), own.weight_for(layer).bfloat16())
    assert torch.equal(found, torch.add(output, change))
    assert all(tensor.grad is not None and tensor.grad.dtype == torch.float32 for tensor in own.parameters())
