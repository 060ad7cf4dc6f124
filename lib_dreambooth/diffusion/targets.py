"""What a network is taught to answer.

B: batch, C: channels, H, W: latent size. Latents and noise: [B, C, H, W]; `alphas_bar` [B].
"""

from __future__ import annotations

from torch import Tensor

from lib_dreambooth.diffusion.conversions import velocity

NOISE, VELOCITY, SAMPLE = "epsilon", "v", "sample"
PREDICTIONS = (NOISE, VELOCITY, SAMPLE)


def target_of(prediction: str, clean: Tensor, noise: Tensor, alphas_bar: Tensor) -> Tensor:
    """The right answer of a network that predicts the noise, the velocity or the clean latent."""
    if prediction == NOISE:
        return noise
    if prediction == VELOCITY:
        return velocity(clean, noise, alphas_bar)
    assert prediction == SAMPLE, prediction
    return clean
