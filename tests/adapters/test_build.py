"""From settings to a network at work on a small model: what acts, what is kept, what is written."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.adapters.lora import attach_file
from lib_dreambooth.adapters.parts import previewing
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET
from lib_dreambooth.formats.lora import read_adapter, write_adapter
from lib_dreambooth.models.loaded import LoadedModel
from tests.adapters.conftest import as_if_trained, attached_to, loss_of, outputs

FEW = {"network": {"rank": 2, "alpha": 1.0, "include": ["unet.mid*", "text_encoder*.layers.1.*"]}}


def are_equal(ours: tuple[torch.Tensor, ...], theirs: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_new_networks_change_nothing_and_eject_restores_every_bit(sd1: LoadedModel) -> None:
    before = outputs(sd1)
    attached = attached_to(sd1, network={"conv_rank": 2, "train_norms": True})
    assert are_equal(outputs(sd1), before)
    as_if_trained(attached)
    assert not torch.equal(outputs(sd1)[0], before[0])
    attached.eject()
    attached.eject()
    assert are_equal(outputs(sd1), before)


def test_strength(sd1: LoadedModel) -> None:
    before = outputs(sd1)
    attached = attached_to(sd1, **FEW)
    as_if_trained(attached)
    whole = outputs(sd1)
    with previewing(attached, 0.0):
        assert are_equal(outputs(sd1), before)
    with previewing(attached, 0.5):
        half = outputs(sd1)
    assert are_equal(outputs(sd1), whole)
    attached.eject()
    merged = copy.deepcopy(sd1.modules)
    for target, low_rank in attached.adapters.items():
        path = target.path
        if target.part == TEXT and not hasattr(merged[TEXT], "text_model"):
            path = path.removeprefix("text_model.")
        merged[target.part].get_submodule(path).weight.data += 0.5 * low_rank.weight()
    other = LoadedModel(sd1.family, sd1.schedule, sd1.prediction, sd1.source, merged, sd1.rules)
    for ours, theirs in zip(half, outputs(other), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    "dropouts", [{"dropout": 0.5}, {"rank_dropout": 0.5}, {"module_dropout": 0.5}, {"module_dropout": 0.99}]
)
def test_dropouts_act_in_steps_and_not_in_previews(sd1: LoadedModel, dropouts: dict[str, float]) -> None:
    attached = attached_to(sd1, network={**FEW["network"], **dropouts})
    as_if_trained(attached)
    torch.manual_seed(0)
    in_step = outputs(sd1)
    with previewing(attached):
        preview = outputs(sd1)
        assert are_equal(outputs(sd1), preview)
    attached.eject()
    assert not torch.equal(in_step[0], preview[0])


def test_state_and_load_are_inverse(sd1: LoadedModel) -> None:
    values = {"network": {"rank": 3, "conv_rank": 2, "train_norms": True}}
    attached = attached_to(sd1, **values)
    as_if_trained(attached)
    kept = {name: tensor.clone() for name, tensor in attached.state().items()}
    with_it = outputs(sd1)
    attached.eject()
    again = attached_to(sd1, **values)
    parameters = [part.parameter for part in again.parts()]
    again.load(kept)
    assert are_equal(outputs(sd1), with_it)
    again.eject()
    assert list(again.state()) == list(kept)
    assert all(torch.equal(kept[name], tensor) for name, tensor in again.state().items())
    assert all(new is old.parameter for new, old in zip(parameters, again.parts(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        {},
        {"conv_rank": 2, "conv_alpha": 0.3},
        {"rank": 3, "alpha": 0.7, "rank_stabilised": True},
        {"train_norms": True},
        {"layer_ranks": {"unet.mid*": 5}, "text_rank": 1},
    ],
)
@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
def test_a_file_read_back_gives_the_same_picture(
    sd1: LoadedModel, network: dict[str, Any], dtype: torch.dtype | None, tmp_path: Path
) -> None:
    names = names_of(sd1.source.kind)
    attached = attached_to(sd1, network=network)
    as_if_trained(attached)
    if dtype is not None:
        for part in attached.parts():
            part.parameter.data = part.parameter.data.to(dtype).float()
    with previewing(attached):
        preview = outputs(sd1)
    attached.eject()
    path = tmp_path / "lora.safetensors"
    write_adapter(path, attached.export(), names, dtype=dtype, metadata={"ss_base_model_version": "sd_v1"})
    file = read_adapter(path)
    back = attach_file(file, sd1.modules, names, "sd1")
    found = outputs(sd1)
    back.eject()
    assert are_equal(found, preview)
    assert {target: module.alpha for target, module in attached.export().items()} == {
        target: module.alpha for target, module in file.placed(names)[0].items()
    }


@pytest.mark.slow
def test_gradients_reach_every_network_and_no_weight_of_the_model(sdxl: LoadedModel) -> None:
    attached = attached_to(
        sdxl,
        network={"conv_rank": 2, "train_norms": True},
        parts={"text_encoder_2": {"train": True}},
    )
    as_if_trained(attached)
    loss_of(sdxl).backward()
    attached.eject()
    assert attached.trained_roots() == {UNET, TEXT, TEXT_2}
    # The last layer of the first encoder is read by nobody, but kohya's files have it.
    idle = {part.name for part in attached.parts() if part.parameter.grad is None}
    assert idle and all(name.startswith("lora_te1_text_model_encoder_layers_2_") for name in idle)
    assert not any(p.grad is not None for root in sdxl.modules.values() for p in root.parameters())


def test_a_stopped_part_acts_on_and_stays(sd1: LoadedModel) -> None:
    attached = attached_to(sd1, **FEW)
    as_if_trained(attached)
    loss_of(sd1).backward()
    before = outputs(sd1)
    attached.stop(TEXT)
    of_text = [part.parameter for part in attached.parts() if part.part == TEXT]
    assert of_text and all(p.grad is None and not p.requires_grad for p in of_text)
    assert attached.trained_roots() == {UNET}
    assert are_equal(outputs(sd1), before)
    loss_of(sd1).backward()
    assert all(p.grad is None for p in of_text)
    attached.start(TEXT)
    loss_of(sd1).backward()
    attached.eject()
    assert all(p.grad is not None for p in of_text)


def test_rates_of_the_parts(sd1: LoadedModel) -> None:
    attached = attached_to(
        sd1,
        network={"plus_ratio": 4.0, "plus_ratio_unet": 8.0, "train_norms": True},
        parts={"unet": {"layer_rates": {"*attn1*": 0.5, "*norm*": 3.0}}},
    )
    attached.eject()
    rates = {part.name: part.rate for part in attached.parts()}
    block = "lora_unet_mid_block_attentions_0_transformer_blocks_0"
    assert rates[f"{block}_attn1_to_q.down"] == 0.5 and rates[f"{block}_attn1_to_q.up"] == 4.0
    assert rates[f"{block}_attn2_to_q.up"] == 8.0 and rates[f"{block}_norm1.weight"] == 3.0
    text = "lora_te_text_model_encoder_layers_0"
    assert rates[f"{text}_mlp_fc1.up"] == 4.0 and rates[f"{text}_layer_norm1.bias"] == 1.0


def test_norms_of_changes_are_held(sd1: LoadedModel) -> None:
    attached = attached_to(sd1, **FEW)
    as_if_trained(attached)
    lengths = [float(low_rank.norm()) for low_rank in attached.adapters.values()]
    bound = sorted(lengths)[len(lengths) // 2]
    of_unet = [float(low.norm()) for target, low in attached.adapters.items() if target.part == UNET]
    assert float(attached.norms()[UNET]) == pytest.approx(sum(n**2 for n in of_unet) ** 0.5, rel=1e-5)
    assert int(attached.limit_norms(bound)) == sum(length > bound for length in lengths) > 0
    assert max(float(low_rank.norm()) for low_rank in attached.adapters.values()) <= bound * 1.0001
    assert int(attached.limit_norms(bound * 1.001)) == 0
    attached.eject()


def test_norm_differences_equal_changed_norms(sd1: LoadedModel) -> None:
    attached = attached_to(
        sd1, network={"rank": 1, "include": ["*norm*", "unet.mid*to_q"], "train_norms": True}
    )
    as_if_trained(attached)
    for target, adapter in attached.adapters.items():
        if target.path.endswith("to_q"):
            adapter.up.data.zero_()
    found = outputs(sd1)
    attached.eject()
    merged = copy.deepcopy(sd1.modules)
    count = 0
    for target, adapter in attached.adapters.items():
        if not target.path.endswith("to_q"):
            bare = target.path.removeprefix("text_model.")
            is_bare = target.part == TEXT and not hasattr(merged[TEXT], "text_model")
            layer = merged[target.part].get_submodule(bare if is_bare else target.path)
            layer.weight.data += adapter.weight.data
            layer.bias.data += adapter.bias.data
            count += 1
    other = LoadedModel(sd1.family, sd1.schedule, sd1.prediction, sd1.source, merged, sd1.rules)
    assert count > 30
    for ours, theirs in zip(found, outputs(other), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_trained_weights_in_another_precision(sd1: LoadedModel) -> None:
    from lib_dreambooth.adapters.build import attach
    from tests.adapters.conftest import run_of

    names = names_of(sd1.source.kind)
    attached = attach(run_of(**FEW), sd1.modules, names, "sd1", dtype=torch.bfloat16)
    assert {part.parameter.dtype for part in attached.parts()} == {torch.bfloat16}
    loss_of(sd1).backward()
    attached.eject()
    assert all(part.parameter.grad is not None for part in attached.parts())


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"network": {"exclude": ["*"]}}, "network"),
        ({"network": {"kind": "oft", "exclude": ["*"]}}, "network"),
    ],
)
def test_refusals(sd1: LoadedModel, values: dict[str, Any], where: str) -> None:
    with pytest.raises(UserError) as caught:
        attached_to(sd1, **values)
    assert caught.value.where == where and caught.value.todo


def test_the_type_that_is_exported(sd1: LoadedModel) -> None:
    attached = attached_to(sd1, **FEW)
    attached.eject()
    assert isinstance(attached, Attached) and not attached.is_attached
