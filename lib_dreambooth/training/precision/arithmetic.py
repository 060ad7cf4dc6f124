"""From the settings and a device to the number types of everything in a run."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.settings.schema import Precision
from lib_dreambooth.training.precision.devices import Ability

MIXED = "precision.mixed"
FP32 = torch.float32
DTYPES = {"no": FP32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Arithmetic:
    """Number types: of the arithmetic, and of trained, frozen and VAE weights.

    `frozen` says what a part's frozen weights are kept in, the UNet apart from the others.
    """

    kind: str
    compute: torch.dtype
    weights: torch.dtype
    frozen: torch.dtype
    frozen_unet: torch.dtype
    vae: torch.dtype
    tf32: bool

    @property
    def mixed(self) -> str:
        """What the arithmetic is done in, as settings and metadata name it."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.compute)

    @property
    def scales_loss(self) -> bool:
        """Whether gradients would vanish in float16 without a scale on the loss."""
        return self.compute == torch.float16

    def autocast(self) -> AbstractContextManager[None]:
        """A context in which arithmetic is done as decided; in float32 it holds off a host's own autocast."""
        if self.compute == FP32:
            # Older PyTorch has no autocast for other kinds, so that there is none to hold off either.
            return torch.autocast(self.kind, enabled=False) if self.kind in ("cpu", "cuda") else nullcontext()
        return torch.autocast(self.kind, dtype=self.compute)


def resolve(precision: Precision, ability: Ability, *, is_half_vae_safe: bool = True) -> Arithmetic:
    """What the settings mean on a device. Raises UserError for what it cannot do.

    `is_half_vae_safe` is false for SDXL, whose VAE overflows in float16.
    """
    compute = DTYPES[mixed(precision.mixed, ability)]
    half = compute
    if precision.weights == "half" and half == FP32:
        raise UserError(
            "half-precision weights need half-precision arithmetic, and this device computes in fp32.",
            where="precision.weights",
            todo="Choose fp32 weights, or bf16 under Mixed Precision.",
            code="bad-precision",
        )
    frozen, frozen_unet = frozen_dtypes(precision.frozen, half, ability)
    return Arithmetic(
        kind=ability.kind,
        compute=compute,
        weights=half if precision.weights == "half" else FP32,
        frozen=frozen,
        frozen_unet=frozen_unet,
        vae=vae_dtype(precision.vae, half, is_half_vae_safe),
        tf32=precision.tf32,
    )


def mixed(setting: str, ability: Ability) -> str:
    """What the arithmetic is done in: "no", "fp16" or "bf16"."""
    if setting == "auto":
        if ability.kind != "cuda":
            return "no"
        return "bf16" if ability.is_fast_in_bf16 else "fp16"
    if setting == "bf16" and ability.kind == "cuda" and not ability.is_fast_in_bf16:
        raise cannot("this card cannot compute in bf16: that begins with the RTX 30 series.", "fp16")
    if setting == "fp16" and not ability.has_half:
        raise cannot("this device cannot compute in fp16.", "no or auto")
    if setting == "bf16" and not ability.has_bf16:
        raise cannot("this device cannot compute in bf16.", "no or auto")
    return setting


def cannot(what: str, other: str) -> UserError:
    return UserError(what, where=MIXED, todo=f"Choose {other}.", code="bad-precision")


def frozen_dtypes(setting: str, half: torch.dtype, ability: Ability) -> tuple[torch.dtype, torch.dtype]:
    """Number types of frozen weights: of the text encoders, and of the UNet."""
    if setting in ("auto", "half"):
        return half, half
    if setting == "fp32":
        return FP32, FP32
    if half == FP32:
        raise UserError(
            "fp8 weights need half-precision arithmetic, and this device computes in fp32.",
            where="precision.frozen",
            todo="Choose auto.",
            code="bad-precision",
        )
    fp8 = torch.float8_e4m3fn
    return (half if setting == "fp8 unet" else fp8), fp8


def vae_dtype(setting: str, half: torch.dtype, is_half_vae_safe: bool) -> torch.dtype:
    """The VAE's number type; "half" that would overflow is kept as far as bfloat16 allows."""
    if setting == "fp32" or (setting == "auto" and not is_half_vae_safe):
        return FP32
    return FP32 if half == torch.float16 and not is_half_vae_safe else half
