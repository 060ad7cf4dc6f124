"""Latents to pictures: rounding, and a VAE that overflows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.sampling import decoding
from lib_dreambooth.sampling.decoding import decode_picture, is_out_of_memory, to_picture
from lib_dreambooth.sampling.stripes import decode_in_stripes


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


class Forgetful:
    """Stands in for a card on which only `decoder` calls of at most so many latent rows have room."""

    def __init__(self, model: LoadedModel, monkeypatch: pytest.MonkeyPatch, max_rows: int) -> None:
        self.asked: list[int] = []
        monkeypatch.setattr(model.vae, "decode", self.decode)
        monkeypatch.setattr(decoding, "decode_in_stripes", self.in_stripes)
        self.max_rows = max_rows

    def decode(self, latents: torch.Tensor) -> Any:
        self.asked.append(latents.shape[2])
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    def in_stripes(self, vae: Any, latents: torch.Tensor, num_rows: int) -> torch.Tensor:
        self.asked.append(num_rows)
        if num_rows > self.max_rows:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")
        return decode_in_stripes(vae, latents, num_rows)


def latent_of(height: int = 24, width: int = 8) -> torch.Tensor:
    return torch.randn(4, height, width, generator=torch.Generator().manual_seed(5)) * 0.18


def test_short_memory_narrows_the_stripes_until_the_picture_fits(
    sd1: LoadedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plain = np.asarray(decode_picture(sd1, latent_of()))
    card = Forgetful(sd1, monkeypatch, max_rows=4)
    picture = np.asarray(decode_picture(sd1, latent_of()))
    assert card.asked == [24, 16, 4]
    assert np.abs(picture.astype(int) - plain).max() <= 1
    assert caplog.text.count("smaller pieces") == 2


def test_stripes_asked_for_are_taken_at_once(sd1: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Forgetful(sd1, monkeypatch, max_rows=16)
    decode_picture(sd1, latent_of(), is_striped=True)
    assert card.asked == [16]


def test_too_little_memory_for_anything_is_said_in_a_sentence(
    sd1: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    Forgetful(sd1, monkeypatch, max_rows=0)
    with pytest.raises(UserError, match="64 x 192") as caught:
        decode_picture(sd1, latent_of())
    assert caught.value.code == "out-of-memory"


def test_other_failures_are_not_taken_for_short_memory(
    sd1: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(latents: torch.Tensor) -> Any:
        raise RuntimeError("sizes do not match")

    monkeypatch.setattr(sd1.vae, "decode", decode)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        decode_picture(sd1, latent_of())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
