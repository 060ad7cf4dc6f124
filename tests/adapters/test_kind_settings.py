"""What each setting of the kinds of network does, and that those without a meaning are said to do nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.adapters.dense import Dense
from lib_dreambooth.adapters.parts import previewing
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.notices import notices
from tests.adapters.conftest import as_if_trained, attached_to, outputs
from tests.adapters.variants import KINDS, few

LAYER = "mid_block.attentions.0.transformer_blocks.0.ff.net.2"
CONV = "down_blocks.0.downsamplers.0.conv"
ONE = {"include": [f"unet.{LAYER}"]}


def beside(model: LoadedModel, path: str = LAYER, **network: Any) -> Dense:
    """What one layer gets; [64, 256] or [32, 32, 3, 3]."""
    attached = attached_to(model, network={"include": [f"unet.{path}"], **network})
    attached.eject()
    [found] = attached.adapters.values()
    return found


def sizes(found: Dense) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in found.named_parameters()}


def test_rank_and_alpha(sd1: LoadedModel) -> None:
    found = beside(sd1, kind="loha", rank=5, alpha=2.5)
    assert sizes(found)["hada_w1_a"] == (64, 5) and found.scale == 0.5
    stable = beside(sd1, kind="loha", rank=4, alpha=2.0, rank_stabilised=True)
    assert (stable.alpha, stable.scale) == (4.0, 1.0)
    assert beside(sd1, kind="loha", layer_ranks={"*": 2}).rank == 2
    assert beside(sd1, kind="lokr", block_ranks=[3] * 25).rank == 3


def test_factor(sd1: LoadedModel) -> None:
    assert sizes(beside(sd1, kind="lokr", rank=2)) == {
        "lokr_w1": (8, 16), "lokr_w2_a": (8, 2), "lokr_w2_b": (2, 16),
    }  # fmt: skip
    assert sizes(beside(sd1, kind="lokr", rank=2, factor=4)) == {
        "lokr_w1": (4, 4), "lokr_w2_a": (16, 2), "lokr_w2_b": (2, 64),
    }  # fmt: skip


def test_decompose_both(sd1: LoadedModel) -> None:
    found = beside(sd1, kind="lokr", rank=2, decompose_both=True)
    assert {"lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"} == set(sizes(found))


def test_a_large_rank_leaves_lokr_whole(sd1: LoadedModel) -> None:
    found = beside(sd1, kind="lokr", rank=64, alpha=1.0)
    assert sizes(found) == {"lokr_w1": (8, 16), "lokr_w2": (8, 16)}
    assert (found.rank, found.scale, found.to_file().alpha) == (None, 1.0, 64.0)


def test_tucker(sd1: LoadedModel) -> None:
    plain = beside(sd1, CONV, kind="loha", conv_rank=2)
    tucker = beside(sd1, CONV, kind="loha", conv_rank=2, tucker=True)
    assert sizes(plain)["hada_w1_b"] == (2, 32 * 9) and "hada_t1" not in sizes(plain)
    assert sizes(tucker)["hada_w1_b"] == (2, 32) and sizes(tucker)["hada_t1"] == (2, 2, 3, 3)
    assert "lokr_t2" in sizes(beside(sd1, CONV, kind="lokr", conv_rank=1, factor=2, tucker=True))


def test_scalar(sd1: LoadedModel) -> None:
    """It takes the place of a half that starts at zero, and lies in the first matrix of a file."""
    found = beside(sd1, kind="loha", scalar=True)
    assert float(found.get_parameter("scalar").detach()) == 0.0 and bool(
        found.get_parameter("hada_w2_a").any()
    )
    found.get_parameter("scalar").data.fill_(0.25)
    assert "scalar" not in found.to_file().parts
    assert torch.equal(found.to_file().parts["hada_w1_a"], 0.25 * found.get_parameter("hada_w1_a").detach())


def test_constraint(sd1: LoadedModel) -> None:
    """Blocks may grow, turns do not: beyond the bound a longer block is the same turn."""
    layer = sd1.modules[UNET].get_submodule(LAYER)
    changes = []
    for constraint in (0.0, 0.01):
        found = beside(sd1, kind="oft", rank=8, constraint=constraint)
        blocks = found.get_parameter("oft_blocks")
        values = torch.randn(blocks.shape, generator=torch.Generator().manual_seed(1))
        for size in (1.0, 2.0):
            blocks.data = size * values
            changes.append(found.weight_for(layer))
        assert found.to_file().alpha == pytest.approx(constraint)
    free, freer, bound, bound_too = changes
    assert not torch.allclose(free, freer, rtol=0.1)
    assert torch.allclose(bound, bound_too, atol=1e-5) and bound.norm() < free.norm()


def test_rescaled(sd1: LoadedModel) -> None:
    layer = sd1.modules[UNET].get_submodule(LAYER)
    found = beside(sd1, kind="oft", rank=8, rescaled=True)
    assert sizes(found) == {"oft_blocks": (8, 8, 8), "rescale": (64, 1)}
    found.get_parameter("rescale").data.fill_(1.5)
    assert torch.allclose(found.weight_for(layer), 0.5 * layer.weight, atol=1e-6)
    assert sizes(beside(sd1, kind="oft", rank=8)) == {"oft_blocks": (8, 8, 8)}


def test_decompose(sd1: LoadedModel) -> None:
    for kind in ("lora", "loha", "lokr"):
        assert sizes(beside(sd1, kind=kind, rank=2, decompose=True))["dora_scale"] == (1, 256)
        assert "dora_scale" not in sizes(beside(sd1, kind=kind, rank=2))


def test_full_has_biases_where_the_layer_has(sd1: LoadedModel) -> None:
    assert sizes(beside(sd1, kind="full")) == {"diff": (64, 256), "diff_b": (64,)}
    query = LAYER.replace("ff.net.2", "attn1.to_q")
    assert sizes(beside(sd1, query, kind="full")) == {"diff": (64, 64)}


@pytest.mark.parametrize("kind", ["loha", "lokr", "glora", "dora", "ia3", "oft", "full"])
@pytest.mark.parametrize("dropout", ["dropout", "rank_dropout", "module_dropout"])
def test_dropouts_act_in_steps_and_not_in_previews(sd1: LoadedModel, kind: str, dropout: str) -> None:
    attached = attached_to(sd1, network={**KINDS[kind], **ONE, dropout: 0.6})
    as_if_trained(attached)
    layer = sd1.modules[UNET].get_submodule(LAYER)
    x = torch.randn((3, 7, 256), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.manual_seed(0)
        in_steps = [layer(x) for _ in range(6)]
        with previewing(attached):
            preview = layer(x)
            assert torch.equal(layer(x), preview)
    attached.eject()
    has_meaning = dropout == "module_dropout" or kind in ("loha", "lokr", "glora", "dora")
    assert any(not torch.equal(step, preview) for step in in_steps) == has_meaning
    if dropout == "module_dropout":
        assert {torch.equal(step, layer(x)) for step in in_steps} == {True, False}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "tucker" not in kind])
def test_max_norm_shrinks_what_grew_beyond(sd1: LoadedModel, kind: str) -> None:
    attached = attached_to(sd1, network={**few(kind), "train_norms": False})
    as_if_trained(attached)
    layers = {target: sd1.modules[target.part].get_submodule(target.path) for target in attached.adapters}
    lengths = {target: float(each.norm(layers[target])) for target, each in attached.adapters.items()}
    bound = sorted(lengths.values())[len(lengths) // 2]
    shrunk = int(attached.limit_norms(bound))
    after = {target: float(each.norm(layers[target])) for target, each in attached.adapters.items()}
    attached.eject()
    if kind.startswith("oft"):
        assert shrunk == 0 and after == lengths
    elif kind.startswith("dora"):
        # Lengths of DoRA are its own; what is limited is the direction's change.
        assert shrunk > 0
    else:
        assert shrunk == sum(length > bound * (1 + 1e-6) for length in lengths.values())
        assert max(after.values()) <= bound * 1.0001
        small = [target for target, length in lengths.items() if length < bound * 0.999]
        assert small and all(after[target] == pytest.approx(lengths[target]) for target in small)


def test_rates_of_blocks_and_of_lora_plus(sd1: LoadedModel) -> None:
    blocks = [1.0] * 25
    blocks[12] = 0.5
    values = {"network": {**few("loha"), "plus_ratio": 4.0}, "parts": {"unet": {"block_rates": blocks}}}
    attached = attached_to(sd1, **values)
    attached.eject()
    rates = {("mid_block" in part.name, part.rate) for part in attached.parts()}
    assert rates == {(True, 0.5), (False, 1.0)}
    dora = attached_to(sd1, network={**few("dora"), "plus_ratio": 4.0})
    dora.eject()
    assert {(part.name.rpartition(".")[2], part.rate) for part in dora.parts()} == {
        ("lora_up", 4.0), ("lora_down", 1.0), ("dora_scale", 1.0),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("network", "paths"),
    [
        ({"kind": "ia3", "rank": 4, "dropout": 0.1}, {"network.rank", "network.dropout"}),
        ({"kind": "oft", "alpha": 3.0, "max_norm": 1.0}, {"network.alpha", "network.max_norm"}),
        ({"kind": "loha", "max_norm": 1.0, "plus_ratio": 4.0}, {"network.plus_ratio"}),
        ({"kind": "lokr", "constraint": 1.0, "tucker": True}, {"network.constraint", "network.tucker"}),
        ({"kind": "full", "decompose": True, "conv_rank": 4}, {"network.decompose", "network.conv_rank"}),
        ({"kind": "glora", "scalar": True, "rescaled": True}, {"network.scalar", "network.rescaled"}),
        ({"decompose_both": True, "decompose": True}, {"network.decompose_both"}),
    ],
)  # fmt: skip
def test_what_means_nothing_is_named(network: dict[str, Any], paths: set[str]) -> None:
    sourced = settings.read({"concepts": [{"folder": "pictures"}], "network": network})
    found = {notice.where for notice in notices(sourced, Facts()) if notice.code == "no-effect"}
    assert {path for path in found if path.startswith("network.")} == paths


@pytest.mark.slow
def test_what_means_nothing_does_nothing(sd1: LoadedModel) -> None:
    idle = {"rank": 8, "text_rank": 2, "conv_rank": 4, "layer_ranks": {"*": 0}, "rank_stabilised": True}
    plain = attached_to(sd1, network={"kind": "oft", "rank": 8})
    plain.eject()
    other = attached_to(sd1, network={"kind": "oft", **idle, "decompose": True, "scalar": True})
    other.eject()
    assert {name: tensor.shape for name, tensor in plain.state().items()} == {
        name: tensor.shape for name, tensor in other.state().items()
    }


def test_a_preview_of_half_strength_is_half_way(sd1: LoadedModel) -> None:
    """Of one layer, where nothing that follows has bent it."""
    attached = attached_to(sd1, network={**KINDS["dora"], **ONE})
    as_if_trained(attached)
    layer = sd1.modules[UNET].get_submodule(LAYER)
    x = torch.randn((2, 5, 256), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        whole = layer(x)
        with previewing(attached, 0.5):
            half = layer(x)
    attached.eject()
    with torch.no_grad():
        base = copy.deepcopy(layer)(x)
    assert torch.allclose(half, (whole + base) / 2, atol=1e-5)
    assert outputs(sd1)[0].isfinite().all()
