"""Pictures to latents."""

from __future__ import annotations

import pytest
import torch

from lib_dreambooth.models.latents import encode_pictures
from lib_dreambooth.models.loaded import LoadedModel


@pytest.mark.parametrize(("family", "scale"), [("sd1", 0.18215), ("sdxl", 0.13025)])
def test_mean_and_deviation_are_the_vae_s_scaled(
    models: dict[str, LoadedModel], family: str, scale: float
) -> None:
    pixels = torch.rand((2, 3, 32, 48), generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = encode_pictures(models[family], pixels)
    moments = models[family].vae.encode(pixels).latent_dist.parameters
    mean, log_variance = moments.chunk(2, dim=1)
    assert found.mean.shape == (2, 4, 4, 6)
    assert torch.allclose(found.mean, mean * scale, atol=1e-5)
    assert torch.allclose(found.deviation, (log_variance.clamp(-30, 20) / 2).exp() * scale, atol=1e-5)
    assert torch.equal(found.sample(torch.zeros(2, 4, 4, 6)), found.mean)


def test_no_latent_depends_on_its_batch(models: dict[str, LoadedModel]) -> None:
    pixels = torch.rand((3, 3, 32, 32), generator=torch.Generator().manual_seed(1)) * 2 - 1
    together, alone = encode_pictures(models["sd1"], pixels), encode_pictures(models["sd1"], pixels[2:])
    assert torch.equal(together.mean[2:], alone.mean)
