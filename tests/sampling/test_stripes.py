"""Decoding in stripes against diffusers' own decoding of the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.formats.vae_keys import VaeLayout, vae_links
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.sampling.stripes import decode_in_stripes
from tests.models.tiny import random_tensors, save, sd1_tensors

# Widths that change between levels, two layers in each, as in the real ones.
UNEVEN = VaeLayout(3, 3, 4, (32, 64, 96, 96), 2, has_quant=True)


def latents(height: int, width: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(1, 4, height, width, generator=torch.Generator().manual_seed(3)).to(dtype)


def with_vae(folder: Path, layout: VaeLayout) -> LoadedModel:
    prefix = "first_stage_model."
    tensors = {key: value for key, value in sd1_tensors().items() if not key.startswith(prefix)}
    path = save(
        folder / "other.safetensors", tensors | random_tensors(prefix, vae_links(layout)), torch.float32
    )
    return read_model(path, parts=(VAE,))


@pytest.mark.parametrize("num_rows", [1, 4, 5, 16])
@pytest.mark.parametrize("size", [(13, 6), (16, 16), (3, 9)])
@torch.no_grad()
def test_stripes_give_what_the_whole_gives(sd1: LoadedModel, size: tuple[int, int], num_rows: int) -> None:
    whole = sd1.vae.decode(latents(*size)).sample
    striped = decode_in_stripes(sd1.vae, latents(*size), num_rows)
    assert striped.shape == whole.shape == (1, 3, 8 * size[0], 8 * size[1])
    torch.testing.assert_close(striped, whole, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_sdxl_decodes_alike(sdxl: LoadedModel) -> None:
    whole = sdxl.vae.decode(latents(11, 7)).sample
    torch.testing.assert_close(decode_in_stripes(sdxl.vae, latents(11, 7), 4), whole, atol=2e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [UNEVEN, replace(UNEVEN, has_quant=False)], ids=["uneven", "no quant"])
@torch.no_grad()
def test_other_layouts_decode_alike(layout: VaeLayout, tmp_path: Path) -> None:
    vae = with_vae(tmp_path, layout).vae
    whole = vae.decode(latents(9, 5)).sample
    torch.testing.assert_close(decode_in_stripes(vae, latents(9, 5), 2), whole, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_bfloat16_stays_within_its_rounding(tmp_path: Path) -> None:
    vae = with_vae(tmp_path, UNEVEN).vae
    exact = vae.decode(latents(9, 5)).sample
    vae.to(torch.bfloat16)
    whole = vae.decode(latents(9, 5, torch.bfloat16)).sample
    striped = decode_in_stripes(vae, latents(9, 5, torch.bfloat16), 2)
    assert striped.dtype == torch.bfloat16
    error = float((whole.float() - exact).pow(2).mean())
    assert float((striped.float() - exact).pow(2).mean()) <= 1.5 * error
