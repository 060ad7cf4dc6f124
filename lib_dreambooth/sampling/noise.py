"""Noise for each picture from its own seed, made as the WebUI makes it for each of its sources.

B: pictures, C, H, W: one latent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from lib_dreambooth.sampling.philox import PhiloxNormals

Shape = tuple[int, int, int]


class _Stream(Protocol):
    def draw(self, shape: Shape) -> Tensor: ...


class _TorchStream:
    """torch's own generator on some device; the numbers of a card differ from those of the CPU."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        self._generator = torch.Generator(device).manual_seed(seed)

    def draw(self, shape: Shape) -> Tensor:
        return torch.randn(shape, device=self._device, generator=self._generator)


class _PhiloxStream:
    """The numbers of an NVIDIA card, made on the CPU."""

    def __init__(self, seed: int) -> None:
        self._normals = PhiloxNormals(seed)

    def draw(self, shape: Shape) -> Tensor:
        return torch.from_numpy(self._normals.draw(shape))


class PictureNoise:
    """The noise of a batch: first the starting latents, then what ancestral samplers add at each step.

    No picture's noise depends on the batch it is drawn in, and torch's global generator is left alone.
    """

    def __init__(
        self, seeds: Sequence[int], shape: Shape, source: str, device: torch.device, ensd: int = 0
    ) -> None:
        self._shape = shape
        self._source = source
        self._device = device
        streams = [self._stream(seed) for seed in seeds]
        self.first = self._stack(streams)
        # The shift of the seed applies to what follows the first draw.
        self._streams = [self._stream(seed + ensd) for seed in seeds] if ensd else streams

    def next(self) -> Tensor:
        """Further noise [B, C, H, W]."""
        return self._stack(self._streams)

    def _stack(self, streams: Sequence[_Stream]) -> Tensor:
        return torch.stack([stream.draw(self._shape) for stream in streams]).to(self._device)

    def _stream(self, seed: int) -> _Stream:
        if self._source == "NV":
            return _PhiloxStream(seed)
        is_on_cpu = self._source == "CPU" or self._device.type == "mps"
        return _TorchStream(seed, torch.device("cpu") if is_on_cpu else self._device)
