"""Our program with networks as every textbook has them: four operators beside each layer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

SETTINGS = {"memory": {"joined": "off", "lean": "off"}}


def make_plain() -> None:
    """From here on."""
    from lib_dreambooth.adapters.low_rank import LowRank, convolving

    def changed(self: LowRank, output: Tensor, x: Tensor, layer: nn.Module, strength: float = 1.0) -> Tensor:
        down, up = self.down.to(output.dtype), self.up.to(output.dtype)
        if isinstance(layer, nn.Conv2d):
            lowered = F.conv2d(x.to(output.dtype), down, **convolving(layer))
            return output + F.conv2d(lowered, up) * (self.scale * strength)
        return output + F.linear(F.linear(x.to(output.dtype), down), up) * (self.scale * strength)

    LowRank.changed = changed  # type: ignore[method-assign]
