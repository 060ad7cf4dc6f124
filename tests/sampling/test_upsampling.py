"""Sizes that do not halve evenly."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.sampling.upsampling import cutting_upsamplers


def test_upsamplers_cut_after_the_convolution(sd1: LoadedModel) -> None:
    [upsampler] = sd1.unet.up_blocks[0].upsamplers
    x = torch.randn((1, upsampler.conv.in_channels, 4, 5), generator=torch.Generator().manual_seed(1))
    doubled = upsampler.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
    with cutting_upsamplers(sd1.unet):
        assert torch.equal(upsampler(x, (7, 10)), doubled[..., :7, :10])
        assert torch.equal(upsampler(x, output_size=(7, 9)), doubled[..., :7, :9])
        assert torch.equal(upsampler(x), doubled)
    assert not torch.equal(upsampler(x, (7, 10)), doubled[..., :7, :10])


@pytest.mark.parametrize("size", [(8, 16), (16, 16)])
def test_even_sizes_do_not_change(sd1: LoadedModel, size: tuple[int, int]) -> None:
    latents = torch.randn((1, 4, *size), generator=torch.Generator().manual_seed(1))
    states = torch.zeros(1, 77, 64)
    with torch.no_grad():
        plain = sd1.unet(latents, 10, states).sample
        with cutting_upsamplers(sd1.unet):
            cut = sd1.unet(latents, 10, states).sample
    assert torch.equal(plain, cut)
