"""Differences of a normalisation layer's weight and bias, trained beside it.

Such a layer gives n(x) * weight + bias, so the same layer with the differences alone is what has to be added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.formats.keymap import TEXT, UNET
from lib_dreambooth.formats.links import Shape
from lib_dreambooth.formats.lora import AdapterModule

BLOCKS = ("down_blocks.", "mid_block.", "up_blocks.")


class NormDifference(nn.Module):
    """What is added to `weight` and `bias`; both always, since hosts read them only together."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def changed(self, output: Tensor, x: Tensor, layer: nn.Module, strength: float = 1.0) -> Tensor:
        """The layer's output for `x` with the differences at work."""
        # Autocast computes norms in float32: the output says so, the input may not.
        x, weight, bias = (tensor.to(output.dtype) for tensor in (x, self.weight, self.bias))
        if isinstance(layer, nn.GroupNorm):
            added = F.group_norm(x, layer.num_groups, weight, bias, layer.eps)
        else:
            assert isinstance(layer, nn.LayerNorm), type(layer).__name__
            added = F.layer_norm(x, layer.normalized_shape, weight, bias, layer.eps)
        return torch.add(output, added, alpha=strength)

    @torch.no_grad()
    def norm(self, layer: nn.Module | None = None) -> Tensor:
        """The length of the differences; one number."""
        return (self.weight.float().square().sum() + self.bias.float().square().sum()).sqrt()

    def limit_norm(self, max_norm: float, layer: nn.Module | None = None) -> Tensor:
        """Differences of norms are as long as they like, as in kohya's scripts."""
        return self.weight.new_zeros((), dtype=torch.bool)

    def changes(self, layer: nn.Module | None = None) -> dict[str, Callable[[], Tensor]]:
        """What is added to the layer's tensors, float32."""
        return {"weight": self.weight.detach().float, "bias": self.bias.detach().float}

    def to_file(self) -> AdapterModule:
        """The parts as LyCORIS files have them."""
        return AdapterModule({"w_norm": self.weight.detach(), "b_norm": self.bias.detach()})


def norm_targets(names: AdapterNames, family: str) -> list[Target]:
    """The norms of the UNet's blocks, and of the text encoders where hosts find them by kohya's names.

    A1111 has OpenCLIP's encoders (SD2, the second of SDXL) under names that their norms are not found by.
    """
    has_text = family != "sd2"
    return [
        target
        for target, shape in names.shapes.items()
        if len(shape) == 1
        and (
            target.path.startswith(BLOCKS)
            if target.part == UNET
            else has_text and target.part == TEXT and ".layers." in target.path
        )
    ]


def no_difference(shape: Shape) -> NormDifference:
    """New differences that change nothing yet."""
    return NormDifference(torch.zeros(shape), torch.zeros(shape))


def norm_from_file(parts: Mapping[str, Tensor], shape: Shape) -> NormDifference | None:
    """A file's differences for a layer of this width; None where they do not fit it."""
    weight, bias = parts.get("w_norm", parts.get("diff")), parts.get("b_norm", parts.get("diff_b"))
    if weight is not None and bias is None and "diff" in parts:
        bias = torch.zeros_like(weight)
    if weight is None or bias is None or tuple(weight.shape) != shape or tuple(bias.shape) != shape:
        return None
    return NormDifference(weight, bias)
