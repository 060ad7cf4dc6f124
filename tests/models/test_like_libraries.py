"""Our modules against diffusers' and transformers': the same names in the same order, the same numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_dreambooth.formats.clip_keys import ClipLayout
from lib_dreambooth.formats.unet_layout import UNetLayout
from lib_dreambooth.formats.vae_keys import VaeLayout
from lib_dreambooth.models.clip import CLIPTextModel
from lib_dreambooth.models.unet import UNet2DConditionModel
from lib_dreambooth.models.vae import AutoencoderKL
from tests.models import tiny

POOLED = 96
# An uneven depth in the middle of a level, no transformer at the bottom, nothing at the bottom at all.
NO_MIDDLE = UNetLayout(
    4, 4, (32, 64), ((1,), (1,)), ((1,) * 2, (1,) * 2), mid_depth=-1, context_width=64, time_width=96,
    addition_width=0, is_linear=True,
)  # fmt: skip
INPAINTING = UNetLayout(
    9, 4, (32, 64), ((1, 1), (0, 0)), ((0,) * 3, (1,) * 3), mid_depth=1, context_width=64, time_width=128,
    addition_width=0, is_linear=False,
)  # fmt: skip
UNETS = {
    "sd1": tiny.SD1, "sd2": tiny.SD2, "sdxl": tiny.SDXL, "no middle": NO_MIDDLE, "inpainting": INPAINTING,
}  # fmt: skip


def filled(ours: nn.Module, theirs: nn.Module) -> None:
    """Both with the same random weights; their names, order and shapes have to be the same."""
    pairs = [(name, tuple(one.shape)) for name, one in theirs.named_parameters()]
    names = [name for name, _ in pairs]
    if not hasattr(theirs, "text_model") and hasattr(ours, "text_model"):
        # transformers 5 has a level less.
        pairs = [
            (name if name.startswith("text_projection") else f"text_model.{name}", shape)
            for name, shape in pairs
        ]
    assert [(name, tuple(one.shape)) for name, one in ours.named_parameters()] == pairs
    random = torch.Generator().manual_seed(3)
    for (_, own), name in zip(ours.named_parameters(), names, strict=True):
        values = torch.randn(own.shape, generator=random) * max(own[0].numel(), 1) ** -0.5
        own.data = values + (1.0 if own.dim() == 1 and name.endswith("weight") else 0.0)
        theirs.get_parameter(name).data = own.data.clone()
    ours.eval(), theirs.eval()


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(11))


@pytest.mark.parametrize("name", list(UNETS))
@pytest.mark.parametrize("size", [(8, 24), (10, 13)])
def test_unets(name: str, size: tuple[int, int]) -> None:
    from diffusers import UNet2DConditionModel as Theirs

    layout = UNETS[name]
    config = layout.diffusers_config(POOLED if layout.addition_width else None)
    ours, theirs = UNet2DConditionModel(config), Theirs(**config)
    filled(ours, theirs)
    more: dict[str, Any] = {}
    if layout.addition_width:
        more = {"added_cond_kwargs": {"text_embeds": drawn(2, POOLED), "time_ids": 100 * drawn(2, 6).abs()}}
    found = []
    for unet in (ours, theirs):
        noisy = drawn(2, layout.in_channels, *size).requires_grad_()
        said = unet(noisy, torch.tensor([3, 801]), drawn(2, 77, layout.context_width), **more).sample
        said.square().mean().backward()
        found.append((said.detach(), noisy.grad, unet.conv_in.weight.grad))
    assert found[0][0].shape == (2, 4, *size)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert ours.config.block_out_channels == tuple(theirs.config.block_out_channels)


@pytest.mark.parametrize("layout", [tiny.VAE, VaeLayout(3, 3, 4, (32, 64), 2, has_quant=False)])
@torch.no_grad()
def test_vaes(layout: VaeLayout) -> None:
    from diffusers import AutoencoderKL as Theirs

    has = layout.has_quant
    theirs = Theirs(**layout.diffusers_config(), use_quant_conv=has, use_post_quant_conv=has)
    ours = AutoencoderKL(layout, 0.18215)
    filled(ours, theirs)
    spread, expected = (vae.encode(drawn(2, 3, 32, 48)).latent_dist for vae in (ours, theirs))
    assert torch.equal(spread.mean, expected.mean) and torch.equal(spread.std, expected.std)
    assert torch.equal(*(vae.decode(drawn(2, 4, 4, 6)).sample for vae in (ours, theirs)))


@pytest.mark.parametrize(("layout", "activation"), [(tiny.CLIP, "quick_gelu"), (tiny.CLIP_G, "gelu")])
@torch.no_grad()
def test_text_encoders(layout: ClipLayout, activation: str) -> None:
    """To rounding: transformers 4.30 computes attention step by step."""
    import transformers

    is_projected = layout.projection_width > 0
    kind = transformers.CLIPTextModelWithProjection if is_projected else transformers.CLIPTextModel
    config = transformers.CLIPTextConfig(
        **layout.hf_config(activation), eos_token_id=49407, bos_token_id=49406
    )
    theirs, ours = kind(config), CLIPTextModel(layout, activation, 49407, is_projected=is_projected)
    filled(ours, theirs)
    ids = torch.full((2, 77), 49407)
    ids[0, :4], ids[1, :6] = torch.tensor([49406, 7, 8, 9]), torch.tensor([49406, 7, 8, 9, 10, 11])
    ids[1, 20:] = 0
    expected, found = theirs(input_ids=ids, output_hidden_states=True), ours(ids, output_hidden_states=True)
    assert found.hidden_states is not None and len(found.hidden_states) == layout.num_layers + 1
    for one, other in zip(found.hidden_states[:-1], expected.hidden_states[:-1], strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5)
    assert torch.allclose(found.last_hidden_state, expected.last_hidden_state, rtol=1e-5, atol=1e-5)
    if is_projected:
        assert torch.allclose(found.text_embeds, expected.text_embeds, rtol=1e-5, atol=1e-5)
    else:
        assert found.text_embeds is None
