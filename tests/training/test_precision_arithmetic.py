from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.settings.schema import Precision
from lib_dreambooth.training.precision.arithmetic import Arithmetic, resolve
from lib_dreambooth.training.precision.devices import Ability

FP32, FP16, BF16, FP8 = torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn
RTX_20, RTX_40 = Ability("cuda", 7, True), Ability("cuda", 8, True)
CPU, OLD_CPU = Ability("cpu", 0, True), Ability("cpu", 0, False)
APPLE, OLD_APPLE = Ability("mps", 0, True), Ability("mps", 0, False, False)
ABILITIES = {
    "rtx 20": RTX_20,
    "rtx 40": RTX_40,
    "cpu": CPU,
    "old cpu": OLD_CPU,
    "apple": APPLE,
    "old apple": OLD_APPLE,
}
# What is computed in, by device and setting; None: refused.
COMPUTES: dict[str, dict[str, torch.dtype | None]] = {
    "rtx 20": {"auto": FP16, "no": FP32, "fp16": FP16, "bf16": None},
    "rtx 40": {"auto": BF16, "no": FP32, "fp16": FP16, "bf16": BF16},
    "cpu": {"auto": FP32, "no": FP32, "fp16": FP16, "bf16": BF16},
    "old cpu": {"auto": FP32, "no": FP32, "fp16": None, "bf16": BF16},
    "apple": {"auto": FP32, "no": FP32, "fp16": FP16, "bf16": BF16},
    "old apple": {"auto": FP32, "no": FP32, "fp16": None, "bf16": None},
}
FROZEN = ("auto", "fp32", "half", "fp8", "fp8 unet")


def precision(**changes: Any) -> Precision:
    """As a form would not let it pass either, since it is the device that decides here."""
    return Precision(**changes)


def expected(
    device: str, mixed: str, weights: str, frozen: str, vae: str, is_safe: bool
) -> tuple[torch.dtype, ...] | None:
    """Compute, trained, frozen text encoder, frozen UNet and VAE, from the tables of the reference."""
    compute = COMPUTES[device][mixed]
    needs_half = weights == "half" or frozen in ("fp8", "fp8 unet")
    if compute is None or (needs_half and compute == FP32):
        return None
    text = {"fp32": FP32, "fp8": FP8}.get(frozen, compute)
    unet = {"fp32": FP32, "fp8": FP8, "fp8 unet": FP8}.get(frozen, compute)
    decoder = {"fp32": FP32, "half": compute, "auto": compute if is_safe else FP32}[vae]
    if decoder == FP16 and not is_safe:
        decoder = FP32
    return compute, FP32 if weights == "fp32" else compute, text, unet, decoder


@pytest.mark.parametrize("mixed", ["auto", "no", "fp16", "bf16"])
@pytest.mark.parametrize("device", list(ABILITIES))
def test_every_setting_on_every_device(device: str, mixed: str) -> None:
    for weights, frozen, vae, is_safe in product(
        ("fp32", "half"), FROZEN, ("auto", "fp32", "half"), (True, False)
    ):
        wanted = expected(device, mixed, weights, frozen, vae, is_safe)
        chosen = precision(mixed=mixed, weights=weights, frozen=frozen, vae=vae)
        if wanted is None:
            with pytest.raises(UserError) as caught:
                resolve(chosen, ABILITIES[device], is_half_vae_safe=is_safe)
            assert caught.value.where.startswith("precision.") and caught.value.todo
            continue
        made = resolve(chosen, ABILITIES[device], is_half_vae_safe=is_safe)
        assert (made.compute, made.weights, made.frozen, made.frozen_unet, made.vae) == wanted
        assert made.scales_loss == (made.compute == FP16)


def test_what_a_card_cannot_do_is_said_with_a_way_out() -> None:
    with pytest.raises(UserError, match=r"cannot compute in bf16.*RTX 30") as caught:
        resolve(precision(mixed="bf16"), RTX_20)
    assert (caught.value.where, caught.value.todo) == ("precision.mixed", "Choose fp16.")
    with pytest.raises(UserError, match="fp8 weights need half-precision"):
        resolve(precision(frozen="fp8"), CPU)


@pytest.mark.parametrize("tf32", [True, False])
def test_tf32_is_as_set(tf32: bool) -> None:
    assert resolve(precision(tf32=tf32), RTX_40).tf32 is tf32


def computed_in(arithmetic: Arithmetic) -> torch.dtype:
    with arithmetic.autocast():
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_arithmetic_is_done_as_decided() -> None:
    assert computed_in(resolve(precision(mixed="bf16"), CPU)) == BF16
    assert computed_in(resolve(precision(mixed="no"), CPU)) == FP32


def test_fp32_holds_off_the_hosts_autocast() -> None:
    with torch.autocast("cpu", dtype=BF16):
        assert computed_in(resolve(precision(mixed="no"), CPU)) == FP32
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == BF16


def test_a_device_without_autocast_computes_in_fp32() -> None:
    assert computed_in(resolve(precision(mixed="auto"), OLD_APPLE)) == FP32
