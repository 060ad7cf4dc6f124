"""Latents to pictures: rounding, and a VAE that overflows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.sampling.decoding import decode_picture, to_picture


def test_fractions_are_cut_off_as_in_the_webui() -> None:
    values = torch.tensor([-2.0, -1.0, 0.0, 127.9 / 127.5 - 1, 1.0, 3.0]).expand(3, 1, 6)
    assert np.asarray(to_picture(values))[0, :, 0].tolist() == [0, 0, 127, 127, 255, 255]


def test_a_vae_that_overflows_goes_on_in_float32(sd1: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    dtypes: list[torch.dtype] = []

    class Decoded:
        def __init__(self, sample: torch.Tensor) -> None:
            self.sample = sample

    def decode(latents: torch.Tensor) -> Any:
        dtypes.append(latents.dtype)
        value = float("nan") if latents.dtype == torch.float16 else 0.0
        return Decoded(torch.full((1, 3, 8, 8), value, dtype=latents.dtype))

    own = sd1.vae.decode
    sd1.to(VAE, "cpu", torch.float16)
    sd1.vae.decode = decode
    picture = decode_picture(sd1, torch.zeros(4, 1, 1))
    sd1.vae.decode = own
    assert dtypes == [torch.float16, torch.float32]
    assert sd1.dtype_of(VAE) == torch.float32
    assert np.asarray(picture)[0, 0].tolist() == [127] * 3
    assert "float32" in caplog.text
