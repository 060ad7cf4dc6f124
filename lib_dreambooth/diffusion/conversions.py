"""A latent, its noise and what the network predicts, each from the others.

B: batch, C: channels, H, W: latent size. Latents, noise, velocity: [B, C, H, W]; `alphas_bar` [B] or a
number's tensor []. noisy = sqrt(a) clean + sqrt(1 - a) noise; velocity = sqrt(a) noise - sqrt(1 - a) clean.
"""

from __future__ import annotations

from torch import Tensor


def add_noise(clean: Tensor, noise: Tensor, alphas_bar: Tensor) -> Tensor:
    """The noisy latent."""
    signal, spread = roots(alphas_bar, clean)
    return signal * clean + spread * noise


def velocity(clean: Tensor, noise: Tensor, alphas_bar: Tensor) -> Tensor:
    """What a v-prediction network is to say (arXiv 2202.00512, D)."""
    signal, spread = roots(alphas_bar, clean)
    return signal * noise - spread * clean


def clean_from_noise(noisy: Tensor, noise: Tensor, alphas_bar: Tensor) -> Tensor:
    """The clean latent from a prediction of the noise; undefined where `alphas_bar` is 0."""
    signal, spread = roots(alphas_bar, noisy)
    return (noisy - spread * noise) / signal


def clean_from_velocity(noisy: Tensor, velocity: Tensor, alphas_bar: Tensor) -> Tensor:
    """The clean latent from a prediction of the velocity."""
    signal, spread = roots(alphas_bar, noisy)
    return signal * noisy - spread * velocity


def noise_from_velocity(noisy: Tensor, velocity: Tensor, alphas_bar: Tensor) -> Tensor:
    """The noise from a prediction of the velocity."""
    signal, spread = roots(alphas_bar, noisy)
    return signal * velocity + spread * noisy


def noise_from_clean(noisy: Tensor, clean: Tensor, alphas_bar: Tensor) -> Tensor:
    """The noise from a prediction of the clean latent; undefined where `alphas_bar` is 1."""
    signal, spread = roots(alphas_bar, noisy)
    return (noisy - signal * clean) / spread


def roots(alphas_bar: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(a) and sqrt(1 - a), shaped to multiply `like`; the root is taken before rounding to its type."""
    shape = (-1, *(1 for _ in range(like.dim() - 1))) if alphas_bar.dim() else ()
    signal, spread = alphas_bar.sqrt(), (1.0 - alphas_bar).sqrt()
    return tuple(root.reshape(shape).to(like) for root in (signal, spread))  # type: ignore[return-value]
