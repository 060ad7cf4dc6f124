"""Plain LoRA and LoCon beside a model: equal to merged weights, gone without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lib_dreambooth.adapters.lora import attach_file, attach_new
from lib_dreambooth.adapters.low_rank import LowRank, fresh, from_file
from lib_dreambooth.adapters.targets import attention_targets, convolution_targets
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.adapter_names import AdapterNames, names_of
from lib_dreambooth.formats.keymap import TEXT, UNET, VAE
from lib_dreambooth.formats.lora import AdapterModule, read_adapter, write_adapter
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.models.encode import encode_prompts
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from tests.adapters.conftest import outputs


@pytest.fixture(autouse=True)
def models_stay_as_they_were(sd1: LoadedModel) -> Iterator[None]:
    before = outputs(sd1)
    yield
    assert all(torch.equal(old, new) for old, new in zip(before, outputs(sd1), strict=True))


def trained(names: AdapterNames, model: LoadedModel, rank: int = 3, seed: int = 7) -> dict[object, LowRank]:
    """Low-rank weights for every module of kohya's lists, as after some training."""
    found = {}
    for target in [*attention_targets(names), *convolution_targets(names)]:
        low_rank = fresh(names.shapes[target], rank, 1.5, Draw(seed, "test", *target))
        up = Draw(seed, "up", *target).normal_tensor(low_rank.up.shape)
        low_rank.up.data = 0.2 * up
        found[target] = low_rank
    return found


@pytest.fixture
def lora(sd1: LoadedModel, tmp_path: Path) -> Path:
    """A LoCon for every module, as a file."""
    names = names_of(sd1.source.kind)
    modules = {target: low_rank.to_file() for target, low_rank in trained(names, sd1).items()}
    write_adapter(tmp_path / "lora.safetensors", modules, names, metadata={"ss_base_model_version": "sd_v1"})
    return tmp_path / "lora.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize(("unet", "text"), [(1.0, 1.0), (0.5, -0.7), (0.0, 1.0), (2.0, 0.0)])
def test_equals_merged_weights(
    sd1: LoadedModel, lora: Path, tmp_path: Path, unet: float, text: float
) -> None:
    names = names_of(sd1.source.kind)
    untouched = outputs(sd1)
    attached = attach_file(
        read_adapter(lora), sd1.modules, names, "sd1", unet_strength=unet, text_strength=text
    )
    found = outputs(sd1)
    attached.eject()
    merged = read_model(sd1.source.path, parts=(UNET, TEXT))
    for target, low_rank in trained(names, sd1).items():
        weight = merged.modules[target.part].get_submodule(target.path).weight
        weight.data += low_rank.weight() * (unet if target.part == UNET else text)
    for ours, theirs in zip(found, outputs(merged), strict=True):
        assert torch.allclose(ours, theirs, atol=2e-4)
    assert torch.equal(found[1], untouched[1]) == (text == 0.0)
    assert not torch.allclose(found[0], untouched[0], atol=1e-2)


def test_ejecting_twice_and_two_at_once(sd1: LoadedModel, lora: Path) -> None:
    names = names_of(sd1.source.kind)
    file = read_adapter(lora)
    first = attach_file(file, sd1.modules, names, "sd1", unet_strength=0.25, text_strength=0.5)
    second = attach_file(file, sd1.modules, names, "sd1", unet_strength=0.75, text_strength=0.5)
    both = outputs(sd1)
    first.eject()
    first.eject()
    assert not first.is_attached and second.is_attached
    second.strengths.update({UNET: 1.0, TEXT: 1.0})
    one = outputs(sd1)
    second.eject()
    for sum_of_two, single in zip(both, one, strict=True):
        assert torch.allclose(sum_of_two, single, atol=2e-4)


def test_new_weights_change_nothing_and_learn(sd1: LoadedModel) -> None:
    names = names_of(sd1.source.kind)
    before = outputs(sd1)
    plan = [(target, 4, 2.0) for target in attention_targets(names)]
    attached = attach_new(plan, sd1.modules, names, seed=1)
    assert all(torch.equal(old, new) for old, new in zip(before, outputs(sd1), strict=True))
    states = encode_prompts(sd1.encoders, ["a red cat"]).joined()
    latents = Draw(3, "latents").normal_tensor((1, 4, 16, 16))
    sd1.unet(latents, 300.0, states).sample.square().mean().backward()
    roles = {part.name.rpartition(".")[2] for part in attached.parts()}
    gradients = {
        role: [part.parameter.grad for part in attached.parts() if part.name.endswith(f".{role}")]
        for role in sorted(roles)
    }
    attached.eject()
    assert roles == {"down", "up"}
    assert all(gradient is not None and bool(gradient.any()) for gradient in gradients["up"])
    assert all(gradient is not None and not bool(gradient.any()) for gradient in gradients["down"])
    assert not any(p.grad is not None for p in sd1.unet.parameters())


def test_new_weights_depend_on_seed_and_module_alone(sd1: LoadedModel) -> None:
    names = names_of(sd1.source.kind)
    targets = attention_targets(names)
    few = attach_new([(targets[5], 4, 1.0)], sd1.modules, names, seed=1)
    many = attach_new([(target, 4, 1.0) for target in targets], sd1.modules, names, seed=1)
    other = attach_new([(targets[5], 4, 1.0)], sd1.modules, names, seed=2)
    for attached in (few, many, other):
        attached.eject()
    down = few.adapters[targets[5]].down
    assert torch.equal(down, many.adapters[targets[5]].down)
    assert not torch.equal(down, other.adapters[targets[5]].down)
    bound = 1 / down.shape[1] ** 0.5
    assert down.abs().max() <= bound and down.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)
    assert down.dtype == torch.float32


def test_state_comes_back(sd1: LoadedModel) -> None:
    names = names_of(sd1.source.kind)
    plan = [(target, 2, 1.0) for target in attention_targets(names)[:3]]
    first, second = (attach_new(plan, sd1.modules, names, seed=seed) for seed in (1, 2))
    kept = {key: value.clone() for key, value in first.state().items()}
    parameters = [part.parameter for part in second.parts()]
    second.load(kept)
    for attached in (first, second):
        attached.eject()
    assert all(torch.equal(kept[key], value) for key, value in second.state().items())
    assert [part.parameter for part in second.parts()] == parameters
    assert "lora_unet_down_blocks_1_attentions_0_proj_in.down" in kept or len(kept) == 6


def test_export_and_file_are_inverse(sd1: LoadedModel, tmp_path: Path) -> None:
    names = names_of(sd1.source.kind)
    low_ranks = trained(names, sd1)
    write_adapter(tmp_path / "a.safetensors", {t: low.to_file() for t, low in low_ranks.items()}, names)
    placed, unknown = read_adapter(tmp_path / "a.safetensors").placed(names)
    assert not unknown and set(placed) == set(low_ranks)
    for target, module in placed.items():
        back = from_file(module, names.shapes[target])
        assert back is not None and back.alpha == 1.5
        assert torch.equal(back.weight(), low_ranks[target].weight())


def test_tucker_form_equals_its_merged_weight() -> None:
    generator = torch.Generator().manual_seed(4)
    parts = {
        "lora_down": torch.randn((3, 8, 1, 1), generator=generator),
        "lora_mid": torch.randn((3, 3, 3, 3), generator=generator),
        "lora_up": torch.randn((6, 3, 1, 1), generator=generator),
    }
    low_rank = from_file(AdapterModule(parts, 1.0), (6, 8, 3, 3))
    assert low_rank is not None
    layer = torch.nn.Conv2d(8, 6, 3, stride=2, padding=1)
    x = torch.randn((2, 8, 7, 7), generator=generator)
    expected = torch.nn.functional.conv2d(x, low_rank.weight(), stride=2, padding=1)
    found = low_rank.changed(torch.zeros_like(expected), x, layer)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 1, 1)])
@pytest.mark.parametrize("num_ones", [0, 2])
def test_matrices_and_pointwise_convolutions_are_the_same(shape: tuple[int, ...], num_ones: int) -> None:
    ones = (1,) * num_ones
    parts = {"lora_down": torch.rand((2, 8, *ones)), "lora_up": torch.rand((6, 2, *ones))}
    low_rank = from_file(AdapterModule(parts), shape)
    assert low_rank is not None and low_rank.weight().shape == shape
    assert low_rank.scale == 1.0


@pytest.mark.slow
def test_a_lora_for_another_family_is_refused(sdxl: LoadedModel, lora: Path) -> None:
    with pytest.raises(FileError, match=r"LoRA for Stable Diffusion 1, and the model is of SDXL"):
        attach_file(read_adapter(lora), sdxl.modules, names_of(sdxl.source.kind), "sdxl")


def test_a_lora_of_other_widths_is_refused(sd1: LoadedModel, tmp_path: Path) -> None:
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {f"{name}.lora_down.weight": torch.ones(4, 768), f"{name}.lora_up.weight": torch.ones(1280, 4)}
    write_safetensors(tmp_path / "wide.safetensors", tensors)
    with pytest.raises(FileError, match=f"`{name}` does not fit a weight of 64x64"):
        attach_file(
            read_adapter(tmp_path / "wide.safetensors"), sd1.modules, names_of(sd1.source.kind), "sd1"
        )


def test_modules_that_the_model_lacks_are_named(
    sd1: LoadedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    tensors = {}
    for name in (known, "lora_unet_down_blocks_9_proj"):
        tensors |= {
            f"{name}.lora_down.weight": torch.ones(4, 64),
            f"{name}.lora_up.weight": torch.ones(64, 4),
        }
    write_safetensors(tmp_path / "odd.safetensors", tensors, {"ss_base_model_version": "sd_v1"})
    attached = attach_file(
        read_adapter(tmp_path / "odd.safetensors"), sd1.modules, names_of(sd1.source.kind), "sd1"
    )
    attached.eject()
    assert len(attached.adapters) == 1
    assert "lora_unet_down_blocks_9_proj" in caplog.text


def test_a_unet_alone_takes_its_share(sd1: LoadedModel, lora: Path) -> None:
    attached = attach_file(
        read_adapter(lora), {UNET: sd1.unet}, names_of(sd1.source.kind), "sd1", unet_strength=0.5
    )
    attached.eject()
    assert {target.part for target in attached.adapters} == {UNET}
    assert VAE not in attached.strengths
