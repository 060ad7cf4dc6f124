"""Layouts and key maps: against diffusers' networks and converters, and against the published key counts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from lib_dreambooth.formats.clip_keys import ClipLayout, clip_config, hf_links, open_clip_links
from lib_dreambooth.formats.links import LayoutError, Link, from_file, to_file
from lib_dreambooth.formats.unet_keys import unet_links
from lib_dreambooth.formats.unet_layout import NO_ATTENTION, UNetLayout, unet_config
from lib_dreambooth.formats.vae_keys import VaeLayout, current_vae_name, vae_config, vae_links

FOUR = {"down_depths": ((1, 1),) * 3 + ((0, 0),), "up_depths": ((0,) * 3,) + ((1,) * 3,) * 3, "mid_depth": 1}


def real_unet(widths: tuple[int, ...], context: int, *, is_linear: bool, channels: int = 4) -> UNetLayout:
    return UNetLayout(
        channels,
        4,
        widths,
        **FOUR,
        context_width=context,
        time_width=1280,
        addition_width=0,
        is_linear=is_linear,
    )


REAL = {
    "sd1": real_unet((320, 640, 1280, 1280), 768, is_linear=False),
    "sd1-inpainting": real_unet((320, 640, 1280, 1280), 768, is_linear=False, channels=9),
    "sd2": real_unet((320, 640, 1280, 1280), 1024, is_linear=True),
    "sdxl": UNetLayout(
        4, 4, (320, 640, 1280), ((0, 0), (2, 2), (10, 10)), ((10,) * 3, (2,) * 3, (0,) * 3),
        10, 2048, 1280, 2816, True,
    ),
    "refiner": UNetLayout(
        4, 4, (384, 768, 1536, 1536), ((0, 0), (4, 4), (4, 4), (0, 0)),
        ((0,) * 3, (4,) * 3, (4,) * 3, (0,) * 3), 4, 1280, 1536, 2560, True,
    ),
    "ssd-1b": UNetLayout(
        4, 4, (320, 640, 1280), ((0, 0), (2, 2), (4, 4)), ((4, 4, 10), (2, 1, 1), (0,) * 3),
        NO_ATTENTION, 2048, 1280, 2816, True,
    ),
}  # fmt: skip
# How many tensors the published files hold below `model.diffusion_model.`.
PUBLISHED = {"sd1": 686, "sd1-inpainting": 686, "sd2": 686, "sdxl": 1680, "refiner": 1220}


def shapes_of(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}


def ours(links: list[Link]) -> dict[str, tuple[int, ...]]:
    return {name: link.shape for link in links for name in link.names}


def theirs(links: list[Link]) -> dict[str, tuple[int, ...]]:
    return {link.key: link.file_shape for link in links}


@pytest.mark.slow
@pytest.mark.parametrize("family", REAL)
def test_the_map_covers_diffusers_unet_one_to_one(family: str) -> None:
    layout = REAL[family]
    links = unet_links(layout)
    with torch.device("meta"):
        unet = UNet2DConditionModel(**layout.diffusers_config())
    assert ours(links) == shapes_of(unet)
    assert len(theirs(links)) == len(links) == PUBLISHED.get(family, len(links))
    assert unet_config(shapes_of(unet)) == layout
    assert unet_config(theirs(links)) == layout


@st.composite
def layouts(draw: st.DrawFn) -> UNetLayout:
    num_levels = draw(st.integers(1, 4))
    depths = [draw(st.integers(0, 3)) for _ in range(num_levels)]
    # A UNet without any attention takes no prompt, and diffusers ties the middle's depth to the last level's.
    depths[-1] = max(depths) and depths[-1]
    mid = draw(st.sampled_from([NO_ATTENTION, depths[-1] or 1])) if any(depths) else depths[-1] or 1
    layers = draw(st.integers(1, 3))
    is_linear = draw(st.booleans())
    return UNetLayout(
        in_channels=draw(st.sampled_from([4, 8, 9])),
        out_channels=4,
        widths=tuple(draw(st.sampled_from([32, 64, 128])) for _ in range(num_levels)),
        down_depths=tuple((depth,) * layers for depth in depths),
        up_depths=tuple((depth,) * (layers + 1) for depth in reversed(depths)),
        mid_depth=mid,
        context_width=draw(st.sampled_from([32, 64, 96])),
        time_width=draw(st.sampled_from([64, 128])),
        addition_width=draw(st.sampled_from([0, 1600])),
        is_linear=is_linear,
    )


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(layouts())
def test_any_depth_and_width_is_read_off_the_shapes(layout: UNetLayout) -> None:
    links = unet_links(layout)
    assert unet_config(theirs(links)) == layout
    assert unet_config(ours(links)) == layout
    with torch.device("meta"):
        unet = UNet2DConditionModel(**layout.diffusers_config())
    assert shapes_of(unet) == ours(links)


def test_head_counts() -> None:
    assert [REAL["sd1"].num_heads(width) for width in (64, 320, 1280)] == [8, 8, 8]
    assert [REAL["sdxl"].num_heads(width) for width in (32, 64, 320, 1280)] == [1, 1, 5, 20]
    assert ClipLayout(9, 77, 768, 3072, 12, 0).num_heads == 12
    assert ClipLayout(9, 77, 32, 128, 4, 0).num_heads == 1


def test_size_ids_of_base_and_refiner() -> None:
    assert REAL["sdxl"].size_id_width(1280) == 256
    assert REAL["refiner"].size_id_width(1280) == 256
    small = UNetLayout(4, 4, (32,), ((1,),), ((1, 1),), 1, 64, 128, 64 + 6 * 8, True)
    assert small.size_id_width(64) == 8
    with pytest.raises(LayoutError):
        small.size_id_width(999)


@pytest.mark.parametrize("missing", ["middle_block.1.transformer_blocks.0.attn1.to_q.weight", "out.2.bias"])
def test_one_missing_tensor_does_not_hide_the_layout(missing: str) -> None:
    shapes = theirs(unet_links(REAL["sdxl"]))
    del shapes[missing]
    assert unet_config(shapes) == REAL["sdxl"]


@pytest.mark.parametrize(
    "shapes", [{}, {"input_blocks.0.0.weight": (4, 4, 3, 3)}, {"down_blocks.9.resnets.0.x": ()}]
)
def test_no_unet_is_a_sentence(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(LayoutError):
        unet_config(shapes)


@pytest.mark.parametrize("family", ["SD1", "SD2", "SDXL", "REFINER"])
def test_unet_as_diffusers_converts_it(made: SimpleNamespace, family: str) -> None:
    layout = getattr(made, family)
    links = unet_links(layout)
    tensors = made.filled("model.diffusion_model.", links)
    config = layout.diffusers_config()
    config["layers_per_block"] = config["layers_per_block"][0]
    expected = single_file_utils.convert_ldm_unet_checkpoint(dict(tensors), config)
    found = read(links, tensors, "model.diffusion_model.")
    assert_equal(found, expected)


def test_vae_as_diffusers_converts_it(made: SimpleNamespace) -> None:
    links = vae_links(made.VAE)
    tensors = made.filled("first_stage_model.", links)
    config = made.VAE.diffusers_config()
    found = read(links, tensors, "first_stage_model.")
    assert_equal(found, single_file_utils.convert_ldm_vae_checkpoint(dict(tensors), config))
    with torch.device("meta"):
        vae = AutoencoderKL(**config)
    assert shapes_of(vae) == {key: tuple(tensor.shape) for key, tensor in found.items()}


@pytest.mark.parametrize(
    "layout",
    [VaeLayout(3, 3, 4, (128, 256, 512, 512), 2, True), VaeLayout(3, 3, 4, (32, 64, 64, 64), 1, False)],
)
def test_vae_layouts_are_read_in_both_namings(layout: VaeLayout) -> None:
    links = vae_links(layout)
    assert vae_config(theirs(links)) == layout
    assert vae_config(ours(links)) == layout
    assert layout.scale == 8


def test_the_published_vae_has_248_tensors() -> None:
    assert len(vae_links(VaeLayout(3, 3, 4, (128, 256, 512, 512), 2, True))) == 248


def test_old_names_of_the_vae_s_attention() -> None:
    old = "decoder.mid_block.attentions.0.proj_attn.bias"
    assert current_vae_name(old) == "decoder.mid_block.attentions.0.to_out.0.bias"
    assert current_vae_name("encoder.conv_in.weight") == "encoder.conv_in.weight"


def test_open_clip_as_diffusers_converts_it(made: SimpleNamespace) -> None:
    links = open_clip_links(made.CLIP_G)
    prefix = "conditioner.embedders.1.model."
    tensors = made.filled(prefix, links)
    config = SimpleNamespace(config=SimpleNamespace(hidden_size=128))
    expected = single_file_utils.convert_open_clip_checkpoint(config, dict(tensors), prefix)
    found = read(links, tensors, prefix)
    assert_equal(found, {key: value for key, value in expected.items() if "position_ids" not in key})


def test_text_encoders_as_transformers_names_them(made: SimpleNamespace) -> None:
    with torch.device("meta"):
        model = CLIPTextModelWithProjection(CLIPTextConfig(**made.CLIP_G.hf_config("gelu")))
    shapes = {key: shape for key, shape in shapes_of(model).items() if "position_ids" not in key}
    assert ours(hf_links(made.CLIP_G)) == ours(open_clip_links(made.CLIP_G)) == shapes
    assert clip_config(shapes) == clip_config(theirs(open_clip_links(made.CLIP_G))) == made.CLIP_G


@pytest.mark.parametrize(("width", "layers", "tensors"), [(768, 12, 196), (1280, 32, 517)])
def test_published_text_encoders(width: int, layers: int, tensors: int) -> None:
    layout = ClipLayout(49408, 77, width, 4 * width, layers, 1280 if width == 1280 else 0)
    assert len(hf_links(layout)) == tensors
    assert clip_config(ours(hf_links(layout))) == layout
    # OpenCLIP holds q, k and v in one: 4 tensors fewer in each layer.
    assert len(open_clip_links(layout)) == tensors - 4 * layers


def test_the_full_sdxl_file_has_its_2515_keys() -> None:
    vae = vae_links(VaeLayout(3, 3, 4, (128, 256, 512, 512), 2, has_quant=True))
    first = hf_links(ClipLayout(49408, 77, 768, 3072, 12, 0))
    second = open_clip_links(ClipLayout(49408, 77, 1280, 5120, 32, 1280))
    # Position ids and the logit scale belong to no part.
    assert len(unet_links(REAL["sdxl"])) + len(vae) + len(first) + len(second) + 2 == 2515


def test_both_directions_agree_bit_for_bit(made: SimpleNamespace) -> None:
    for links in (
        unet_links(made.SD1),
        vae_links(made.VAE),
        hf_links(made.CLIP),
        open_clip_links(made.CLIP_G),
    ):
        tensors = made.filled("", links)
        for link in links:
            mine = from_file(link, tensors[link.key])
            assert [tuple(tensor.shape) for tensor in mine.values()] == [link.shape] * len(link.names)
            again = to_file(link, [mine[name] for name in link.names])
            assert torch.equal(again, tensors[link.key]), link.key


def read(links: list[Link], tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for link in links:
        found.update(from_file(link, tensors[prefix + link.key]))
    return found


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    for key, tensor in expected.items():
        assert torch.equal(found[key], tensor), key
